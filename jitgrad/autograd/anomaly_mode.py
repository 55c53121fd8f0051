"""Anomaly mode: a backward in which a nan arises raises, and says in which operator, and at which line that was called.

While it is on, each backward is first gone through operator by operator, by the interpreter.  (A Function whose backward is
Python is called once more for it.)
"""
from __future__ import annotations

import linecache
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from jitgrad import autograd, interpreter, tracing
from jitgrad.autograd.function import PyFunction
from jitgrad.autograd.reverse import engine
from jitgrad.autograd.reverse.owners import edges, fn_name
from jitgrad.differentiate import cotangent_map, differentiate
from jitgrad.graph.node import Node, topological
from jitgrad.graph.recording import in_grad_mode, input_node
from jitgrad.requests.execute import value
from jitgrad.tensors.storage import gradient_edge
from jitgrad.tensors.tensor import Tensor

_plain = Tensor.backward        # type: ignore[attr-defined]


class set_detect_anomaly:
    """Turns anomaly mode on or off, at once when called and undone at the end of a `with`.  check_nan: whether nans raise."""

    def __init__(self, mode: bool, check_nan: bool = True) -> None:
        self._before = list(engine.anomaly)
        self._set([_look_through] if mode and check_nan else [_pass] if mode else [])

    @staticmethod
    def _set(state: list[Any]) -> None:
        tracing.refuse("sets anomaly mode")
        engine.anomaly[:] = state
        # Machine code serves plain calls of backward(), and knows of no mode.
        Tensor.backward = _checked if state else _plain        # type: ignore[attr-defined]

    def __enter__(self) -> None:
        """It is on already."""

    def __exit__(self, *exception: object) -> None:
        self._set(self._before)


class detect_anomaly(set_detect_anomaly):
    """`with detect_anomaly():` is anomaly mode for a while."""

    def __init__(self, check_nan: bool = True) -> None:
        self._check = check_nan
        warnings.warn("Anomaly Detection has been enabled. This mode will increase the runtime and should only be enabled for "
                      "debugging.",
                      UserWarning, stacklevel=2)

    def __enter__(self) -> None:
        super().__init__(True, self._check)


def is_anomaly_enabled() -> bool:
    """Whether anomaly mode is on."""
    return bool(engine.anomaly)


def is_anomaly_check_nan_enabled() -> bool:
    """Whether it raises for nans."""
    return engine.anomaly == [_look_through]


def _pass(roots: Sequence[Node], cotangents: Sequence[Node | None]) -> None:
    """Without check_nan nothing is looked through."""


def _checked(self: Tensor, gradient: Tensor | None = None, retain_graph: bool | None = None, create_graph: bool = False,
             inputs: Any = None) -> None:
    """Compute the gradient of this tensor with respect to the leaves below it; see autograd.backward."""
    autograd.backward([self], None if gradient is None else [gradient], retain_graph, create_graph, inputs=inputs)


def _look_through(roots: Sequence[Node], cotangents: Sequence[Node | None]) -> None:
    """Raise RuntimeError for the first operator, on the way back, whose gradients have a nan."""
    in_grad_mode(False, _gone_through, roots, cotangents)


def _gone_through(roots: Sequence[Node], cotangents: Sequence[Node | None]) -> None:
    def below(node: Node) -> list[Node]:
        fn = None if node.extra is None else node.extra.fn
        found = fn.ctx._edges if type(fn) is PyFunction else edges(node)
        return [gradient_edge(n) for n in found if n is not None and n.requires_grad]

    grads: dict[Node, np.ndarray] = {}
    for node, g in cotangent_map([gradient_edge(n) for n in roots], cotangents).items():
        grads[node] = value(g)
    for node in reversed(topological(list(grads), below)):
        g = grads.pop(node, None)
        children = below(node)
        if g is None or not children:
            continue
        fn = None if node.extra is None else node.extra.fn
        if type(fn) is PyFunction:
            name = fn.name
            made = engine.called([node], [input_node(g, node.type)], False, True)
            found = [(gradient_edge(e), m) for e, m in zip(fn.ctx._edges, made, strict=True) if e is not None and m is not None]
        else:
            name = fn_name(node)
            ends = set(children)
            inner = topological([node], lambda n: () if n in ends and n is not node else n.inputs)    # noqa: B023 (called at once)
            by_node = differentiate(inner, {node: input_node(g, node.type)}, ends, ends - {node})
            found = [(e, by_node[e]) for e in dict.fromkeys(children) if e in by_node]
        for i, (e, made_g) in enumerate(found):
            array = interpreter.evaluate([made_g])[0]
            if array.dtype.kind == "f" and np.isnan(array).any():
                _raise(node, name, i)
            grads[e] = array if e not in grads else grads[e] + array


def _raise(node: Node, name: str, number: int) -> None:
    if node.line is None or not isinstance(node.line, tuple):
        where = "No forward pass information available. Enable detect anomaly during forward pass for more information."
    else:
        code, last = node.line
        positions = list(code.co_positions())
        line = positions[last // 2][0] or code.co_firstlineno
        text = linecache.getline(code.co_filename, line).strip()
        where = ("Traceback of forward call that caused the error:\n"
                 f'  File "{code.co_filename}", line {line}, in {code.co_name}\n    {text}\n')
    warnings.warn(f"Error detected in {name}. {where}", UserWarning, stacklevel=2)
    raise RuntimeError(f"Function '{name}' returned nan values in its {number}th output.")
