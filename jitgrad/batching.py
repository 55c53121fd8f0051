"""The batching transform (vmap): from the graph of one element to the graph that does the same for a whole batch of them.

Input: nodes, and the elements among what they depend on, each with the batched node that it is an element of (one dimension
more, the first).  Output: the batched nodes.
Invariant: what depends on no element is not touched, and stays one for all.

There is a rule for each family of primitives: elementwise ones align dimensions, reductions and what works along dimensions
count them from the next one on, and what reads positions reads in each element its own.  What has no rule raises
NotImplementedError.
"""
from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from jitgrad.graph.node import Node, Op, topological
from jitgrad.graph.recording import bind, in_grad_mode, input_node
from jitgrad.ops import REGISTRY
from jitgrad.ops.declare import Facts
from jitgrad.ops.indexing import indexed_at
from jitgrad.types.array import array_type
from jitgrad.types.dtype import int64


class BatchedOperand(NamedTuple):
    """A node, and whether its first dimension is the batch."""

    node: Node
    batched: bool


Rule = Callable[[Node, Sequence[BatchedOperand], int], BatchedOperand]


def _no_value(x: np.ndarray) -> np.ndarray:
    raise RuntimeError(UNKNOWN)


UNKNOWN = ("vmap: It looks like you're calling .item() on a Tensor, or use its value in Python (if, float(), numpy(), print). We don't "
           "support vmap over calling .item() on a Tensor, please try to rewrite what you're doing with other operations: "
           "torch.where in place of if. (The tensor may have left the function that vmap called, too.)")

# Not in the registry: nothing computes it.
ELEMENT = Op(name="element", kind="library", arg_names=("x",), param_names=(), shape_only=(), numpy=_no_value, vjp=None,
             has_sizes=False,
             infer=lambda x: array_type(x.shape[1:], x.dtype, x.device), dims=lambda context, node, dims: dims[0][1:], facts=Facts(),
             grad_name="ElementBackward0", doc="any element of a batch, while a function is recorded for all of them")


def element_of(batched: Node) -> Node:
    """What stands for an element of a batch."""
    node = bind(ELEMENT, (batched,))
    node.requires_grad = batched.requires_grad
    node.depth = batched.depth + 1
    return node


def batch(outputs: Sequence[Node], elements: Mapping[Node, Node], size: int) -> tuple[list[BatchedOperand], list[Node]]:
    """The outputs for all elements at once, and the nodes that they are made of: the batches, and what is one for all.

    Raises NotImplementedError for a primitive that has no rule."""
    made: dict[Node, BatchedOperand] = {n: BatchedOperand(b, True) for n, b in elements.items()}
    outside: dict[Node, None] = dict.fromkeys(elements.values())
    for n in _above(outputs, elements):
        if n not in made and any([m in made for m in n.inputs]):
            outside.update(dict.fromkeys([m for m in n.inputs if m not in made]))
            made[n] = in_grad_mode(n.requires_grad, _apply, n, [made.get(m) or BatchedOperand(m, False) for m in n.inputs], size)
            if n.line is not None:
                made[n].node.line = n.line
    return [made.get(n) or BatchedOperand(n, False) for n in outputs], list(outside)


def _above(outputs: Sequence[Node], elements: Mapping[Node, Node]) -> list[Node]:
    """What may depend on elements, and these, inputs first: it lies deeper."""
    least = min([n.depth for n in elements], default=0)
    return topological(outputs, lambda n: () if n in elements or n.depth <= least else n.inputs)


def depends(node: Node, elements: Mapping[Node, Node]) -> bool:
    """Whether a node depends on one of the elements."""
    return any([n in elements for n in _above([node], elements)])


def _apply(node: Node, operands: Sequence[BatchedOperand], size: int) -> BatchedOperand:
    op = node.op
    if not any([x.batched for x in operands]):         # of what only the shape of an element was asked
        return BatchedOperand(bind(op, tuple([x.node for x in operands]), node.params, node.sizes), False)
    rule = _RULES.get(op.name) or _KINDS.get(op.kind)
    if rule is None:
        if set(op.param_names) & {"dim", "dims", "axes"} and len(op.param_names) == 1 and not op.has_sizes:
            rule = _along
        else:
            raise NotImplementedError(f"vmap: there is no batching rule for {op.name}: call the function on each element, and "
                                      "stack the results")
    return rule(node, operands, size)


_DIMENSIONS = ("dim", "dims", "axes", "dim1", "dim2")       # parameters


# -- operands --------------------------------------------------------------------------------------------------------

def whole(x: BatchedOperand, size: int) -> Node:
    """An operand with the batch in front; one that has none is repeated, which copies nothing."""
    return x.node if x.batched else bind(REGISTRY["expand"], (x.node,), (), (size, *x.node.type.shape))


def _unsqueezed(node: Node, at: int, count: int) -> Node:
    return bind(REGISTRY["unsqueeze"], (node,), (tuple(range(at, at + count)),)) if count else node


def _aligned(x: BatchedOperand, ndim: int) -> Node:
    """An operand whose elements broadcast against ones of so many dimensions."""
    return _unsqueezed(x.node, 1, ndim + 1 - x.node.type.ndim) if x.batched else x.node


def _moved(node: Node, source: int, count: int, to: int) -> Node:
    """A node with `count` dimensions from `source` on at `to` among the others."""
    rest = [d for d in range(node.type.ndim) if not source <= d < source + count]
    order = (*rest[:to], *range(source, source + count), *rest[to:])
    return node if order == tuple(range(node.type.ndim)) else bind(REGISTRY["permute"], (node,), (order,))


def _shifted(node: Node) -> tuple:
    """The parameters, with dimensions counted from the next one on."""
    return tuple([v if name not in _DIMENSIONS else v + 1 if isinstance(v, int) else tuple([d + 1 for d in v])
                  for name, v in zip(node.op.param_names, node.params, strict=True)])


# -- families --------------------------------------------------------------------------------------------------------

def _elementwise(node: Node, operands: Sequence[BatchedOperand], size: int) -> BatchedOperand:
    ndim = node.type.ndim
    return BatchedOperand(bind(node.op, tuple([_aligned(x, ndim) for x in operands]), _shifted(node)), True)


def _of_numbers(node: Node, operands: Sequence[BatchedOperand], size: int) -> BatchedOperand:
    """What computes with Python's numbers, beside x."""
    if any([x.batched for x, name in zip(operands, node.op.arg_names, strict=True) if name != "x"]):
        raise NotImplementedError(f"vmap: there is no batching rule for the numbers of {node.op.name}")
    return _elementwise(node, operands, size)


def _along(node: Node, operands: Sequence[BatchedOperand], size: int) -> BatchedOperand:
    """What works along dimensions, or on all of an element alike; `sizes` are of some dimensions."""
    return BatchedOperand(bind(node.op, tuple([whole(x, size) for x in operands]), _shifted(node), node.sizes), True)


def _permute(node: Node, operands: Sequence[BatchedOperand], size: int) -> BatchedOperand:
    return BatchedOperand(bind(node.op, (operands[0].node,), ((0, *[d + 1 for d in node.params[0]]),)), True)


def _shaped(node: Node, operands: Sequence[BatchedOperand], size: int) -> BatchedOperand:
    """reshape and expand: `sizes` are those of the result."""
    return BatchedOperand(bind(node.op, (_aligned(operands[0], node.type.ndim) if node.op.name == "expand" else operands[0].node,), (),
                        (size, *(node.sizes or ()))), True)


def _expand_like(node: Node, operands: Sequence[BatchedOperand], size: int) -> BatchedOperand:
    x, donor = operands
    return BatchedOperand(bind(node.op, (_aligned(x, node.type.ndim), whole(donor, size))), True)


def _sliced(node: Node, operands: Sequence[BatchedOperand], size: int) -> BatchedOperand:
    return BatchedOperand(bind(node.op, tuple([whole(x, size) for x in operands]), ((True, *node.params[0]),), node.sizes), True)


def _norm(node: Node, operands: Sequence[BatchedOperand], size: int) -> BatchedOperand:
    value, x, order = operands
    return BatchedOperand(bind(node.op, (whole(value, size), whole(x, size), _aligned(order, node.type.ndim)), _shifted(node)), True)


def _of_one(node: Node, operands: Sequence[BatchedOperand], size: int) -> BatchedOperand:
    """What depends on the shape of an element, and on numbers: one for all."""
    if any([x.batched for x in operands[1:]]):
        raise NotImplementedError(f"vmap: there is no batching rule for the numbers of {node.op.name}")
    given = operands[0].node
    first = bind(REGISTRY["slice"], (given,), (("prefix", *[True] * (given.type.ndim - 1)),), (0, 1, 1))
    return BatchedOperand(bind(node.op, (bind(REGISTRY["squeeze"], (first,), ((0,),)), *[x.node for x in operands[1:]]),
                               node.params), False)


def _matmul(node: Node, operands: Sequence[BatchedOperand], size: int) -> BatchedOperand:
    a, b = operands
    if a.batched and not b.batched and a.node.type.ndim == 3 and b.node.type.ndim == 2:     # one product of all rows
        rows = a.node.type.shape[1]
        stacked = bind(REGISTRY["reshape"], (a.node,), (), (size * rows, a.node.type.shape[2]))
        return BatchedOperand(bind(REGISTRY["reshape"], (bind(node.op, (stacked, b.node)),), (), (size, *node.type.shape)), True)
    return BatchedOperand(bind(node.op, tuple([_aligned(x, node.type.ndim) for x in operands])), True)


# -- positions -------------------------------------------------------------------------------------------------------

def _positions(positions: Sequence[BatchedOperand], size: int) -> tuple[Node, ...]:
    """Of each element its own: the number of the element, and the positions in it."""
    shape = (size, *[1] * (positions[0].node.type.ndim - positions[0].batched))
    number = input_node(np.arange(size).reshape(shape), array_type(shape, int64, positions[0].node.type.device))
    given = tuple([whole(x, size) for x in positions])
    return (bind(REGISTRY["expand_like"], (number, given[0])), *given)


def _index(node: Node, operands: Sequence[BatchedOperand], size: int) -> BatchedOperand:
    x, *positions = operands
    axes: tuple[int, ...] = node.params[0]
    at = indexed_at(axes)
    count = positions[0].node.type.ndim - positions[0].batched
    if not x.batched:       # the batch is the first dimension of the positions
        return BatchedOperand(_moved(bind(node.op, (x.node, *[whole(p, size) for p in positions]), (axes,)), at, 1, 0), True)
    if not any([p.batched for p in positions]):
        later = tuple([d + 1 for d in axes])
        result = bind(node.op, (x.node, *[p.node for p in positions]), (later,))
        adjacent = axes == tuple(range(axes[0], axes[0] + len(axes)))
        return BatchedOperand(result if adjacent else _moved(result, count, 1, 0), True)
    result = bind(node.op, (x.node, *_positions(positions, size)), ((0, *[d + 1 for d in axes]),))
    return BatchedOperand(_moved(result, 1, count, 1 + at), True)


def _index_put(node: Node, operands: Sequence[BatchedOperand], size: int) -> BatchedOperand:
    base, value, *positions = operands
    axes: tuple[int, ...] = node.params[0]
    count = positions[0].node.type.ndim - positions[0].batched
    given = _moved(whole(value, size), 1 + indexed_at(axes), count, 1)
    return BatchedOperand(bind(node.op, (whole(base, size), given, *_positions(positions, size)), ((0, *[d + 1 for d in axes]),)), True)


_KINDS: dict[str, Rule] = {"elementwise": _elementwise, "reduction": _along}
_RULES: dict[str, Rule] = {
    **dict.fromkeys(("squeeze", "unsqueeze", "flip", "cat", "cat_part", "cat_put", "reshape_like", "detach", "kept", "attach",
                     "constant_in",
                     "overwrite", "take_along", "put_along_add", "polygamma", "erfinv", "cumsum", "cumprod", "linear_scan", "shifted",
                     "extreme_position", "argsort", "diagonal", "diagonal_like", "diagonal_put", "inverse", "solve", "det", "cofactors",
                     "logabsdet", "signdet", "cholesky", "eigh", "qr", "svd", "complement", "pinv"), _along),
    **dict.fromkeys(("slice", "slice_like", "slice_put"), _sliced), **dict.fromkeys(("reshape", "expand"), _shaped),
    **dict.fromkeys(("count", "diagonal_mask", "triangle", "random_word", "random_bits", "random_uniform", "random_normal"), _of_one),
    **dict.fromkeys(("index_put", "index_put_add"), _index_put),
    **dict.fromkeys(("monomial", "elu"), _of_numbers), "permute": _permute, "expand_like": _expand_like, "norm_of": _norm,
    "matmul": _matmul, "index": _index}
