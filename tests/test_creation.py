"""Creation and random tensors: against PyTorch where the values are determined, else by their properties."""
from __future__ import annotations

import numpy as np
import pytest
from oracle import check, check_error

import jitgrad

SAME = ["T.tensor(1)", "T.tensor(1.5)", "T.tensor(True)", "T.tensor([])", "T.tensor([[]])", "T.tensor([1, 2])",
        "T.tensor([1, 2.5])", "T.tensor([True, 2])", "T.tensor([[1, 2], [3, 4.]])", "T.tensor((1, 2))",
        "T.tensor(range(3))", "T.tensor([1.5], dtype=T.int64)", "T.tensor([0, 2], dtype=T.bool)",
        "T.tensor([1, 2], dtype=T.float64)", "T.tensor([1, 2], dtype=float)", "T.tensor(np.arange(3.))",
        "T.tensor(np.float32(2))", "T.tensor(np.int64(2))", "T.tensor(np.arange(3, dtype=np.int32))",
        "T.tensor(np.array(True))", "T.tensor([np.float64(1), 2])", "T.tensor([T.tensor(1.), 2.])",
        "T.tensor([T.tensor(1), T.tensor(2)])", "T.tensor([[T.tensor(1.), 2.], [3., 4.]])",
        "T.tensor([np.array([1, 2]), np.array([3, 4])])", "T.tensor(np.arange(6.).reshape(2, 3).T)",
        "T.tensor([[[1]], [[2]]])", "T.tensor([1., 2.], requires_grad=True).requires_grad", "T.tensor(2 ** 62)",
        "T.tensor([-1, 2 ** 40])", "T.as_tensor([1, 2])", "T.as_tensor(x) is x", "T.as_tensor(x, dtype=T.float64)",
        "T.as_tensor(np.ones(2))", "T.from_numpy(np.arange(4).reshape(2, 2))", "T.asarray([1.5])",
        "T.scalar_tensor(3)", "T.zeros(2, 3)", "T.zeros((2, 3))", "T.zeros([2])", "T.zeros(())", "T.zeros(0, 3)",
        "T.zeros(2, dtype=T.int64)", "T.zeros(size=(2,))", "T.ones(2)", "T.ones(2, 3, dtype=T.bool)",
        "T.ones(x.shape)", "T.full((2, 3), 7)", "T.full((2,), 1.5)", "T.full((2,), True)", "T.full((), 2)",
        "T.full([2], 3, dtype=T.float64)", "T.empty(2, 3).shape", "T.zeros_like(x)", "T.zeros_like(i)",
        "T.zeros_like(x, dtype=T.int64)", "T.ones_like(w)", "T.full_like(x, 3)", "T.empty_like(x).shape",
        "T.ones_like(x, requires_grad=True).requires_grad", "T.eye(3)", "T.eye(2, 3)", "T.eye(2, dtype=T.int64)",
        "T.eye(0)", "T.arange(5)", "T.arange(1, 5)", "T.arange(1, 10, 3)", "T.arange(5, 0, -2)", "T.arange(3.5)",
        "T.arange(0, 1, 0.1)", "T.arange(1, 2, 0.3, dtype=T.float64)", "T.arange(0)", "T.arange(2, 2)",
        "T.arange(3, dtype=T.float32)", "T.arange(end=3)", "T.arange(start=1, end=4)", "T.arange(0.1, 0.5, 0.1)",
        "T.linspace(0, 1, 5)", "T.linspace(0, 1, 7, dtype=T.float64)", "T.linspace(-3, 10, 1)", "T.linspace(2, -1, 4)",
        "T.linspace(0, 1, 0)", "T.linspace(0, 10, 5, dtype=T.int64)", "T.linspace(0, 1, steps=11)",
        "T.logspace(0, 2, 3)", "T.Tensor([1, 2])", "T.Tensor(2, 3).shape", "T.Tensor(2).shape", "T.Tensor()",
        "T.FloatTensor([1, 2])", "T.LongTensor([1])", "T.DoubleTensor([1.5])", "T.BoolTensor([True])",
        "x.new_zeros(2)", "d.new_ones(2, 3)", "x.new_tensor([1, 2])", "x.new_full((2,), 3)",
        "i.new_zeros((2,), dtype=T.float32)", "x.new_empty(2).shape",
        "T.zeros(2, out=T.ones(2, dtype=T.int64))", "T.full((2,), 3.5, out=T.ones(0, dtype=T.int64))", "T.eye(2, out=T.ones(2, 2))",
        "T.arange(3, out=T.ones(3, dtype=T.float64))", "T.linspace(0, 1, 3, out=T.ones(3))", "T.logspace(0, 2, 3, out=T.ones(3))",
        "T.randperm(1, out=T.ones(1, dtype=T.int64))", "T.bernoulli(T.ones(2), 0.0)", "T.bernoulli(T.ones(2), out=T.zeros(2))",
        "T.linspace(4.3, -3, 50, dtype=T.int64)", "T.logspace(0, 4.5, 5, base=2, dtype=T.int32)", "T.arange(1.5, 5, dtype=T.int64)",
        "T.arange(-2.5, 5, 1.7, dtype=T.int32)", "T.zeros(2, layout=T.strided)", "float(T.zeros(2).layout == T.strided)",
        "T.ones(2, out=T.zeros(2), requires_grad=True).requires_grad", "T.full((2,), -1, dtype=T.uint8)",
        "T.ones(2, dtype=T.uint8).fill_(-255)",
        "T.ones(2, dtype=T.uint8) + (-1)", "T.ones(2, dtype=T.uint8) > -1", "x.clone(memory_format=T.preserve_format)"]

ERRORS = ["T.tensor([[1], [1, 2]])", "T.tensor([[1, 2], [1]])", "T.tensor('a')", "T.tensor(['a'])", "T.tensor([None])",
          "T.tensor(None)", "T.tensor(2 ** 64)", "T.tensor([2 ** 64])", "T.tensor([1], requires_grad=True)",
          "T.zeros(2, out=T.ones(2), dtype=T.int64)", "T.zeros(2, out=3)", "T.arange(0, 1, 0.1, dtype=T.int64)",
          "T.linspace(T.ones(1), 2, 3)", "T.bernoulli(T.ones(2), 1.5)",
          "T.arange(0, 1, 0)", "T.arange(1, 0)", "T.linspace(0, 1, -1)", "T.zeros(-1)", "T.zeros(2.5)", "T.zeros('a')",
          "T.full(2, 1)", "T.eye(-1)", "T.from_numpy([1])", "T.zeros_like(3)", "T.Tensor(1.5)", "T.randint(0, (2,))",
          "T.ones(2).uniform_(3, 1)", "T.normal(0., -1., (2,))", "T.rand(2, dtype=T.int64)", "T.tensor([1], 2)",
          "T.arange('a')", "T.arange(0, float('inf'))", "T.arange(float('nan'))", "T.arange()", "T.arange(None)",
          "T.eye('a')", "T.eye(True)",
          "T.full((2,), 'a')", "T.full_like(x, 'a')", "T.full((2,), float('nan'), dtype=T.int64)", "T.full((2,), 300, dtype=T.uint8)",
          "T.full((2,), -256, dtype=T.uint8)", "T.linspace('a', 1, 2)", "T.linspace(0, 1, 2.0)", "T.zeros()", "T.rand()",
          "T.zeros(2, size=(2,))",
          "T.zeros(2, shape=3)", "T.ones(2, dtype=T.int64, requires_grad=True)", "T.cat([x, 3])", "T.stack([x, None])"]

OTHER_WORDS = ("T.rand(2, dtype=T.int64)",
               "T.tensor([1], 2)", "T.arange()", "T.rand()", "T.linspace('a', 1, 2)", "T.linspace(0, 1, 2.0)")


@pytest.mark.parametrize("code", SAME)
def test_as_pytorch(code: str) -> None:
    check(code, ulp=2)


@pytest.mark.parametrize("code", ERRORS)
def test_errors(code: str) -> None:
    check_error(code, 0 if code in OTHER_WORDS else 3)


def test_what_jitgrad_does_not_have_is_refused_by_name() -> None:
    with pytest.raises(TypeError, match="uint16"):
        jitgrad.tensor(np.zeros(2, np.uint16))
    with pytest.raises(TypeError, match="complex"):
        jitgrad.tensor(1j)
    with pytest.raises(AttributeError, match="float16"):
        _ = jitgrad.float16
    with pytest.raises(TypeError, match="half"):
        jitgrad.ones(2).half()
    with pytest.raises(AssertionError, match="Torch not compiled with CUDA enabled"):
        jitgrad.zeros(2, device="cuda")


def test_data_is_copied() -> None:
    array = np.ones(3)
    tensors = [jitgrad.tensor(array), jitgrad.from_numpy(array), jitgrad.as_tensor(array)]
    array[0] = 5
    assert [t.tolist() for t in tensors] == [[1.0, 1.0, 1.0]] * 3
    exported = tensors[0].numpy()
    with pytest.raises(ValueError, match="read-only"):
        exported[0] = 3
    tensors[0].add_(1)
    assert exported.tolist() == [1.0, 1.0, 1.0]


def test_tensor_of_a_tensor_warns_and_copies() -> None:
    x = jitgrad.ones(2, requires_grad=True)
    with pytest.warns(UserWarning, match="sourceTensor"):
        y = jitgrad.tensor(x)
    assert not y.requires_grad
    assert y.tolist() == [1.0, 1.0]


def test_default_dtype() -> None:
    jitgrad.set_default_dtype(jitgrad.float64)
    try:
        assert {t.dtype for t in (jitgrad.tensor(1.5), jitgrad.zeros(2), jitgrad.rand(2), jitgrad.arange(0.5),
                                  jitgrad.ones(2, dtype=jitgrad.int64) / 2, jitgrad.eye(2))} == {jitgrad.float64}
    finally:
        jitgrad.set_default_dtype(jitgrad.float32)


RANDOM = ["rand(1000)", "randn(1000)", "randint(10, (1000,))", "randint(-3, 3, (1000,))", "randperm(100)",
          "normal(2.0, 3.0, (1000,))", "normal(T.zeros(1000), 2.0)", "normal(1.0, T.ones(1000))",
          "rand_like(T.ones(1000))", "randn_like(T.ones(1000, dtype=T.float64))", "bernoulli(T.full((1000,), 0.3))",
          "zeros(1000).uniform_(-1, 2)", "zeros(1000).normal_(1, 2)", "zeros(1000).bernoulli_(0.3)",
          "zeros(1000).random_(5)", "randint_like(T.ones(1000), 4)"]


@pytest.mark.parametrize("code", RANDOM)
def test_a_seed_determines_the_stream(code: str) -> None:
    def draw(seed: int) -> list[float]:
        jitgrad.manual_seed(seed)
        return eval(f"T.{code}", {"T": jitgrad}).tolist()

    assert draw(3) == draw(3)
    assert draw(3) != draw(4)


def test_random_distributions() -> None:
    jitgrad.manual_seed(0)
    u, g, k = jitgrad.rand(20000), jitgrad.randn(20000), jitgrad.randint(2, 5, (20000,))
    assert 0 <= u.min().item() and u.max().item() < 1 and abs(u.mean().item() - 0.5) < 0.02
    assert abs(g.mean().item()) < 0.04 and abs(g.std().item() - 1) < 0.04
    assert sorted(set(k.tolist())) == [2, 3, 4]
    assert sorted(jitgrad.randperm(50).tolist()) == list(range(50))
    assert (u.dtype, g.dtype, k.dtype) == (jitgrad.float32, jitgrad.float32, jitgrad.int64)
    n = jitgrad.normal(jitgrad.tensor([0.0, 100.0]), jitgrad.tensor([1.0, 0.0]))
    assert n[1].item() == 100.0


def test_generators_are_independent() -> None:
    g = jitgrad.Generator().manual_seed(7)
    first = jitgrad.rand(3, generator=g).tolist()
    jitgrad.manual_seed(7)
    jitgrad.rand(3)
    assert jitgrad.rand(3, generator=g.manual_seed(7)).tolist() == first
    assert g.initial_seed() == 7
    jitgrad.seed()
    assert jitgrad.rand(3).tolist() != first


def test_random_writes_in_place_are_refused_on_leaves() -> None:
    x = jitgrad.zeros(2, requires_grad=True)
    with pytest.raises(RuntimeError, match="leaf Variable"):
        x.uniform_()
    with jitgrad.no_grad():
        x.uniform_(1, 2)
    assert x.requires_grad and x.is_leaf and x.min().item() >= 1


@pytest.mark.parametrize("data", ["'a'", "['a']", "[['a']]", "[1., 'a']", "[[1.], ['a']]"])
def test_text_is_no_number(data: str) -> None:
    torch = pytest.importorskip("torch")
    found = []
    for library in (jitgrad, torch):
        with pytest.raises((TypeError, ValueError)) as error:
            library.tensor(eval(data))
        found.append((type(error.value), str(error.value)))
    assert found[0] == found[1]
