"""x[...]: reading and writing, and the functions that read at positions, against PyTorch."""
from __future__ import annotations

from collections.abc import Callable, Iterable

import drawn
import numpy as np
import pytest
from oracle import check, check_error

import jitgrad
from jitgrad.requests import schedule_cache
from jitgrad.tensors import steps

KEYS = ["0", "-1", "1, 2", "0, -1", ":", "...", "()", "1:", ":1", ":, 1:", "::2", ":, ::2", "1:1", "5:", "-2:", "None",
        ":, None", "..., None", "None, 0", "0, None", "..., 0", "..., 1:", "None, ..., 0", ":, -1", "0:1, 0", "(0,)",
        "-5:5, 1::2", "[0, 1]", "[1]", "[[0, 1], [1, 1]]", "c", "c, c", "c, :", ":, c", "0, c", "c, 0",
        "c[:, None], c", "c[:, None], T.tensor([0, 2])", "c, None", "None, c", "..., c", "c, ...", ":, [0, 2]",
        "[1, 0], 1:", "m", "m[:, 0]", "n[:2]", ":, n", "0, n", "m, None", "T.tensor(1)", "T.tensor(1), T.tensor(0)",
        "T.tensor(True)", "True", "False", "None, True", "0, True", "np.array([0, 1])", "np.int64(1)",
        "np.array([True, False])", "range(2)", "T.tensor([], dtype=T.int64)", "[]", "[True, False]",
        "T.tensor([-1, 0])", "T.tensor([0], dtype=T.int32)", "x > 1", "x.argmax(1), c", "T.zeros(2, 3, dtype=T.bool)",
        "np.array(1)", "np.array(True)", "np.array([])"]
KEYS_3D = ["0, 1, 2", "0, :, 1", "..., 0", "0, ...", "1, ..., None", "c, :, c", "c, c", ":, c, c", "c, None, c",
           "None, c, :, c", "0, c", "0, :, c", ":, 0, c", "c, 0", "c, 0, c", "m", "m, 0", "b > 0", ":, n",
           "0, n, c[0]", "..., c", "[0, 1], ..., 0", "c[:, None], :, T.tensor([1, 2, 3])", "::2, 1:, ::3",
           "None, ..., 1:3", "1:, 0, None", "m[0, :2], :, c",
           "np.array(1), :, c"]


@pytest.mark.parametrize("key", KEYS)
def test_reading(key: str) -> None:
    check(f"x[{key}]")


@pytest.mark.parametrize("key", KEYS_3D)
def test_reading_three_dimensions(key: str) -> None:
    check(f"b[{key}]")
    check(f"b.transpose(0, 2).contiguous().transpose(0, 2)[{key}]")


@pytest.mark.parametrize("key", ["...", "None", "()", "True", "None, ..., None", "m[0, 0]"])
def test_reading_zero_dimensions(key: str) -> None:
    check(f"s[{key}]")


@pytest.mark.parametrize("key", KEYS)
def test_writing_a_number(key: str) -> None:
    check(f"a = x.clone(); a[{key}] = 7.5; result = a")
    check(f"a = i.clone(); a[{key}] = 7; result = a")


@pytest.mark.parametrize("key", KEYS_3D)
def test_writing_a_tensor(key: str) -> None:
    check(f"a = b.clone(); a[{key}] = T.arange(a[{key}].numel()).reshape(a[{key}].shape).double(); result = a")
    check(f"a = b.clone(); a[{key}] = z; result = a")
    check(f"a = b.clone(); a.transpose(0, 2)[1:] = 3; a[{key}] += 1; result = a")


WRITES = ["a = x.clone(); a[0] = v; result = a", "a = x.clone(); a[:, 0] = T.tensor([5., 6.]); result = a",
          "a = x.clone(); a[0] = d[1]; result = a", "a = i.clone(); a[0] = v; result = a",
          "a = x.clone(); a[...] = v; result = a", "a = x.clone(); a[0] = T.ones(1, 1, 3); result = a",
          "a = x.clone(); a[m] = y[m]; result = a", "a = x.clone(); a[m] = T.tensor([9.]); result = a",
          "a = x.clone(); a[n[:2]] = v; result = a", "a = x.clone(); a[c] = y; result = a",
          "a = x.clone(); a[[0, 0]] = v; result = a", "a = x.clone(); a[a < 0] = 0; result = a",
          "a = x.clone(); a.t()[0] = 3; result = a", "a = x.clone(); a[0][1] = 3; result = a",
          "a = x.clone(); c = a[0]; c[m[0]] = 9; result = a", "a = x.clone(); a[0] += a[1]; result = a",
          "a = x.clone(); a[:] = a.flip(0); result = a",
          "a = x.clone(); a[0], a[1] = a[1].clone(), a[0].clone(); result = a", "a = s.clone(); a[()] = 3; result = a",
          "a = s.clone(); a[...] = 3; result = a",
          "a = T.zeros(2, 2); a[0, 0] = T.tensor(4, dtype=T.int64); result = a",
          "a = x.clone(); a[1:, 1:] *= 2; result = a", "a = x.clone(); a[:, c] -= 1; result = a",
          "a = T.zeros(3, dtype=T.bool); a[1] = True; a[2] = 2; result = a"]


@pytest.mark.parametrize("code", WRITES)
def test_writing_forms(code: str) -> None:
    check(code)


FUNCTIONS = ["T.gather(x, 1, c[:, None])", "T.gather(x, 0, T.tensor([[0, 1, 1]]))",
             "x.gather(1, T.tensor([[2, 1], [0, 0]]))", "T.gather(s, 0, T.tensor(0))",
             "T.take_along_dim(x, x.argsort(1) if False else T.tensor([[0], [2]]), 1)",
             "T.take_along_dim(x, T.tensor([5, 0]))", "T.take_along_dim(x, T.tensor([[0, 1, 1]]), dim=0)",
             "T.index_select(x, 1, c)", "x.index_select(0, T.tensor([1, 1, 0]))", "T.index_select(b, 2, T.tensor(1))",
             "T.masked_select(x, m)", "x.masked_select(n)", "T.nonzero(x > 0)", "m.nonzero()",
             "T.nonzero(m, as_tuple=True)", "T.nonzero(s)", "T.nonzero(T.zeros(3))", "T.nonzero(s, as_tuple=True)",
             "x.narrow(1, 1, 2)", "x.select(1, -1)", "b.narrow(2, -2, 2)", "list(x)", "[t.sum().item() for t in x]",
             "len(x)", "x[0].tolist()", "2.0 in x", "7 in i"]


@pytest.mark.parametrize("code", FUNCTIONS)
def test_functions(code: str) -> None:
    check(code)


ERRORS = ["x.index_put((c,), T.ones(1, 1, 3))", "x.index_put((c,), T.ones(3, dtype=T.int64))",
          "x.index_put((c,), T.ones(1, 1, 3), accumulate=True)", "x.narrow(0, T.tensor(1.0), 1)", "T.roll(x, (), 0)", "T.hstack([])",
          "T.movedim(x, (0, -2), (0, 1))",
          "x[2]", "x[-3]", "x[0, 3]", "x[0, 0, 0]", "x[1.5]", "x['a']", "x[::-1]", "x[::0]", "x[T.tensor([5])]",
          "x[[0, 1], [5, 0]]", "x[T.tensor([True])]", "x[c, c, c]", "x[T.tensor([0.])]", "s[0]",
          "s[T.tensor([True, False])]", "x[c, T.tensor([0, 1, 2])]", "len(s)", "list(s)",
          "a = x.clone(); a[0] = T.ones(2); result = a", "a = x.clone(); a[m] = v[:2]; result = a",
          "a = x.clone(); a[0] = 'a'; result = a", "a = x.clone(); a[0] = [1, 2, 3]; result = a",
          "a = x.clone(); a[5] = 1; result = a", "a = b.clone(); a[c] = s; result = a",
          "T.gather(x, 0, T.tensor([5]))", "T.gather(x, 0, T.tensor([[5, 0, 0]]))",
          "T.index_select(x, 0, T.tensor([5]))", "'a' in x"]


@pytest.mark.parametrize("code", ERRORS)
def test_errors(code: str) -> None:
    check_error(code, 0 if code in ("T.index_select(x, 0, T.tensor([5]))", "'a' in x") else 4)


def test_basic_indexing_is_a_view_and_others_are_copies() -> None:
    x = jitgrad.zeros(3, 4)
    for view in (x[1], x[1:, ::2], x[..., None], x[:], x[...]):
        before = x._version
        view += 1
        assert x._version == before + 1
    assert x[1].tolist() == [5.0, 4.0, 5.0, 4.0]
    for copy in (x[[0, 1]], x[x > 0], x[jitgrad.tensor([1])]):
        before = x.tolist()
        copy += 1
        assert x.tolist() == before


def test_writing_to_a_leaf_is_refused() -> None:
    x = jitgrad.zeros(3, requires_grad=True)
    with pytest.raises(RuntimeError, match="a view of a leaf Variable"):
        x[0] = 1
    with pytest.raises(RuntimeError, match="a leaf Variable"):
        x[x > -1] = 1
    with jitgrad.no_grad():
        x[0] = 1
        x[x > 0] += 1
    assert x.tolist() == [2.0, 0.0, 0.0] and x.is_leaf and x.requires_grad


@pytest.mark.parametrize("index", ["[5]", "[-1]", "[0, 2]"])
def test_index_select_out_of_range(index: str) -> None:
    with pytest.raises(IndexError, match="^index out of range in self$"):
        jitgrad.ones(2).index_select(0, jitgrad.tensor(eval(index)))


def _programs_for(function: Callable[[jitgrad.Tensor, int], jitgrad.Tensor], values: Iterable[int]) -> int:
    """How many structures the backward passes of function(x, value) have."""
    before = len(schedule_cache.known)
    for value in values:
        x = jitgrad.arange(6.).requires_grad_()
        (function(x, value) * jitgrad.arange(6.)[:function(x.detach(), value).numel()]).sum().backward()
        assert x.grad is not None
    return len(schedule_cache.known) - before


def test_a_bound_at_the_end_has_the_structure_of_any_other() -> None:
    assert _programs_for(lambda x, k: x[:k].exp(), (4, 6, 9)) == 1
    assert _programs_for(lambda x, k: x[k:].cos(), (0, 1, 3)) == 1


def test_one_program_serves_every_shift_of_roll() -> None:
    assert _programs_for(lambda x, k: x.roll(k).tanh(), range(-7, 8)) == 1


@pytest.mark.parametrize("shift", range(-4, 5))
def test_roll(shift: int) -> None:
    for program in (f"x.roll({shift})", f"x.roll({shift}, 0)", f"x.roll({shift}, 1)", f"b.roll((1, {shift}), (0, 2))",
                    f"e.roll({shift})"):
        check(program)


@pytest.mark.parametrize("value", ["np.ones(3)", "[1.0, 2.0]", "'a'"])
def test_what_cannot_be_assigned(value: str) -> None:
    check_error(f"a = x.clone(); a[0] = {value}")


@pytest.mark.parametrize("positions", [[0, 1], [True, False, True], [[0], [2]]])
def test_positions_are_saved(positions: list) -> None:
    x = jitgrad.tensor([1.0, 2.0, 3.0], requires_grad=True)
    for _ in range(3):
        at = jitgrad.tensor(positions)
        read = x[at].sum()
        written = x.clone()
        written[at] = 2.0
        written = written.sum()
        for y in (read, written):
            y.backward()
            with pytest.raises(RuntimeError, match="a second time"):
                y.backward()
        y = x[at].sum()
        at[0] = 0
        with pytest.raises(RuntimeError, match="is at version 1; expected version 0"):
            y.backward()


VIEWS = ["a", "a[1]", "a[1][2]", "a.t()[2]", "a[1:, ::2]", "a.detach()[0]", "a.data[2]", "a[:, 1]", "a[..., None]", "a.view(12)[3:5]",
         "a[2, 3]", "a.unbind()[1]", "a.permute(1, 0)[1:3]"]
WAYS = ["v.add_(c)", "v.mul_(c)", "v[...] = c", "v[0] = c", "v.add_(v * c)", "v.copy_(v.clone() + c)", "v.sub_(a.sum())", "v += c",
        "float(v.sum())", "v.fill_(c)"]
PLACES = ["a[1, 2] += c", "a[2] *= c", "a[0][1] -= c", "a[:, 1] += c", "a.t()[0] += c", "a[1:] = a[:-1].clone()", "kept = a[1]",
          "kept += c"]


@pytest.mark.parametrize("number", range(6))
def test_a_plain_array_is_read_and_written_by_parts(number: int) -> None:
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(drawn.seed(number))
    both = [{"t": t, "a": t.arange(12, dtype=t.float64).reshape(3, 4), "no_grad": t.no_grad} for t in (jitgrad, torch)]
    for scope in both:
        scope["v"] = scope["kept"] = scope["a"][1]
    for _ in range(40):
        c = float(rng.integers(-3, 4))
        if rng.random() < 0.5:
            line = str(rng.choice(PLACES))
        else:
            view, way = str(rng.choice(VIEWS)), str(rng.choice(WAYS))
            if view in ("a[2, 3]", "a[1][2]") and "[0]" in way:         # of no dimensions
                continue
            line = f"v = {view}; {way}"
        if rng.random() < 0.2:
            line = "with no_grad(): " + line
        for scope in both:
            exec(line, scope | {"c": c}, scope)
        ours, theirs = both
        for name in ("a", "v", "kept"):
            if rng.random() < 0.7:
                np.testing.assert_allclose(ours[name].numpy(), theirs[name].numpy(), rtol=1e-12, err_msg=line)
            assert ours[name]._version == theirs[name]._version, line


def test_what_is_counted_in_place_is_one_array() -> None:
    a = jitgrad.zeros(50, 50, dtype=jitgrad.float64)
    a[0, 0] += 1
    array = a._storage.private
    for k in range(1, 40):
        a[k, 3] += k
        a[k][4] -= 1
        assert a._storage.private is array
    assert float(a[39, 3]) == 39 and float(a.sum()) == 1 + sum(range(40)) - 39


def test_what_a_write_records_is_worked_out_once(monkeypatch: pytest.MonkeyPatch) -> None:
    made = []
    monkeypatch.setattr(steps, "_recording", lambda *args, old=steps._recording: made.append(args) or old(*args))
    w = jitgrad.tensor(0.5, requires_grad=True)

    def returns() -> None:
        out, g = jitgrad.zeros(7), jitgrad.zeros(())
        for k in range(7):
            g = g * w + 1
            out[k] = g
        out[2:].mul_(2.0)
        out.sum().backward()

    returns()
    assert made
    before = len(made)
    for _ in range(3):
        returns()
    assert len(made) == before
