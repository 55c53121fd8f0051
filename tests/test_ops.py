"""Every primitive, by its declaration: no op is named here except where PyTorch's answer at an edge is written down."""
from __future__ import annotations

import contextlib
import inspect

import drawn
import numpy as np
import pytest
from graphs import verify

from jitgrad import ops
from jitgrad.differentiate import differentiate
from jitgrad.errors import InternalError, LinAlgError
from jitgrad.graph.node import Node, Op, topological
from jitgrad.graph.recording import const, input_node
from jitgrad.interpreter import evaluate
from jitgrad.ops.declare import REGISTRY, elementwise, literal
from jitgrad.ops.samples import Case
from jitgrad.types.array import ArrayType, array_type
from jitgrad.types.dtype import BY_CODE, float32, float64, from_numpy_dtype, int32

pytestmark = pytest.mark.full

DECLARED = list(REGISTRY.values())
SMOOTH = [op for op in DECLARED if op.vjp is not None and op.sample.order >= 1 and "f8" in op.sample.dtypes]
names = pytest.mark.parametrize("op", DECLARED, ids=lambda op: op.name)
differentiable = pytest.mark.parametrize("op", SMOOTH, ids=lambda op: op.name)


def leaf(array: np.ndarray, requires_grad: bool = False) -> Node:
    return input_node(array, array_type(array.shape, from_numpy_dtype(array.dtype)), requires_grad)


def apply(op: Op, case: Case, inputs: list[Node]) -> Node:
    return op(*inputs, sizes=case.sizes, **case.params)


def cases(op: Op, code: str) -> list[Case]:
    return op.sample.cases(drawn.generator(7), BY_CODE[code])


def gradients(y: Node, inputs: list[Node], g: Node) -> list[Node]:
    """One gradient an input that asks for one; zeros where y does not depend on it."""
    found = differentiate(topological([y]), {y: g}, [n for n in inputs if n.requires_grad])
    return [found.get(n, ops.zeros_like(n)) for n in inputs if n.requires_grad]


def value(node: Node) -> np.ndarray:
    return evaluate([node])[0]


# -- the declaration itself ------------------------------------------------------------------------------------------

@names
def test_declaration_is_complete(op: Op) -> None:
    assert op.doc and op.sample is not None and op.sample.dtypes
    assert getattr(ops, op.name) is op
    if op.kind == "elementwise":
        for code in op.sample.dtypes:
            params = cases(op, code)[0].params
            text = op.scalar(BY_CODE[code], **params) if callable(op.scalar) else op.scalar
            text.format(**{name: "v" for name in op.arg_names})         # raises for a name that is not an operand
    if op.kind == "reduction":
        assert callable(op.identity) or op.identity.startswith("b1")
    if op.kind in ("movement", "library"):
        assert callable(op.dims) or op.dims == "fresh" or op.dims.startswith("donor:")
    if op.vjp is not None:
        accepted = inspect.signature(op.vjp).parameters
        assert set(op.param_names) <= set(accepted) and ("sizes" in accepted) == bool(op.has_sizes)


@names
def test_forward_has_the_inferred_type(op: Op) -> None:
    for code in op.sample.dtypes:
        for case in cases(op, code):
            inputs = [leaf(a) for a in case.arrays]
            node = apply(op, case, inputs)
            with np.errstate(all="ignore"):
                raw = op.numpy(*[n.type.shape if i in op.shape_only else n.value for i, n in enumerate(inputs)],
                               **node.kwargs)
            assert np.shape(raw) == node.type.shape, (code, case)
            assert value(node).dtype == node.type.dtype.np
            if op.vjp is not None and "f4" in op.sample.dtypes and node.type.dtype.category == 2 and code[0] == "f":
                assert np.asarray(raw).dtype == node.type.dtype.np, (code, case)      # no silent widening
            verify(topological([node]))


@pytest.mark.parametrize("op", [op for op in DECLARED if "f4" in op.sample.dtypes], ids=lambda op: op.name)
def test_inf_nan_and_signed_zero_do_not_raise(op: Op) -> None:
    special = np.array([np.inf, -np.inf, np.nan, 0.0, -0.0, 1.0, -1.0, 1e-320, 1e300])
    for code in ("f4", "f8"):
        for case in cases(op, code):
            with np.errstate(all="ignore"):
                arrays = [np.resize(np.roll(special, i), a.shape).astype(a.dtype) if a.dtype.kind == "f" else a
                          for i, a in enumerate(case.arrays)]
            inputs = [leaf(a, a.dtype.kind == "f" and op.vjp is not None) for a in arrays]
            y = apply(op, case, inputs)
            with contextlib.suppress(LinAlgError):          # which PyTorch raises, too
                if y.requires_grad:
                    for n in gradients(y, inputs, leaf(np.ones(y.type.shape, y.type.dtype.np))):
                        assert value(n).dtype == n.type.dtype.np
                assert value(y).dtype == y.type.dtype.np


# -- derivatives -----------------------------------------------------------------------------------------------------

def numeric(f, arrays: list[np.ndarray], k: int, step: float = 1e-6) -> np.ndarray:
    """Central differences of a scalar function with respect to operand k."""
    result = np.zeros(arrays[k].shape)
    for at in np.ndindex(*arrays[k].shape):
        moved = [a.copy() for a in arrays]
        moved[k][at] += step
        up = f(moved)
        moved[k][at] -= 2 * step
        result[at] = (up - f(moved)) / (2 * step)
    return result


def floating_outputs(op: Op) -> list[Case]:
    found = []
    for case in cases(op, "f8"):
        y = apply(op, case, [leaf(a) for a in case.arrays])
        if y.type.dtype is float64:
            found.append(case)
    assert found
    return found


@differentiable
def test_first_derivative_is_the_finite_difference(op: Op) -> None:
    rng = drawn.generator(3)
    for case in floating_outputs(op):
        inputs = [leaf(a, a.dtype.kind == "f") for a in case.arrays]
        y = apply(op, case, inputs)
        weight = rng.uniform(0.5, 1.5, y.type.shape)

        def f(arrays, case=case, weight=weight):
            return float(np.sum(value(apply(op, case, [leaf(a) for a in arrays])) * weight))

        got = gradients(y, inputs, leaf(weight)) if y.requires_grad else []
        wanted = [k for k, n in enumerate(inputs) if n.requires_grad]
        for k, g in zip(wanted, got, strict=bool(got)):
            if op.vjp(leaf(weight), y, *inputs, **y.kwargs)[k] is None:
                continue        # not meant to be differentiated in this operand
            np.testing.assert_allclose(value(g), numeric(f, list(case.arrays), k), rtol=2e-6, atol=2e-8,
                                       err_msg=f"operand {k} of {case}")


@pytest.mark.parametrize("op", [op for op in SMOOTH if op.sample.order >= 2], ids=lambda op: op.name)
def test_second_derivative_is_the_finite_difference_of_the_first(op: Op) -> None:
    rng = drawn.generator(5)
    for case in floating_outputs(op):
        y = apply(op, case, [leaf(a) for a in case.arrays])
        weight = rng.uniform(0.5, 1.5, y.type.shape)
        directions = [rng.uniform(-1, 1, a.shape) for a in case.arrays if a.dtype.kind == "f"]

        def slope(arrays, case=case, weight=weight, directions=directions):
            """<gradient, direction> as a node, with the leaves it depends on (the incoming gradient among them)."""
            inputs = [leaf(a, a.dtype.kind == "f") for a in arrays[:-1]]
            g = leaf(arrays[-1], True)
            y = apply(op, case, inputs)
            total = None
            for gradient, direction in zip(gradients(y, inputs, g), directions, strict=True):
                term = gradient * leaf(direction)
                term = ops.sum(term, axes=tuple(range(term.type.ndim)))
                term = ops.reshape(term, sizes=())
                total = term if total is None else total + term
            return total, [*inputs, g]

        if not apply(op, case, [leaf(a, a.dtype.kind == "f") for a in case.arrays]).requires_grad:
            continue
        arrays = [*case.arrays, weight]
        root, leaves = slope(arrays)
        if root is None or not root.requires_grad:
            continue
        order = topological([root])
        found = differentiate(order, {root: const(1.0, float64)}, [n for n in leaves if n.requires_grad])
        verify(topological(list(found.values())))
        for k, n in enumerate(leaves):
            if not n.requires_grad:
                continue
            got = value(found[n]) if n in found else np.zeros(n.type.shape)
            expected = numeric(lambda moved, slope=slope: float(value(slope(moved)[0])), arrays, k)
            np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-7, err_msg=f"operand {k} of {case}")


@differentiable
def test_vjp_is_linear_and_keeps_float32(op: Op) -> None:
    rng = drawn.generator(11)
    for case in cases(op, "f4"):
        inputs = [leaf(a, a.dtype.kind == "f") for a in case.arrays]
        y = apply(op, case, inputs)
        if not y.requires_grad:
            continue
        first, second = [rng.uniform(-1, 1, y.type.shape).astype(y.type.dtype.np) for _ in range(2)]
        combined = 2 * first + 3 * second
        with np.errstate(all="ignore"):
            a, b, c = [[value(g) for g in gradients(y, inputs, leaf(np.asarray(w, y.type.dtype.np)))]
                       for w in (first, second, combined)]
        for ga, gb, gc, n in zip(a, b, c, [n for n in inputs if n.requires_grad], strict=True):
            assert ga.dtype == n.type.dtype.np
            np.testing.assert_allclose(gc, 2 * ga + 3 * gb, rtol=2e-4, atol=2e-5)
        for node in topological(gradients(y, inputs, leaf(first))):
            if y.type.dtype is float32 and node.type.shape:         # numbers are rounded where they are used
                assert node.type.dtype is not float64, node


# -- views -----------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("op", [op for op in DECLARED if op.put], ids=lambda op: op.name)
def test_put_replaces_what_the_view_reads(op: Op) -> None:
    rng = drawn.generator(13)
    for case in cases(op, "f8"):
        base = leaf(case.arrays[0], True)
        view = apply(op, case, [base])
        new = leaf(rng.uniform(5, 6, view.type.shape))
        put = op.put(base, new, **view.kwargs)
        assert put.type is base.type
        np.testing.assert_array_equal(value(apply(op, case, [put])), new.value)
        back = op.put(base, view, **view.kwargs)
        np.testing.assert_array_equal(value(back), base.value)


# -- lengths, as the compiler sees them ------------------------------------------------------------------------------

class Lengths:
    """Symbols that carry a length, so that a `dims` rule can be compared with the inferred shape."""

    ONE = ("one", 1)

    def __init__(self, node: Node) -> None:
        self.node = node
        self.fresh_used = False

    def fresh(self, axis: int) -> tuple:
        self.fresh_used = True
        return ("fresh", self.node.type.shape[axis])

    def unify(self, a: tuple, b: tuple) -> tuple:
        assert a[1] == b[1], "the rule unifies lengths that differ"
        return a


@pytest.mark.parametrize("op", [op for op in DECLARED if op.dims and op.dims != "fresh"], ids=lambda op: op.name)
def test_dims_rule_gives_the_inferred_lengths(op: Op) -> None:
    for case in cases(op, op.sample.dtypes[0]):
        inputs = [leaf(a) for a in case.arrays]
        node = apply(op, case, inputs)
        symbols = [tuple([Lengths.ONE if n == 1 else ((k, i), n) for i, n in enumerate(x.type.shape)])
                   for k, x in enumerate(inputs)]
        if callable(op.dims):
            result = op.dims(Lengths(node), node, symbols)
        else:
            result = symbols[int(op.dims.partition(":")[2])]
        assert [n for _, n in result] == list(node.type.shape), case
        assert all((s == Lengths.ONE) == (n == 1) for s, n in zip(result, node.type.shape, strict=True))


@differentiable
def test_derivatives_take_their_lengths_from_operands(op: Op) -> None:
    for case in cases(op, "f8"):
        inputs = [leaf(a, a.dtype.kind == "f") for a in case.arrays]
        y = apply(op, case, inputs)
        if not y.requires_grad:
            continue
        g = leaf(np.ones(y.type.shape))
        recorded = {y, g, *inputs}
        for node in topological([n for n in op.vjp(g, y, *inputs, **y.kwargs) if n is not None]):
            assert node.op.dims != "fresh", node
            if node not in recorded and callable(node.op.dims):
                context = Lengths(node)
                node.op.dims(context, node, [tuple([(i, n) for i, n in enumerate(x.type.shape)]) for x in node.inputs])
                assert not context.fresh_used, node


# -- declare ---------------------------------------------------------------------------------------------------------

def test_literal_is_typed_and_exact() -> None:
    assert literal(0.1, float32) == "f4(0.1)" and literal(1, float64) == "f8(1.0)" and literal(2, int32) == "i4(2)"
    assert literal(float("inf"), float32) == "f4(inf)" and literal(float("-inf"), float64) == "(-f8(inf))"
    assert literal(float("nan"), float32) == "f4(nan)" and literal(1, BY_CODE["b1"]) == "b1(True)"


def test_declaring_twice_is_refused() -> None:
    with pytest.raises(InternalError, match="declared twice"):
        elementwise("add(a, b)", scalar="", numpy=np.add)


def test_operands_that_were_not_promoted_are_refused() -> None:
    with pytest.raises(InternalError, match="not promoted"):
        ops.add(leaf(np.zeros(2)), leaf(np.zeros(2, np.float32)))


def test_numbers_in_rules_become_literals_and_equality_is_identity() -> None:
    x = leaf(np.array([1.0, 2.0], np.float32))
    y = 1 - 2 * x / 4 + (-x) ** 2
    assert y.type.dtype is float32
    np.testing.assert_allclose(value(y), 1 - 2 * x.value / 4 + x.value ** 2)
    np.testing.assert_array_equal(value(x < 2), [True, False])
    assert (x == leaf(x.value)) is False and x == x and hash(x) == hash(x)


# -- errors at recording, in PyTorch's words -------------------------------------------------------------------------

def shaped(*shape: int) -> Node:
    return leaf(np.zeros(shape))


@pytest.mark.parametrize(("record", "error", "words"), [
    (lambda: shaped(2, 3) @ shaped(4, 5), RuntimeError, r"mat1 and mat2 shapes cannot be multiplied \(2x3 and 4x5\)"),
    (lambda: shaped(6, 2, 3) @ shaped(4, 5), RuntimeError, r"mat1 and mat2 .* multiplied \(12x3 and 4x5\)"),
    (lambda: shaped(2, 2, 3) @ shaped(2, 4, 5), RuntimeError, r"batch2 tensor to be: \[2, 3\] but got: \[2, 4\]."),
    (lambda: shaped(2, 3) + shaped(4), RuntimeError, r"size of tensor a \(3\) must match .* b \(4\) at .* dimension 1"),
    (lambda: ops.reshape(shaped(5), sizes=(2, 3)), RuntimeError, r"shape '\[2, 3\]' is invalid for input of size 5"),
    (lambda: ops.expand(shaped(3), sizes=(4,)), RuntimeError, r"expanded size of the tensor \(4\) must match"),
    (lambda: ops.expand(shaped(2, 3), sizes=(3,)), RuntimeError, r"number of sizes provided \(1\) must be greater"),
    (lambda: ops.cat(shaped(2, 3), shaped(2, 4), dim=0), RuntimeError, r"Expected size 3 but got size 4 for"),
    (lambda: ops.argmax(shaped(0), axes=(0,)), IndexError, r"Expected reduction dim 0 to have non-zero size"),
    (lambda: ops.where(shaped(2), shaped(2), shaped(2)), RuntimeError, r"expected condition to be a boolean tensor"),
    (lambda: value(ops.index(shaped(3), leaf(np.array([5])), axes=(0,))), IndexError,
     r"index 5 is out of bounds for dimension 0 with size 3"),
    (lambda: value(ops.take_along(shaped(3), leaf(np.array([3])), dim=0)), RuntimeError, r"index 3 is out of bounds"),
])
def test_errors(record, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        record()


def test_types_are_interned() -> None:
    assert isinstance(array_type((2,), float32), ArrayType)
    assert ops.add(shaped(2), shaped(2)).type is array_type((2,), float64)
