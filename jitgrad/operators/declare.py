"""How a public operator is declared, and what every call of one does.

An operator is a function of nodes: its wrapper turns tensors into nodes, calls it, and wraps the result.  What depends
on no gradient leaf and on nothing pending is computed at once; all else stays recorded.  An operator owns one grad_fn,
however many primitives it records (`Composite`).
"""
from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import numpy as np

from jitgrad import executor, interpreter
from jitgrad.dtype import bool_, dtype, get_default_dtype, of_scalar, promote
from jitgrad.errors import InternalError
from jitgrad.graph import Node, Op, become_input, bind, scalar_node
from jitgrad.ops import REGISTRY
from jitgrad.storage import Step
from jitgrad.tensor import Tensor, wrap

PACKAGE = str(Path(__file__).resolve().parent.parent)
MAX_DEPTH = 4096        # longest chain of pending operations; deeper ones are cut by computing the value there
Number = (int, float, np.number, np.bool_)      # bool is an int
QUIET = functools.partial(np.errstate, all="ignore")      # nan and inf are results, not warnings


class Composite:
    """The owner of a grad_fn that is not one primitive's own: PyTorch's name, the inputs of the public call, and the
    nodes that PyTorch would have saved (None: whatever the primitives inside save; `saves_result`: the result too,
    which is not listed, so that nothing is cyclic).  `number`: which output of the operator the node is."""

    __slots__ = ("name", "inputs", "saves", "saves_result", "number")

    def __init__(self, name: str, inputs: tuple[Node | None, ...], saves: tuple[Node, ...] | None,
                 saves_result: bool = False, number: int = 0) -> None:
        self.name = name
        self.inputs = inputs
        self.saves = saves
        self.saves_result = saves_result
        self.number = number


def user_line() -> tuple[CodeType, int] | None:
    """Where the user's program is: the innermost frame outside the package."""
    frame: FrameType | None = sys._getframe(2)
    while frame is not None:
        if not frame.f_code.co_filename.startswith(PACKAGE):
            return frame.f_code, frame.f_lasti
        frame = frame.f_back
    return None


def finish(node: Node) -> Node:
    """Called on each node that a single-primitive operator recorded: compute it now, or note the user's line."""
    if node.depth == 0:
        if node.inputs:
            become_input(node, compute(node))
        return node
    node.line = user_line()
    if node.depth > MAX_DEPTH:
        cut(node)
    return node


def compute(node: Node) -> np.ndarray:
    """The value of a node that depends on nothing pending."""
    for n in node.inputs:
        if n.value is None:         # a promoted operand, say, which no tensor holds
            return interpreter.evaluate([node])[0]
    with QUIET():
        return interpreter.apply(node, [interpreter.leaf_value(n) for n in node.inputs])


def cut(node: Node) -> None:
    """Bound the chain of pending operations: compute the value here."""
    value = executor.value(node)
    if node.requires_grad:
        node.depth = 0          # later operations count from here; the history stays, as it does in PyTorch
    else:
        become_input(node, value)


def finish_composite(node: Node, name: str | None, inputs: tuple[Node | None, ...],
                     saves: tuple[Node, ...] | None = None, saves_result: bool = False, number: int = 0) -> Node:
    """Called on the result of an operator that may have recorded several primitives."""
    if any([node is n for n in inputs]):
        node = bind(REGISTRY["copy"], (node,))       # a result is always a tensor of its own
    if node.depth == 0:
        if node.inputs:
            become_input(node, interpreter.evaluate([node])[0])
        return node
    line = user_line()
    stack = [node]
    while stack:
        n = stack.pop()
        if n.line is None and n.inputs and n.run is None:
            n.line = line
            stack.extend([m for m in n.inputs if m not in inputs])
    if node.requires_grad and name is not None and (node.op.grad_name != name or saves is not None
                                                    or node.inputs != inputs):
        node.ensure_extra().fn = Composite(name, inputs, saves, saves_result, number)
    if node.depth > MAX_DEPTH:
        cut(node)
    return node


# -- operands --------------------------------------------------------------------------------------------------------


def to_node(value: Any) -> Any:
    """A tensor's node; lists and tuples of tensors likewise; anything else as it is."""
    if isinstance(value, Tensor):
        return value._current()
    if type(value) in (list, tuple) and any([isinstance(v, Tensor) for v in value]):
        return type(value)([to_node(v) for v in value])
    return value


def cast(node: Node, to: dtype) -> Node:
    """The node in another dtype (itself if it has it)."""
    return node if node.type.dtype is to else bind(REGISTRY["cast"], (node,), (to,))


def describe(value: Any) -> str:
    """An operand, for an error message."""
    if isinstance(value, Node):
        return repr(value.type)
    if isinstance(value, (*Number, type(None), str)):
        return repr(value)
    return type(value).__name__


def result_dtype(operands: tuple[Any, ...]) -> dtype:
    """PyTorch's result type of nodes and Python numbers."""
    nodes = [v for v in operands if type(v) is Node]
    return promote([n.type.dtype for n in nodes if n.type.shape], [n.type.dtype for n in nodes if not n.type.shape],
                   [of_scalar(v) for v in operands if type(v) is not Node])


def promoted(name: str, *operands: Any, floating: bool = False, to: dtype | None = None) -> list[Node]:
    """Nodes and Python numbers as nodes of their common dtype (a floating one if asked for).

    Numbers become run-time scalars.  Raises TypeError for operands that are neither."""
    if not any([type(v) is Node for v in operands]):
        raise TypeError(f"{name}(): argument 'input' (position 1) must be Tensor, not {type(operands[0]).__name__}")
    for v in operands:
        if type(v) is not Node and not isinstance(v, Number):
            raise TypeError(f"{name}(): operands must be tensors or numbers, got "
                            f"({', '.join(describe(u) for u in operands)})")
    if to is None:
        to = result_dtype(operands)
        if floating and to.category != 2:
            to = get_default_dtype()
    return [cast(v, to) if type(v) is Node else number_node(v, to) for v in operands]


def number_node(value: Any, to: dtype) -> Node:
    """A Python number as a run-time scalar of a dtype."""
    if to.category == 2:
        return scalar_node(float(value), to)
    if to.category == 1:
        number = int(value)
        info = np.iinfo(to.np)
        if not info.min <= number <= info.max:
            raise RuntimeError(f"value cannot be converted to type {to.np} without overflow: {number}")
        return scalar_node(number, to)
    return scalar_node(bool(value), bool_)


def normal_dim(dim: int, ndim: int) -> int:
    """A dimension counted from the front.  Raises IndexError with PyTorch's wording."""
    rank = max(ndim, 1)
    if not -rank <= dim < rank:
        raise IndexError(f"Dimension out of range (expected to be in range of [{-rank}, {rank - 1}], but got {dim})")
    return dim + rank if dim < 0 else dim


def normal_dims(dims: int | tuple[int, ...] | list[int] | None, ndim: int) -> tuple[int, ...]:
    """Dimensions as a sorted tuple; None and () mean all of them.  Raises for a dimension named twice."""
    if dims is None or dims == () or dims == []:
        return tuple(range(ndim))
    if isinstance(dims, int):
        dims = (dims,)
    found = [normal_dim(d, ndim) for d in dims]
    if len(set(found)) != len(found):
        raise RuntimeError(f"dim {next(d for d in found if found.count(d) > 1)} appears multiple times in the list of dims")
    return tuple(sorted(found)) if ndim else ()


# -- declarations ----------------------------------------------------------------------------------------------------


class Operator:
    """A public operator: `call` is what users call, `fn` the function of nodes, `finish(result, args, kwargs)` settles a
    node that fn has returned for these arguments."""

    __slots__ = ("name", "fn", "call", "finish", "places", "inplace")

    def __init__(self, name: str, fn: Callable, call: Callable, finish: Callable | None, places: tuple[str, ...],
                 inplace: bool) -> None:
        self.name = name
        self.fn = fn
        self.call = call
        self.finish = finish
        self.places = places        # of "torch", "method", "functional": where methods.py and the modules show it
        self.inplace = inplace      # whether there is a method name_ that writes the result to self


OPERATORS: dict[str, Operator] = {}


def register(name: str, fn: Callable, call: Callable, finish: Callable | None, places: tuple[str, ...],
             inplace: bool = False) -> None:
    """Add to the table that methods.py and the public modules are made from."""
    if name in OPERATORS:
        raise InternalError(f"operator {name} is declared twice")
    OPERATORS[name] = Operator(name, fn, call, finish, places, inplace)


def operator(grad: str | Callable[[dict[str, Any]], str] | None = None, *, name: str | None = None,
             places: tuple[str, ...] = ("torch", "method"), inplace: bool = False, saves: tuple[str, ...] | None = None,
             edges: tuple[str, ...] | Callable[[dict[str, Any]], tuple[str, ...]] | None = None,
             ) -> Callable[[Callable], Callable]:
    """Declare a composite: a function of nodes (tensors arrive as nodes, everything else as given) that returns a node
    or a tuple of nodes.

    grad: the grad_fn's name, or a function of the arguments by name that returns it (absent ones are missing there).
    saves: the parameters that PyTorch saves, "result" among them; None: what the primitives inside save.
    edges: the parameters that next_functions lists (absent ones and numbers as None), or a function of the arguments;
    None: every tensor argument."""

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
                listed = edges if type(edges) is tuple else edges(bound)
                inputs = tuple([v if type(v) is Node else None for v in map(bound.get, listed)])
            saved = None if saves is None else tuple([v for v in map(bound.get, saves) if type(v) is Node])
            return finish_composite(result, grad if type(grad) is str else grad(bound), inputs, saved,
                                    saves is not None and "result" in saves, number)

        @functools.wraps(fn)
        def call(*args: Any, **kwargs: Any) -> Any:
            args = tuple([to_node(v) for v in args])
            if kwargs:
                kwargs = {k: to_node(v) for k, v in kwargs.items()}
            result = fn(*args, **kwargs)
            if type(result) is Node:
                return wrap(finish(result, args, kwargs))
            if isinstance(result, tuple):
                out = [wrap(finish(n, args, kwargs, i)) if type(n) is Node else n for i, n in enumerate(result)]
                return type(result)(*out) if hasattr(result, "_fields") else tuple(out)
            return result

        register(called, fn, call, finish, places, inplace)
        return call

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


def view_operator(grad: str, *, name: str | None = None,
                  places: tuple[str, ...] = ("torch", "method")) -> Callable[[Callable], Callable]:
    """Declare a view: a function of the tensor (a Tensor, not a node) and its arguments that returns the steps from it
    to the view, or a ready tensor where the result cannot share storage."""

    def decorate(fn: Callable) -> Callable:
        called = name or fn.__name__

        @functools.wraps(fn)
        def call(input: Tensor, *args: Any, **kwargs: Any) -> Tensor:
            if not isinstance(input, Tensor):
                raise TypeError(f"{called}(): argument 'input' must be Tensor, not {type(input).__name__}")
            steps = fn(input, *args, **kwargs)
            return view(input, steps, grad) if type(steps) is tuple else steps

        register(called, fn, call, None, places)
        return call

    return decorate


NO_STEPS = (Step(REGISTRY["squeeze"], ((),), None),)      # the view of everything


def view(input: Tensor, steps: tuple[Step, ...], grad: str, number: int = 0) -> Tensor:
    """The view along `steps`, with the grad_fn's name; `number`: which output of the operator it is."""
    source = input._current()
    result = input._view(steps or NO_STEPS)
    node = result._node
    if node.depth:
        if node.requires_grad and (node.op.grad_name != grad or node.inputs[0] is not source or number):
            node.ensure_extra().fn = Composite(grad, (source,), (), False, number)
        line = user_line()
        while node is not source and node.line is None and node.inputs:
            node.line = line
            node = node.inputs[0]
    return result


def unary(op: Op, *, name: str | None = None, floating: bool = False, places: tuple[str, ...] = ("torch", "method"),
          inplace: bool = True, refuse_bool: str | None = None) -> Callable:
    """Declare an operator that is one elementwise primitive of one tensor.  floating: integers are promoted first;
    refuse_bool: the error for bools, where there is one."""
    called = name or op.name

    def fn(input: Node) -> Node:
        if type(input) is not Node:
            raise TypeError(f"{called}(): argument 'input' (position 1) must be Tensor, not {type(input).__name__}")
        if floating and input.type.dtype.category != 2:
            input = promoted(called, input, floating=True)[0]
        elif refuse_bool is not None and input.type.dtype is bool_:
            raise RuntimeError(refuse_bool)
        return bind(op, (input,))

    def call(input: Any) -> Tensor:
        return wrap(finish(fn(to_node(input))))

    call.__name__ = call.__qualname__ = called
    call.__doc__ = f"{op.doc}, element by element."
    register(called, fn, call, lambda result, args, kwargs: finish(result), places, inplace)
    return call


def binary_nodes(op: Op, called: str, a: Any, b: Any, floating: bool) -> Node:
    """One application of a binary elementwise primitive to nodes and numbers, promoted."""
    if type(a) is Node and type(b) is Node:
        if a.type.dtype is b.type.dtype and not (floating and a.type.dtype.category != 2):
            return bind(op, (a, b))
    elif type(a) is Node and type(b) is float and a.type.dtype.category == 2:
        return bind(op, (a, scalar_node(b, a.type.dtype)))
    return bind(op, tuple(promoted(called, a, b, floating=floating)))


def binary(op: Op, *, name: str | None = None, floating: bool = False, places: tuple[str, ...] = ("torch", "method"),
           inplace: bool = True) -> Callable:
    """Declare an operator that is one elementwise primitive of two operands, each a tensor or a number."""
    called = name or op.name

    def fn(input: Any, other: Any) -> Node:
        return binary_nodes(op, called, input, other, floating)

    def call(input: Any, other: Any) -> Tensor:
        if isinstance(input, Tensor):
            input = input._node if input._storage is None else input._current()
        if isinstance(other, Tensor):
            other = other._node if other._storage is None else other._current()
        return wrap(finish_binary(binary_nodes(op, called, input, other, floating), (input, other)))

    call.__name__ = call.__qualname__ = called
    call.__doc__ = f"{op.doc}, element by element, with broadcasting and type promotion."
    register(called, fn, call, finish_binary, places, inplace)
    return call


def finish_binary(node: Node, operands: tuple, kwargs: Any = None) -> Node:
    """Settle a binary primitive; the operands that were promoted first are its edges, not their casts."""
    if node.requires_grad:
        for n, v in zip(node.inputs, operands, strict=True):
            if n is not v and type(v) is Node:
                return finish_composite(node, node.op.grad_name, tuple([v if type(v) is Node else None
                                                                        for v in operands]))
    return finish(node)


def inplace_method(op: Operator) -> Callable:
    """The method `name_`: the operator's result written to self."""
    fn, settle, called = op.fn, op.finish, op.name + "_"

    def method(self: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        args = (self._current(), *[to_node(v) for v in args])
        if kwargs:
            kwargs = {k: to_node(v) for k, v in kwargs.items()}
        return write_result(self, called, settle(fn(*args, **kwargs), args, kwargs))

    method.__name__ = method.__qualname__ = called
    method.__doc__ = f"{op.name}(), written to this tensor."
    return method


def write_result(self: Tensor, called: str, result: Node) -> Tensor:
    """Write an in-place operator's result, checking that it fits the tensor's shape and category of dtype."""
    type = self._node.type
    if result.type.shape != type.shape:
        raise RuntimeError(f"output with shape {list(type.shape)} doesn't match the broadcast shape "
                           f"{list(result.type.shape)} of {called}()")
    if result.type.dtype is not type.dtype:
        if result.type.dtype.category > type.dtype.category:
            names = {"float32": "Float", "float64": "Double", "int64": "Long", "int32": "Int", "bool": "Bool"}
            raise RuntimeError(f"result type {names[result.type.dtype.name]} can't be cast to the desired output type "
                               f"{names[type.dtype.name]}")
        result = finish(cast(result, type.dtype))
    return self._write(result)

