"""Arguments that Python counts as equal but PyTorch tells apart: dimensions that are floats or bools, flags that are numbers."""
from __future__ import annotations

import pytest
from oracle import check, check_error, run

import jitgrad

REDUCTIONS = ("sum", "mean", "amax", "amin", "logsumexp", "std", "var", "any", "all", "count_nonzero")


@pytest.mark.parametrize("tensor", ["x", "x.requires_grad_()", "x.requires_grad_().exp()"])
@pytest.mark.parametrize("name", REDUCTIONS)
def test_a_dimension_is_an_integer_also_when_an_equal_one_is_known(name: str, tensor: str) -> None:
    for _ in range(3):
        check(f"T.{name}(({tensor}).detach(), (1,))" if name == "std" else f"T.{name}({tensor}, (1,)).detach()")
        for dim in ("(1.0,)", "(True,)", "(0, 1.0)"):
            check_error(f"T.{name}({tensor}, {dim})", same_words=0)
            check_error(f"T.{name}({tensor}, dim={dim})", same_words=0)


@pytest.mark.parametrize("call", ["sum({})", "argmax({})", "max({})", "prod({})", "softmax({})", "unsqueeze({})", "select({}, 0)",
                                  "transpose(0, {})", "flip(({},))", "unbind({})", "chunk(2, {})"])
@pytest.mark.parametrize("requires_grad", [False, True])
def test_a_bool_is_no_dimension(call: str, requires_grad: bool) -> None:
    x = "x.requires_grad_()" if requires_grad else "x"
    for _ in range(2):
        check(f"[v.detach() if isinstance(v, T.Tensor) else v for v in {x}.{call.format(1)}]")
        check_error(f"{x}.{call.format(True)}", same_words=0)


def test_numpy_integers_are_dimensions() -> None:
    for dim in ("np.int64(1)", "np.int32(-1)"):
        check(f"x.sum({dim})")
        check(f"x.softmax({dim})")


@pytest.mark.parametrize("call", ["sum(1, {})", "max(1, {})", "amax(1, {})", "mean(1, keepdim={})", "argmin(1, {})"])
def test_keepdim_is_a_bool(call: str) -> None:
    for _ in range(2):
        check(f"x.{call.format(True)}")
        for flag in ("1", "0", "1.0", "'yes'", "None"):
            check_error(f"x.{call.format(flag)}", same_words=0)


def test_the_product_is_along_one_dimension() -> None:
    check_error("x.prod((1,))", same_words=0)
    assert isinstance(run(jitgrad, "x.prod((1,))"), TypeError)


@pytest.mark.parametrize("call", ["expand({})", "repeat({})", "tile({})", "view({})", "permute({})", "reshape(({},))",
                                  "split([{}, 1])"])
def test_a_bool_is_no_size(call: str) -> None:
    check_error(f"T.ones(1).{call.format(True)}" if "split" not in call else f"T.ones(2).{call.format(True)}", same_words=0)


@pytest.mark.parametrize("call", ["flip(dims=(0,))", "tile(dims=(2,))", "repeat(repeats=(2, 1))", "flip(dims=[-1])", "flip(dims=())",
                                  "take_along_dim(T.tensor([[-1], [0]]), 1)", "take_along_dim(T.tensor([[-4], [5]]), 1)"])
def test_numbers_by_name_and_positions_from_the_end(call: str) -> None:
    check(f"T.arange(6.).view(2, 3).{call}")
    check(f"T.arange(6.).view(2, 3).requires_grad_().{call}.detach()")
