"""How a public operator is declared, and what every call of one does.

An operator is a function of nodes: its wrapper turns tensors into nodes, calls it, and wraps the result.  What depends
on no gradient leaf and on nothing pending is computed at once; all else stays recorded.  An operator owns one grad_fn,
however many primitives it records (`Composite`).
"""
from __future__ import annotations

import functools
from collections.abc import Callable
from sys import _getframe
from typing import Any

import numpy as np

from jitgrad import interpreter, tracing
from jitgrad.arraytype import ArrayType
from jitgrad.dtype import bool_
from jitgrad.errors import InternalError
from jitgrad.graph import Composite, Node, Op, Spec, become_input, bind, grad_mode, input_node, scalar_node
from jitgrad.interpreter import as_array, quiet
from jitgrad.operators.arguments import arguments
from jitgrad.operators.memo import LEAST, MOST_BYTES, memoized
from jitgrad.operators.native.faces import face
from jitgrad.operators.native.words import NUMBERS, PLAIN
from jitgrad.operators.operands import (
    operand,
    promoted,
)
from jitgrad.operators.origin import OUTSIDE, user_line
from jitgrad.operators.recipes import by_recipe
from jitgrad.ops import REGISTRY
from jitgrad.requests.execute import MAX_DEPTH, MAX_HISTORY, cut
from jitgrad.tensor import Tensor, wrap

new_tensor = Tensor.__new__


def finish(node: Node) -> Node:
    """Called on each node that a single-primitive operator recorded: compute it now, or note the user's line."""
    if node.depth == 0:
        if not node.inputs:
            return node
        if tracing.current() is None:
            become_input(node, interpreter.compute(node))
            return node
        node.depth = 1
    node.line = user_line()
    if node.depth > MAX_DEPTH:
        cut(node)
    return node


def recorded(node: Node) -> Tensor:
    """The tensor of a node that one primitive recorded; finish() and wrap() in one."""
    if node.depth and node.depth < MAX_DEPTH:
        node.line = user_line()
    else:
        finish(node)
    result = new_tensor(Tensor)
    result._node = node
    result._storage = None
    return result


def finish_composite(node: Node, name: str | None, inputs: tuple[Node | None, ...],
                     saves: tuple[Node, ...] | None = None, saves_result: bool = False, number: int = 0) -> Node:
    """Called on the result of an operator that may have recorded several primitives."""
    if node in inputs:
        node = bind(REGISTRY["copy"], (node,))       # a result is always a tensor of its own
    if node.depth == 0:
        if not node.inputs:
            return node
        if tracing.current() is None:
            become_input(node, interpreter.compute(node))
            return node
        node.depth = 1
    line = user_line()
    stack, outside = [node], {*inputs}
    while stack:
        n = stack.pop()
        if n.line is None and n.inputs and n.run is None:
            n.line = line
            for m in n.inputs:
                if m.inputs and m not in outside:
                    stack.append(m)
    if node.requires_grad and name is not None and (node.op.grad_name != name or saves is not None
                                                    or node.inputs != inputs):
        node.ensure_extra().fn = Composite(name, inputs, saves, saves_result, number)
    if node.depth > MAX_DEPTH:
        cut(node)
    return node


# -- declarations ----------------------------------------------------------------------------------------------------


Overwriting = Callable[[Node, tuple], Node]     # from a result, in the dtype of what it is written to, and the operands


class Operator:
    """A public operator: `call` is what users call, `fn` the function of nodes, `finish(result, args, kwargs)` settles
    a node that fn has returned for these arguments."""

    __slots__ = ("name", "fn", "call", "finish", "places", "inplace")

    def __init__(self, name: str, fn: Callable, call: Callable, finish: Callable | None, places: tuple[str, ...],
                 inplace: bool | Overwriting) -> None:
        self.name = name
        self.fn = fn
        self.call = call
        self.finish = finish
        self.places = places        # of "torch", "method", "functional": where methods.py and the modules show it
        # Whether there is a method name_ that writes the result to self; for results without derivative what is made of them
        # first: where it is written to what has a history, something has to become of that.
        self.inplace = inplace


OPERATORS: dict[str, Operator] = {}


def register(name: str, fn: Callable, call: Callable, finish: Callable | None, places: tuple[str, ...],
             inplace: bool | Overwriting = False, kind: int | None = None) -> None:
    """Add to the table that methods.py and the public modules are made from.

    kind: given for operators that may be recorded by machine code, one of native.words.PLAIN, NUMBERS and VIEWS: those whose
    calls record the same for operands of the same types, or say that they do not (recipes.no_recipe)."""
    if name in OPERATORS:
        raise InternalError(f"operator {name} is declared twice")
    if kind is not None:
        call = face(call, name, kind)
    OPERATORS[name] = Operator(name, fn, call, finish, places, inplace)


def operator(grad: str | Callable[[dict[str, Any]], str] | None = None, *, name: str | None = None,
             places: tuple[str, ...] = ("torch", "method"), inplace: bool | Overwriting = False,
             saves: tuple[str, ...] | Callable[[dict[str, Any]], tuple[str, ...]] | None = None,
             edges: tuple[str, ...] | Callable[[dict[str, Any]], tuple[str, ...]] | None = None,
             ) -> Callable[[Callable], Callable]:
    """Declare a composite: a function of nodes (tensors arrive as nodes, everything else as given) that returns a node
    or a tuple of nodes.

    grad: the grad_fn's name, or a function of the arguments by name that returns it (absent ones are missing there).
    saves: the parameters that PyTorch saves, "result" among them; None: what the primitives inside save.
    edges: the parameters that next_functions lists (absent ones and numbers as None); None: every tensor argument.
    Each may be a function of the arguments instead."""

    def decorate(fn: Callable) -> Callable:
        called = name or fn.__name__
        code = fn.__code__
        names = code.co_varnames[:code.co_argcount + code.co_kwonlyargcount]

        def finish(result: Node, args: tuple, kwargs: dict, number: int = 0) -> Node:
            if grad is None or not result.requires_grad:
                return finish_composite(result, None, operand_nodes((*args, *kwargs.values())))
            bound = dict(zip(names, args, strict=False)) | kwargs
            if edges is None:
                inputs = operand_nodes((*args, *kwargs.values()))
            else:
                listed = edges if isinstance(edges, tuple) else edges(bound)
                inputs = tuple([v if type(v) is Node else None for v in map(bound.get, listed)])
            fn_name = grad if isinstance(grad, str) else grad(bound)
            if saves is None:
                return finish_composite(result, fn_name, inputs, None, False, number)
            kept = saves if isinstance(saves, tuple) else saves(bound)
            saved = tuple([v for v in map(bound.get, kept) if type(v) is Node])
            return finish_composite(result, fn_name, inputs, saved, "result" in kept, number)

        converted = arguments(called, fn)

        @functools.wraps(fn)
        def call(*args: Any, **kwargs: Any) -> Any:
            args, kwargs = converted(args, kwargs)
            result = fn(*args, **kwargs)
            if isinstance(result, Node):
                return wrap(finish(result, args, kwargs))
            if isinstance(result, tuple):
                out = [wrap(finish(n, args, kwargs, i)) if isinstance(n, Node) else n for i, n in enumerate(result)]
                return type(result)(*out) if hasattr(result, "_fields") else tuple(out)
            return result

        quick = by_recipe(call)
        register(called, fn, quick, finish, places, inplace, PLAIN)
        return quick

    return decorate


def operand_nodes(values: tuple) -> tuple[Node, ...]:
    """The nodes among arguments, in order, those in lists included."""
    found: list[Node] = []
    for v in values:
        if type(v) is Node:
            found.append(v)
        elif type(v) in (list, tuple):
            found.extend([n for n in v if type(n) is Node])
    return tuple(found)


def unary(op: Op, *, name: str | None = None, floating: bool = False, places: tuple[str, ...] = ("torch", "method"),
          inplace: bool = True, refuse_bool: str | None = None, refusal: type[RuntimeError] = RuntimeError) -> Callable:
    """Declare an operator that is one elementwise primitive of one tensor.  floating: integers are promoted first;
    refuse_bool: the text of the error for bools, where there is one, and `refusal` its type."""
    called = name or op.name

    def fn(input: Node) -> Node:
        if type(input) is not Node:
            raise TypeError(f"{called}(): argument 'input' (position 1) must be Tensor, not {type(input).__name__}")
        if floating and input.type.dtype.category != 2:
            input = promoted(called, input, floating=True)[0]
        elif refuse_bool is not None and input.type.dtype is bool_:
            raise refusal(refuse_bool)
        return bind(op, (input,))

    specs: dict[ArrayType, Spec] = {}       # of floating-point operands with gradient, which take the short path

    def call(input: Any) -> Tensor:
        if isinstance(input, Tensor):
            a = input._node if input._storage is None else input._current()
            spec = specs.get(a.spec.type)
            if spec is not None:
                node = None
                if a.requires_grad and grad_mode.enabled:
                    if a.depth < MAX_HISTORY:
                        node = Node(spec, (a,), True, a.depth + 1)
                        frame = _getframe(1)
                        code = frame.f_code
                        node.line = (code, frame.f_lasti) if code.co_filename in OUTSIDE else user_line()
                elif type(a.value) is np.ndarray and not tracing.traces:
                    node = _known(spec, a.value)
                if node is not None:
                    result = new_tensor(Tensor)
                    result._node = node
                    result._storage = None
                    return result
            if a.type.dtype.category == 2:
                node = bind(op, (a,))
                _remember(specs, a.type, node.spec)
                return recorded(node)
            input = a
        return wrap(finish(fn(input)))

    call.__name__ = call.__qualname__ = called
    call.__doc__ = f"{op.doc}, element by element."
    register(called, fn, call, lambda result, args, kwargs: finish(result), places, inplace, PLAIN)
    return call


def binary_nodes(op: Op, called: str, a: Any, b: Any, floating: bool) -> Node:
    """One application of a binary elementwise primitive to nodes and numbers, promoted."""
    if type(a) is Node:
        to = a.type.dtype
        if type(b) is Node:
            if to is b.type.dtype and (to.category == 2 or not floating):
                return bind(op, (a, b))
        elif to.category == 2:
            if type(b) is float or type(b) is int:
                return bind(op, (a, scalar_node(float(b), to)))
    elif type(b) is Node and type(a) is float and b.type.dtype.category == 2:
        return bind(op, (scalar_node(a, b.type.dtype), b))
    return bind(op, tuple(promoted(called, a, b, floating=floating)))


def binary(op: Op, *, name: str | None = None, floating: bool = False, places: tuple[str, ...] = ("torch", "method"),
           inplace: bool | Overwriting = True) -> Callable:
    """Declare an operator that is one elementwise primitive of two operands, each a tensor or a number."""
    called = name or op.name

    def fn(input: Any, other: Any) -> Node:
        return binary_nodes(op, called, input, other, floating)

    call = binary_call(op, called, floating)
    SYMBOLS[called] = functools.partial(binary_call, op, called, floating, True)
    call.__doc__ = f"{op.doc}, element by element, with broadcasting and type promotion."
    register(called, fn, call, finish_binary, places, inplace, NUMBERS)
    return call


def binary_call(op: Op, called: str, floating: bool, symbol: bool = False,
                nodes: Callable[[Any, Any], Node] | None = None) -> Callable[[Any, Any], Tensor]:
    """What users call: a short path for tensors of one floating-point dtype, which are most.

    symbol: for a Python operator, which leaves operands that it does not know to the other operand.
    nodes: records the application where the short path does not apply, by default `binary_nodes`."""

    specs: dict[tuple[ArrayType, ArrayType], Spec] = {}     # as for `unary`
    by_number: dict[ArrayType, tuple[Spec, Spec]] = {}      # the same for numbers, with what the number is

    def call(input: Any, other: Any) -> Tensor:
        if isinstance(input, Tensor):
            a: Node = input._node if input._storage is None else input._current()
            b: Any = other
            of = a.spec.type
            if isinstance(other, Tensor):
                b = other._node if other._storage is None else other._current()
                spec = specs.get((of, b.spec.type))
            elif type(other) is float or type(other) is int:
                both = by_number.get(of)
                if both is not None:
                    spec, own = both
                    b = Node(own, (), False, 0, float(other))
                elif of.dtype.category == 2:
                    spec = None
                    b = scalar_node(float(other), of.dtype)
                else:
                    spec = None
            else:
                spec = None
            if spec is not None:
                node = None
                depth = a.depth if a.depth > b.depth else b.depth
                if (a.requires_grad or b.requires_grad) and grad_mode.enabled:
                    if depth < MAX_HISTORY:
                        node = Node(spec, (a, b), True, depth + 1)
                        frame = _getframe(1)
                        code = frame.f_code
                        node.line = (code, frame.f_lasti) if code.co_filename in OUTSIDE else user_line()
                elif a.value is not None and b.value is not None and not tracing.traces:
                    node = _known(spec, a.value, b.value)
                if node is not None:
                    result = new_tensor(Tensor)
                    result._node = node
                    result._storage = None
                    return result
            if type(b) is Node:
                if of.dtype is b.spec.type.dtype and of.dtype.category == 2:
                    node = bind(op, (a, b))
                    if isinstance(other, Tensor):
                        _remember(specs, (of, b.spec.type), node.spec)
                    elif node.spec.differentiable and not node.spec.selective and len(by_number) < 1000:
                        by_number[of] = node.spec, b.spec
                    return recorded(node)
            elif symbol and type(b) is not bool and type(b) is not int and type(b) is not float:
                b = operand(b)
                if b is NotImplemented:
                    return b
            input, other = a, b
        elif isinstance(other, Tensor):
            other = other._node if other._storage is None else other._current()
        node = binary_nodes(op, called, input, other, floating) if nodes is None else nodes(input, other)
        return wrap(finish_binary(node, (input, other)))

    call.__name__ = call.__qualname__ = called
    return call


def _known(spec: Spec, *values: Any) -> Node:
    """The result of an elementwise operation on what is known, computed at once."""
    type = spec.type
    if LEAST <= type.size <= MOST_BYTES // 4:
        return input_node(memoized(_compute, spec, *values), type)
    return input_node(_compute(spec, *values), type)


def _compute(spec: Spec, *values: Any) -> np.ndarray:
    return as_array(quiet.run(spec.op.numpy, *values), spec.type)


def _remember(specs: dict, key: Any, spec: Spec) -> None:
    """Let operands of these types take the short path from now on."""
    if spec.differentiable and not spec.selective:
        if len(specs) > 1000:
            specs.clear()
        specs[key] = spec


SYMBOLS: dict[str, Callable[[], Callable[[Any, Any], Tensor]]] = {}     # makes the Python operator of a binary operator


def finish_binary(node: Node, operands: tuple, kwargs: Any = None) -> Node:
    """Settle a binary primitive; the operands that were promoted first are its edges, not their casts."""
    if node.requires_grad:
        a, b = (*operands, *kwargs.values()) if kwargs else operands
        if (node.inputs[0] is not a and type(a) is Node) or (node.inputs[1] is not b and type(b) is Node):
            edges = tuple([v if type(v) is Node else None for v in (a, b)])
            return finish_composite(node, node.op.grad_name, edges)
    return finish(node)
