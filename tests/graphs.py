"""Small graphs for tests of the compiler: leaves, requests, and the comparison of compiled with interpreted."""
from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from jitgrad import ops
from jitgrad.compiler.build import Request, build
from jitgrad.compiler.program import Program
from jitgrad.compiler.targets import Target
from jitgrad.differentiate import differentiate
from jitgrad.errors import InternalError
from jitgrad.graph.node import Node, topological
from jitgrad.graph.recording import const, in_grad_mode, input_node
from jitgrad.interpreter import evaluate
from jitgrad.requests.capture import Capture
from jitgrad.requests.schedules.schedule import Schedule
from jitgrad.types.array import array_type
from jitgrad.types.dtype import from_numpy_dtype


def leaf(value: object, requires_grad: bool = True, dtype: type | None = None) -> Node:
    """An input that wants a gradient if it is floating."""
    array = np.asarray(value, dtype)
    return input_node(array, array_type(array.shape, from_numpy_dtype(array.dtype)),
                      requires_grad and array.dtype.kind == "f")


def normal(*shape: int, seed: int = 0, dtype: type = np.float64, requires_grad: bool = True) -> Node:
    """An input of normal numbers."""
    return leaf(np.random.default_rng(seed).normal(size=shape).astype(dtype), requires_grad)


def total(x: Node) -> Node:
    """The sum of all elements, 0-d."""
    return ops.reshape(ops.sum(x, axes=tuple(range(x.type.ndim))), sizes=()) if x.type.ndim else x


def request(outputs: Sequence[Node], wrt: Sequence[Node] = (), root: Node | None = None) -> Request:
    """A request for outputs, and gradients of the root (by default the first output) if any are wanted."""
    roots = [outputs[0] if root is None else root] if wrt else []
    return Request(topological(outputs), list(outputs), roots, [None] * len(roots), list(wrt))


def reference(r: Request) -> list[np.ndarray | None]:
    """What the interpreter gives for a request with implicit cotangents."""
    def sweep() -> dict[Node, Node]:
        incoming = {}
        for root in r.roots:
            one = const(1, root.type.dtype)
            incoming[root] = ops.expand_like(one, root) if root.type.ndim else one
        return differentiate(r.order, incoming, set(r.wrt))

    grads = in_grad_mode(False, sweep)
    values = evaluate([*r.outputs, *[grads[n] for n in r.wrt if n in grads]])
    rest = iter(values[len(r.outputs):])
    return [*values[:len(r.outputs)], *[next(rest) if n in grads else None for n in r.wrt]]


def compare(got: Sequence[np.ndarray | None], want: Sequence[np.ndarray | None], rtol: float, atol: float = 0.0) -> None:
    """Equal shapes, dtypes and (to the tolerance, relative to the largest element) values; fresh contiguous arrays."""
    assert len(got) == len(want)
    for g, w in zip(got, want, strict=True):
        if w is None or g is None:
            assert g is w
            continue
        assert type(g) is np.ndarray and g.shape == w.shape and g.dtype == w.dtype and g.flags.c_contiguous
        finite = np.abs(w[np.isfinite(w)]) if w.dtype.kind == "f" else np.zeros(0)
        scale = float(finite.max(initial=1.0))
        np.testing.assert_allclose(g, w, rtol=rtol, atol=max(atol, rtol * scale))
    arrays = [g for g in got if g is not None and g.size]
    for i, a in enumerate(arrays):
        assert not any([np.shares_memory(a, b) for b in arrays[i + 1:]])


def tolerance(order: Sequence[Node]) -> float:
    """Relative tolerance: that of the narrowest floating dtype in the graph."""
    return 1e-4 if any([n.type.dtype.code == "f4" for n in order]) else 1e-11


def check(outputs: Sequence[Node], wrt: Sequence[Node] = (), root: Node | None = None, target: Target | None = None) -> Program:
    """Compile a request, run it twice, and compare with the interpreter."""
    r = request(outputs, wrt, root)
    program = build(r, target)
    want = reference(r)
    for _ in range(2):
        compare(program.run(r.order), want, tolerance(r.order))
    return program


def schedule_of(r: Request) -> Schedule:
    """What serves a request."""
    index = {n: k for k, n in enumerate(r.order)}
    children = [tuple([index[m] for m in n.inputs]) for n in r.order]
    leaves = [n for n in r.order if not n.inputs and n.requires_grad]
    captured = Capture(r.order, index, children, leaves, set(), [], False, [])
    roots = [(index[n], g is not None) for n, g in zip(r.roots, r.cotangents, strict=True)]
    return Schedule(captured, roots, [index[n] for n in r.outputs], [index[n] for n in r.wrt])


def verify(order: Sequence[Node]) -> None:
    """Raise InternalError unless inputs come first and each type is what the op infers from its inputs."""
    seen: set[Node] = set()
    for node in order:
        for n in node.inputs:
            if n not in seen:
                raise InternalError(f"{node} comes before its input {n}")
        seen.add(node)
        if node.op.kind == "leaf":
            continue
        expected = node.op.infer(*[n.type for n in node.inputs], **node.kwargs)
        if expected.shape != node.type.shape or expected.dtype is not node.type.dtype:
            raise InternalError(f"{node} should be {expected}")
