"""Operands of public operators: tensors and numbers as nodes, promotion, dimensions counted from the front."""
from __future__ import annotations

from collections.abc import Callable, Iterable
from operator import index
from typing import Any

import numpy as np

from jitgrad.graph.node import Node
from jitgrad.graph.recording import bind, postponed, scalar_node
from jitgrad.operators.traced_array import array_tensor
from jitgrad.operators.traced_float import TracedFloat
from jitgrad.ops import REGISTRY
from jitgrad.tensors.tensor import Tensor
from jitgrad.types.dtype import REAL, bool_, check_fits, dtype, get_default_dtype, of_scalar, promote, refuse_complex, wrapped

Number = REAL
Scalar = int | float                            # the same, as an annotation
Operand = Any                                   # a node, or a number that counts as one
Dim = int | None
Dims = int | tuple[int, ...] | list[int] | None
Integers = Any                                  # one, or a sequence of them
Tensors = Any                                   # a sequence of nodes


def node_of(tensor: Tensor) -> Node:
    """A tensor's node for an operator, which may look at its value: computed, if it was postponed."""
    node = tensor._node if tensor._storage is None else tensor._current()
    if node.depth < 0:
        postponed[0](node)
    return node


def to_node(value: Any) -> Any:
    """A tensor's node; lists and tuples of tensors likewise; anything else as it is."""
    if isinstance(value, Tensor):
        return node_of(value)
    if type(value) in (list, tuple) and any([isinstance(v, Tensor) for v in value]):
        return type(value)([to_node(v) for v in value])
    return value


def operand(value: Any) -> Any:
    """What stands beside a tensor in a Python operator, as a node or a number; NotImplemented for anything else.

    Raises TypeError for a complex number."""
    if isinstance(value, Number):
        return value
    if isinstance(value, Tensor):
        return node_of(value)
    if isinstance(value, np.ndarray):
        return array_tensor(value)._node
    refuse_complex(value)
    return NotImplemented


def reach(node: Node) -> tuple[int, int] | None:
    """The least and the greatest element of whole numbers that are known, kept with them; None of others."""
    array = node.value
    if type(array) is not np.ndarray:
        return None
    extra = node.extra or node.ensure_extra()
    if extra.reach is None:
        extra.reach = (int(array.min()), int(array.max())) if array.size else (0, -1)
    return extra.reach


def within(low: int, high: int) -> Callable[[Node], bool]:
    """A test for operators that look (template.holds): whether all elements are known and in range(low, high)."""
    def test(node: Node) -> bool:
        found = reach(node)
        return found is not None and low <= found[0] and found[1] < high
    return test


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


def promoted(name: str, *operands: Any, floating: bool = False, to: dtype | None = None, fitting: bool = False,
             alone: bool = False) -> list[Node]:
    """Nodes and Python numbers as nodes of their common dtype (a floating one if asked for).

    Numbers become run-time scalars; alone: they need no tensor beside them.  Raises TypeError for operands that are neither; if
    `fitting`, RuntimeError for numbers that the dtype does not hold."""
    if not alone and not any([type(v) is Node for v in operands]):
        raise TypeError(f"{name}(): argument 'input' (position 1) must be Tensor, not {type(operands[0]).__name__}")
    for v in operands:
        if type(v) is not Node and not isinstance(v, Number):
            refuse_complex(v)
            raise TypeError(f"{name}(): operands must be tensors or numbers, got "
                            f"({', '.join(describe(u) for u in operands)})")
    if to is None:
        to = result_dtype(operands)
        if floating and to.category != 2:
            to = get_default_dtype()
    if fitting:
        for v in operands:
            if type(v) is not Node:
                check_fits(v, to)
    return [cast(v, to) if type(v) is Node else number_node(v, to) for v in operands]


def number_node(value: Any, to: dtype) -> Node:
    """A Python number as a run-time scalar of a dtype."""
    if type(value) is TracedFloat:
        if to.category == 2:
            return cast(value.node, to)
        value = float(value)
    if type(value) is not float and type(value) is not int:
        refuse_complex(value)
    if to.category == 2:
        return scalar_node(float(value), to)
    if to.category == 1:
        return scalar_node(wrapped(int(value), to), to)
    return scalar_node(bool(value), bool_)


def normal_dim(dim: int, ndim: int) -> int:
    """A dimension counted from the front.

    Raises IndexError with PyTorch's wording, and TypeError for what is no integer (a float of a whole number, a bool)."""
    if type(dim) is not int:
        if isinstance(dim, bool) or not hasattr(dim, "__index__"):
            raise TypeError(f"argument 'dim' must be int, not {type(dim).__name__}")
        dim = index(dim)
    rank = max(ndim, 1)
    if not -rank <= dim < rank:
        raise IndexError(f"Dimension out of range (expected to be in range of [{-rank}, {rank - 1}], but got {dim})")
    return dim + rank if dim < 0 else dim


def normal_dims(dims: Dims, ndim: int) -> tuple[int, ...]:
    """Dimensions as a sorted tuple; None and () mean all of them.  Raises as `normal_dim`, and for a dimension named twice."""
    if dims is None:
        return tuple(range(ndim))
    if not isinstance(dims, (tuple, list)):
        dims = (dims,)
    elif not dims:
        return tuple(range(ndim))
    found = [normal_dim(d, ndim) for d in dims]
    if len(set(found)) != len(found):
        twice = next(d for d in found if found.count(d) > 1)
        raise RuntimeError(f"dim {twice} appears multiple times in the list of dims")
    return tuple(sorted(found)) if ndim else ()


def integers(called: str, args: Iterable[Any], named: Any = None) -> tuple[int, ...]:
    """Sizes or dimensions given one by one, as one sequence, or by name."""
    args = tuple(args)
    if named is not None:
        args = (named,)
    if len(args) == 1 and isinstance(args[0], (tuple, list)):
        args = tuple(args[0])
    if not all([hasattr(v, "__index__") and not isinstance(v, bool) for v in args]):
        raise TypeError(f"{called}(): expected integers, got ({', '.join([type(v).__name__ for v in args])})")
    return tuple([index(v) for v in args])
