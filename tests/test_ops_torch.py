"""Values and derivatives of the elementwise and reducing primitives at kinks, ties, poles and infinities: PyTorch's.

Finite differences (test_ops.py) say nothing there.  Every op that PyTorch has under the same name is compared on all
combinations of special operands; what differs on purpose is listed with its reason.
"""
from __future__ import annotations

import itertools

import mpmath
import numpy as np
import pytest

from jitgrad import ops
from jitgrad.differentiate import differentiate
from jitgrad.graph.node import Node, Op, topological
from jitgrad.graph.recording import input_node
from jitgrad.interpreter import evaluate
from jitgrad.ops.declare import REGISTRY
from jitgrad.types.array import array_type
from jitgrad.types.dtype import BY_CODE, from_numpy_dtype

torch = pytest.importorskip("torch")

pytestmark = pytest.mark.full

SPECIAL = np.array([0.0, -0.0, 1.0, -1.0, 0.5, -2.0, 3.0, 40.0, -800.0, np.inf, -np.inf, np.nan])
FEW = np.array([0.0, 1.0, -2.0, np.inf, -np.inf, np.nan])
RENAMED = {"cast": None, "copy": torch.clone, "slice": None, "index": None, "pow": torch.pow,
           "softplus": lambda x: torch.nn.functional.softplus(x, threshold=1e9), "clamp_min": torch.clamp_min,
           "floor_divide": lambda a, b: torch.div(a, b, rounding_mode="floor"), "relu": torch.relu,
           "leaky_relu": lambda x, slope: torch.where(x > 0, x, x * slope), "nan_to_num": None,
           "nonzero": None, "addcdiv": None}
# What differs on purpose.
EXCEPT = {"leaky_relu": "a slope that is an operand is jitgrad's own",
          "heaviside": "PyTorch refuses to differentiate it"}
FORWARD_ONLY = {"digamma": "PyTorch's trigamma has 9 digits and finite values at poles; see test_polygamma"}


def oracle(op: Op):
    return RENAMED[op.name] if op.name in RENAMED else getattr(torch, op.name, None)


ELEMENTWISE = [op for op in REGISTRY.values()
               if op.kind == "elementwise" and "f8" in op.sample.dtypes and op.name not in EXCEPT and oracle(op)]


def leaf(array: np.ndarray, requires_grad: bool = False) -> Node:
    return input_node(array, array_type(array.shape, from_numpy_dtype(array.dtype)), requires_grad)


def close(got: np.ndarray, expected: np.ndarray, what: str, operands: list[np.ndarray]) -> None:
    with np.errstate(all="ignore"):
        good = (got == expected) | (np.isnan(got) & np.isnan(expected)) | \
            (np.abs(got - expected) <= 1e-12 + 1e-10 * np.abs(expected))
    bad = [(*[float(a[i]) for a in operands], float(got[i]), float(expected[i])) for i in np.flatnonzero(~good)]
    assert not bad, f"{what}: (operands, got, expected): {bad[:20]}"


@pytest.mark.parametrize("op", ELEMENTWISE, ids=lambda op: op.name)
def test_special_operands(op: Op) -> None:
    bools = [k for k, a in enumerate(op.sample.cases(np.random.default_rng(0), BY_CODE["f8"])[0].arrays)
             if a.dtype == np.bool_]
    n = len(op.arg_names)
    axes = [np.array([True, False]) if k in bools else SPECIAL if n < 3 else FEW for k in range(n)]
    operands = [np.array(column) for column in zip(*itertools.product(*axes), strict=True)]
    inputs = [leaf(a, a.dtype.kind == "f") for a in operands]
    y = op(*inputs)
    tensors = [torch.tensor(a, requires_grad=a.dtype.kind == "f") for a in operands]
    expected = oracle(op)(*tensors)
    close(evaluate([y])[0].astype(float), expected.detach().numpy().astype(float), f"{op.name}", operands)
    if op.name in FORWARD_ONLY:
        return
    if not y.requires_grad:
        assert not expected.requires_grad
        return
    found = differentiate(topological([y]), {y: leaf(np.ones(y.type.shape))}, [x for x in inputs if x.requires_grad])
    grads = torch.autograd.grad(expected.sum(), [t for t in tensors if t.requires_grad])
    for k, (node, g) in enumerate(zip([x for x in inputs if x.requires_grad], grads, strict=True)):
        close(evaluate([found[node]])[0], g.numpy(), f"derivative of {op.name} to floating operand {k}", operands)


REFUSED = {"pow": {"b1"}, "floor_divide": {"b1"}}
WHOLE = [(op, code) for op in ELEMENTWISE if op.arg_names[0] != "c"
         for code in sorted({"i4", "i8", "b1"} & set(op.sample.dtypes) - REFUSED.get(op.name, set()))]


@pytest.mark.parametrize(("op", "code"), WHOLE, ids=[f"{op.name}-{code}" for op, code in WHOLE])
def test_integers_and_bools(op: Op, code: str) -> None:
    numbers = np.array([False, True] if code == "b1" else [-7, -2, -1, 0, 1, 2, 3, 100000], BY_CODE[code].np)
    operands = [np.array(column) for column in zip(*itertools.product(*[numbers] * len(op.arg_names)), strict=True)]
    if op.name in ("floor_divide", "remainder", "fmod"):
        operands = [a[operands[1] != 0] for a in operands]
    if op.name == "pow":        # PyTorch refuses negative integer exponents only for Python numbers
        operands = [a[np.abs(operands[1]) < 4] for a in operands]
    got = evaluate([op(*[leaf(a) for a in operands])])[0]
    expected = oracle(op)(*[torch.tensor(a) for a in operands]).numpy()
    assert got.dtype == expected.dtype
    np.testing.assert_array_equal(got, expected, err_msg=code)


REDUCED = [
    ("prod", [[0.0, 2.0, 3.0], [0.0, 0.0, 3.0], [1.0, 2.0, 4.0]]),
    ("amax", [[1.0, 3.0, 3.0], [2.0, 2.0, 2.0], [-1.0, np.nan, 4.0], [np.inf, np.inf, 0.0]]),
    ("amin", [[1.0, 3.0, 1.0], [2.0, 2.0, 2.0], [-1.0, np.nan, 4.0], [-np.inf, -np.inf, 0.0]]),
    ("sum", [[np.inf, -np.inf, 1.0], [np.inf, 1.0, 2.0], [np.nan, 0.0, 0.0]]),
]


@pytest.mark.parametrize(("name", "rows"), REDUCED)
@pytest.mark.parametrize("axis", [0, 1])
def test_reductions_and_their_two_derivatives(name: str, rows: list, axis: int) -> None:
    x, weight = leaf(np.array(rows), True), np.arange(1.0, 1 + np.size(rows)).reshape(np.shape(rows))
    tx = torch.tensor(rows, dtype=torch.float64, requires_grad=True)
    y = REGISTRY[name](x, axes=(axis,))
    ty = getattr(torch, name)(tx, axis, keepdim=True)
    np.testing.assert_array_equal(evaluate([y])[0], ty.detach().numpy())
    g = leaf(np.linspace(1, 2, y.type.size).reshape(y.type.shape))
    first = differentiate(topological([y]), {y: g}, [x])[x]
    (tfirst,) = torch.autograd.grad(ty, tx, torch.tensor(g.value), create_graph=True)
    np.testing.assert_allclose(evaluate([first])[0], tfirst.detach().numpy())
    if not tfirst.requires_grad or np.isnan(rows).any():
        return
    second = differentiate(topological([first]), {first: leaf(weight)}, [x]).get(x, ops.zeros_like(x))
    (tsecond,) = torch.autograd.grad(tfirst, tx, torch.tensor(weight), allow_unused=True)
    np.testing.assert_allclose(evaluate([second])[0], 0 * weight if tsecond is None else tsecond.numpy())


def test_matmul_errors_are_pytorchs() -> None:
    shapes = [((2, 3), (4, 5)), ((6, 2, 3), (4, 5)), ((2, 3), (6, 4, 5)), ((2, 2, 3), (2, 4, 5)),
              ((2, 2, 3), (3, 3, 5)), ((2, 1, 2, 3), (3, 4, 5)), ((0, 2, 3), (4, 5))]
    for a, b in shapes:
        with pytest.raises(RuntimeError) as theirs:
            torch.zeros(a) @ torch.zeros(b)
        with pytest.raises(RuntimeError) as ours:
            leaf(np.zeros(a, np.float32)) @ leaf(np.zeros(b, np.float32))
        assert str(ours.value) == str(theirs.value).splitlines()[0], (a, b)


def test_other_errors_are_pytorchs() -> None:
    def t(x: Node):
        return torch.tensor(x.value)

    x = leaf(np.zeros((2, 3), np.float32))
    y = leaf(np.zeros((2, 4), np.float32))
    i = leaf(np.full((2, 3), 7))
    pairs = [
        (lambda: ops.cat(x, y, dim=0), lambda: torch.cat([t(x), t(y)], 0)),
        (lambda: ops.cat(x, leaf(np.zeros(3, np.float32)), dim=0), lambda: torch.cat([t(x), torch.zeros(3)])),
        (lambda: ops.expand(x, sizes=(2, 4)), lambda: t(x).expand(2, 4)),
        (lambda: ops.expand(x, sizes=(4,)), lambda: t(x).expand(4)),
        (lambda: ops.reshape(x, sizes=(4,)), lambda: t(x).reshape(4)),
        (lambda: x + y, lambda: t(x) + t(y)),
        (lambda: ops.where(x, x, x), lambda: torch.where(t(x), t(x), t(x))),
        (lambda: ops.argmax(leaf(np.zeros((0, 2))), axes=(0,)), lambda: torch.zeros(0, 2).argmax(0)),
        (lambda: evaluate([ops.index(x, leaf(np.array([1, -5])), axes=(0,))]), lambda: t(x)[torch.tensor([1, -5])]),
        (lambda: ops.take_along(x, leaf(np.zeros(2, np.int64)), dim=0),
         lambda: t(x).gather(0, torch.zeros(2, dtype=torch.int64))),
        (lambda: ops.take_along(x, leaf(np.zeros((3, 3), np.int64)), dim=1),
         lambda: t(x).gather(1, torch.zeros((3, 3), dtype=torch.int64))),
        (lambda: evaluate([ops.take_along(x, i, dim=1)]), lambda: t(x).gather(1, t(i))),
    ]
    for ours, theirs in pairs:
        with pytest.raises(Exception) as expected:      # noqa: B017
            theirs()
        with pytest.raises(expected.type) as got:
            ours()
        assert str(got.value) == str(expected.value).splitlines()[0]


def test_polygamma() -> None:
    points = np.array([1e-3, 0.5, 1.0, 2.25, 14.9, 300.0, 1e8, -0.5, -3.75, -40.3])
    for n in range(5):
        got = evaluate([ops.digamma(leaf(points)) if n == 0 else ops.polygamma(leaf(points), n=n)])[0]
        np.testing.assert_allclose(got, [float(mpmath.polygamma(n, x)) for x in points], rtol=5e-13, err_msg=str(n))
