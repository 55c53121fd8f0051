"""The reverse sweep: accumulation, un-broadcasting, and what it leaves alone."""
from __future__ import annotations

import numpy as np
import pytest

from jitgrad import ops
from jitgrad.differentiate import differentiate, sum_to
from jitgrad.errors import InternalError
from jitgrad.graph.node import Node, Op, topological
from jitgrad.graph.recording import bind, const, input_node
from jitgrad.interpreter import evaluate
from jitgrad.types.array import array_type
from jitgrad.types.dtype import float64


def leaf(value, requires_grad: bool = True) -> Node:
    array = np.asarray(value, np.float64)
    return input_node(array, array_type(array.shape, float64), requires_grad)


def total(x: Node) -> Node:
    return ops.reshape(ops.sum(x, axes=tuple(range(x.type.ndim))), sizes=())


def grad(y: Node, *wrt: Node, stop: tuple[Node, ...] = ()) -> dict[Node, np.ndarray]:
    found = differentiate(topological([y]), {y: const(1.0, float64)}, wrt, stop)
    return dict(zip(found, evaluate(list(found.values())), strict=True))


@pytest.mark.parametrize(("shape", "target", "recorded"), [
    ((2, 3), (2, 3), []), ((2, 3), (3,), ["sum", "squeeze"]), ((2, 3), (2, 1), ["sum"]), ((1, 3), (3,), ["squeeze"]),
    ((2, 3), (), ["sum", "squeeze"]), ((1, 1), (), ["squeeze"]), ((0, 3), (1,), ["sum", "squeeze"])])
def test_sum_to_records_only_what_is_needed(shape, target, recorded: list[str]) -> None:
    g = leaf(np.ones(shape))
    out = sum_to(g, leaf(np.ones(target)))
    assert out.type.shape == target
    assert [n.op.name for n in topological([out])][1:] == recorded
    assert evaluate([out])[0].sum() == np.prod(shape)


def test_uses_of_one_value_add_up() -> None:
    x = leaf([1.0, 2.0])
    y = ops.exp(x)
    np.testing.assert_allclose(grad(total(y * y + y), x)[x], 2 * np.exp([2.0, 4.0]) + np.exp([1.0, 2.0]))


def test_broadcast_operands_get_their_own_shape() -> None:
    a, b, c = leaf(np.ones((2, 3))), leaf([1.0, 2.0, 3.0]), leaf(2.0)
    found = grad(total(a * b * c), a, b, c)
    np.testing.assert_array_equal(found[a], [[2, 4, 6]] * 2)
    np.testing.assert_array_equal(found[b], [4, 4, 4])
    assert found[c].shape == () and found[c] == 12


def test_intermediates_may_be_wanted_and_stopped_at() -> None:
    x = leaf([1.0, 2.0])
    y = ops.exp(x)
    z = total(y * y)
    found = grad(z, x, y)
    np.testing.assert_allclose(found[y], 2 * np.exp([1.0, 2.0]))
    np.testing.assert_allclose(found[x], 2 * np.exp([2.0, 4.0]))
    assert x not in grad(z, x, y, stop=(y,))


def test_what_does_not_depend_is_absent() -> None:
    x, other, plain = leaf([1.0]), leaf([1.0]), leaf([1.0], requires_grad=False)
    found = grad(total(x * plain + ops.detach(other)), x, other, plain)
    assert set(found) == {x}


def test_several_roots_and_a_root_that_is_wanted() -> None:
    x = leaf([1.0, 2.0])
    y = x * 3
    z = ops.exp(y)
    found = differentiate(topological([y, z]), {y: leaf([1.0, 1.0], False), z: leaf([1.0, 0.0], False)}, [x, y])
    gx, gy = evaluate([found[x], found[y]])
    np.testing.assert_allclose(gy, [1 + np.exp(3.0), 1.0])
    np.testing.assert_allclose(gx, 3 * gy)


def test_only_what_was_asked_for_is_differentiated() -> None:
    x, y = leaf([1.0, 2.0]), leaf([3.0, 4.0])
    order = topological([total(ops.exp(x) * ops.sin(y))])
    found = differentiate(order, {order[-1]: const(1.0, float64)}, [x])
    assert "cos" not in [n.op.name for n in topological(found.values())]


def test_gradient_of_a_gradient() -> None:
    x = leaf([0.5, 1.5])
    first = differentiate(topological([t := total(ops.sin(x))]), {t: const(1.0, float64)}, [x])[x]
    np.testing.assert_allclose(grad(total(first * first), x)[x], -2 * np.cos(x.value) * np.sin(x.value))


def test_a_long_chain_does_not_recurse() -> None:
    x = y = leaf(1.0)
    for _ in range(5_000):
        y = y + x
    assert grad(y, x)[x] == 5_001


def test_a_rule_that_gives_a_wrong_type_is_reported() -> None:
    broken = Op(name="broken", kind="elementwise", arg_names=("x",), param_names=(), shape_only=(), infer=lambda x: x,
                numpy=lambda x: x, vjp=lambda g, y, x: (ops.cast(g, dtype=ops.eq(g, g).type.dtype),))
    x = leaf([1.0])
    y = bind(broken, (x,))
    with pytest.raises(InternalError, match="the derivative of <broken"):
        differentiate(topological([y]), {y: leaf([1.0])}, [x])
