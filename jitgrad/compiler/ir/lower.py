"""From nodes to values.

Input: the joint graph of values and gradients, inputs first, with symbolic lengths.  Output: values (values.py) and, for
each node, the Ref that it is.
Invariant: equal applications are one value (common subexpressions); an elementwise value runs over the dimensions that
its operands need and no more, in the order in which they lie in its first full operand; what nobody asks for is never
built into a kernel, since fuse.py starts from the outputs.
"""
from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from jitgrad.compiler.ir import expr as E
from jitgrad.compiler.ir.dims import Dims, Sources
from jitgrad.compiler.ir.expr import Expr
from jitgrad.compiler.ir.gathers import ADDS, READS
from jitgrad.compiler.ir.piecewise import by_parts, padded_sum
from jitgrad.compiler.ir.products import matrix, thin_product
from jitgrad.compiler.ir.simplify import fold, simplify
from jitgrad.compiler.ir.values import (
    NUMBERS,
    AxisMap,
    Operand,
    Ref,
    Value,
    along,
    core,
    full_shape,
    identity,
    positions,
    viewable,
)
from jitgrad.compiler.ir.views import VIEWS
from jitgrad.errors import InternalError
from jitgrad.graph.node import CONST, INPUT, SCALAR, Node, Op
from jitgrad.ops.declare import REGISTRY
from jitgrad.ops.random import AT_PLACE
from jitgrad.types.dtype import BY_CODE, bool_, dtype, int64

_LAST = 2**63 - 1


class Lowering:
    """Holds the values made so far.

    refs[node]: what a node is, seen from the core of its dimensions.  checks: values whose computation raises errors.
    accumulate: whether kernels may add to elements at computed positions.  known: operations whose values are arrays.
    in_place: writes to a part of an array, whose memory the result has."""

    def __init__(self, captured: Mapping[Node, int], sizes: Mapping[int, int], dims: Mapping[Node, Dims],
                 uses: Mapping[Node, int], accumulate: bool, sources: Sources, known: Collection[Node] = (),
                 in_place: Collection[Node] = ()) -> None:
        self.values: list[Value] = []
        self.refs: dict[Node, Ref] = {}
        self._captured = captured
        self._known_nodes = known
        self.in_place = in_place
        self._sizes = sizes
        self.dims = dims
        self.uses = uses
        self._known: dict[tuple, Value] = {}
        self.costs: dict[Value, int] = {}       # of piecewise.py
        self._derived = False
        self._accumulate = accumulate
        self.checks: list[Value] = []
        self._sources = sources
        self._symbols: dict[Expr, int] = {1: 0}
        self._free_symbol = max(sources, default=0) + 1

    # -- making values -----------------------------------------------------------------------------------------------

    def value(self, key: tuple, kind: str, dims: Dims, dtype: dtype, **fields: Any) -> Value:
        found = self._known.get(key)
        if found is None:
            found = self._known[key] = Value(len(self.values), kind, dims, dtype, derived=self._derived, **fields)
            self.values.append(found)
        return found

    def symbol(self, length: Expr, most: Expr) -> int:
        """A dimension of a length that no recorded dimension has, and that is at most `most`; it may be 1, or 0, at a call."""
        found = self._symbols.get(length)
        if found is None:
            found = self._symbols[length] = self._free_symbol
            self._free_symbol += 1
            self._sources[found] = ("most", length, most)
        return found

    def constant(self, value: Any, dtype: dtype) -> Ref:
        """A literal, seen from anywhere."""
        return Ref(self.value(("const", repr(value), dtype), "const", (), dtype, payload=value), ())

    def named(self, name: str, refs: list[Ref], space: Dims, line: Any) -> Ref:
        """An op of the registry without params."""
        return self.apply(REGISTRY[name], (), refs, space, line)

    def apply(self, op: Op, params: tuple, refs: list[Ref], space: Dims, line: Any, *, out: dtype | None = None) -> Ref:
        """An elementwise op on Refs from `space`, simplified and shared; the result is seen from `space`."""
        if out is None:
            out = refs[-1].value.dtype
        number = fold(op, params, refs, out)
        if number is not None:
            return self.constant(number, out)
        simpler = simplify(self, op, params, refs, space, line)
        if simpler is not None:
            return simpler
        split = by_parts(self, op, params, refs, space, line, out)
        if split is not None:
            return split
        order = _loop_order(refs)
        if order == [*range(len(space))]:
            args, dims = tuple(refs), space
        else:
            back = {d: i for i, d in enumerate(order)}
            steps = tuple([along(back.get(d, -1)) for d in range(len(space))])
            args = tuple([r.within(steps) for r in refs])
            dims = tuple([space[d] for d in order])
        value = self.value(("elementwise", op, params, args, dims, out), "elementwise", dims, out, op=op,
                            params=params, args=args, line=line)
        return Ref(value, tuple([along(d) for d in order]))

    def stored(self, ref: Ref, space: Dims) -> Value:
        """A value that lies in memory, contiguous, with exactly these dimensions."""
        value = ref.value
        if ref.is_identity(space) and value.layout is None and value.kind not in NUMBERS:
            if value.kind == "elementwise":
                value.barrier = True
            return value
        return self.copied(ref, space)

    def copied(self, ref: Ref, space: Dims, tag: Any = None) -> Value:
        """A contiguous copy of a view; copies with different tags are different arrays."""
        copy = REGISTRY["copy"]
        return self.value(("copied", ref, space, tag), "elementwise", space, ref.value.dtype, op=copy, args=(ref,),
                           barrier=True)

    # -- values that are filled part by part -------------------------------------------------------------------------

    def put(self, target: Value, ref: Ref, space: Dims, index: tuple[AxisMap, ...], ordered: bool) -> None:
        """Write one more part."""
        after = target.puts[-1] if ordered and target.puts else None
        put = Value(len(self.values), "put", space, target.dtype, args=(ref,), target=target, index=index,
                    line=target.line, after=after, derived=self._derived)
        self.values.append(put)
        target.puts.append(put)

    def added(self, target: Value, index: tuple[AxisMap, ...], ref: Ref, space: Dims, line: Any) -> Value:
        """What is in the target at a place, plus `ref`: a value of its own each time, for it reads the target as the put
        before left it."""
        value = Value(len(self.values), "elementwise", space, target.dtype, op=REGISTRY["add"],
                      args=(Ref(target, index), ref), line=line, derived=self._derived)
        self.values.append(value)
        return value

    def padded_sum(self, x: Ref, y: Ref, space: Dims, line: Any) -> Ref | None:
        """See piecewise.py."""
        return padded_sum(self, x, y, space, line)

    # -- nodes -------------------------------------------------------------------------------------------------------

    def lower(self, order: Sequence[Node]) -> None:
        """Fill `refs` for every node, inputs first."""
        for node in order:
            self._derived = node not in self._captured
            self.refs[node] = self._lower(node)

    def _lower(self, node: Node) -> Ref:
        op, dims = node.op, self.dims[node]
        if op.kind == "leaf" or node in self._known_nodes:
            return self._leaf(node, dims)
        if not all([n.type.dtype.in_kernels for n in (node, *node.inputs)]):
            return self._called(node, dims)
        if op.kind == "elementwise":
            space = core(dims)
            refs = [self.aligned(n, dims) for n in node.inputs]
            return self.apply(op, node.params, refs, space, node.line, out=node.type.dtype)
        if op.kind == "reduction":
            return self._reduction(node.op, node.inputs[0], node.params[0], node.line)
        if op.kind == "movement":
            return VIEWS[op.facts.role](self, node, dims)
        return self._library(node, dims)

    def _leaf(self, node: Node, dims: Dims) -> Ref:
        d = node.type.dtype
        if node.op is CONST:
            return self.constant(node.value, BY_CODE[node.params[0]])
        position = self._captured.get(node)
        if position is None:
            raise InternalError(f"a derivative made the leaf {node}")
        if node.op is SCALAR:
            number = Ref(self.value(("scalar", position), "scalar", (), d if d.in_kernels else int64, position=position), ())
            return number if d.in_kernels else self._cast(number, d, node.line)
        layout = None
        if node.op is INPUT and not node.value.flags.c_contiguous:
            layout = tuple([("stride", position, axis) for axis in positions(dims)])
        return identity(self.value(("input", position), "input", core(dims), d, position=position, layout=layout))

    def _cast(self, number: Ref, to: dtype, line: Any) -> Ref:
        """A number in a dtype that kernels do not compute with, as NumPy converts it."""
        cast, operands = REGISTRY["cast"], (Operand(self.in_memory(number, ()), ()),)
        return identity(self.value(("library", cast, (to,), operands), "library", (), to, op=cast, params=(to,), operands=operands,
                                    shape=(), line=line))

    def aligned(self, n: Node, to: Dims) -> Ref:
        """An operand, broadcast: seen from the core of `to`."""
        if self.dims[n] == to:
            return self.refs[n]
        lead = len(to) - len(self.dims[n])
        place = positions(to)
        return self.refs[n].within(tuple([along(place[lead + axis]) for axis in positions(self.dims[n])]))

    def _reduction(self, op: Op, x: Node, axes: tuple[int, ...], line: Any) -> Ref:
        if x.type.dtype.category == 0 and op.facts.of_bools:       # within the kernel vocabulary
            op = REGISTRY[op.facts.of_bools]
        dims = self.dims[x]
        place = positions(dims)
        return self.reduced(op, self.refs[x], core(dims), {place[a] for a in axes if a in place}, line)

    def reduced(self, op: Op, ref: Ref, space: Dims, reduced: set[int], line: Any) -> Ref:
        """A reduction of a Ref from `space` over the positions `reduced`; the result is seen from the others."""
        if not reduced:
            return ref
        if op.facts.role == "sum" and (known := self._factored(ref, space, reduced, line)) is not None:
            return known
        kept = [d for d in range(len(space)) if d not in reduced]
        key, order = self._reduction_key(op, ref, space, reduced)
        _, _, arg, space, where = key
        back = {d: i for i, d in enumerate(order)}
        loop_kept = [d for d in order if d not in reduced]
        value = self.value(key, "reduction", tuple([space[back[d]] for d in loop_kept]), ref.value.dtype, op=op,
                           args=(arg,), space=space, reduced=where, line=line)
        return Ref(value, tuple([along(kept.index(d)) for d in loop_kept]))

    def _reduction_key(self, op: Op, ref: Ref, space: Dims, reduced: set[int]) -> tuple[tuple, list[int]]:
        """What a reduction is known by, and the order of its loops over `space`."""
        order = _loop_order([ref])
        if len(order) != len(space):
            order = list(range(len(space)))
        back = {d: i for i, d in enumerate(order)}
        arg = ref.within(tuple([along(back[d]) for d in range(len(space))]))
        where = tuple(sorted([back[d] for d in reduced]))
        return ("reduction", op, arg, tuple([space[d] for d in order]), where), order

    def _factored(self, ref: Ref, space: Dims, reduced: set[int], line: Any) -> Ref | None:
        """sum(c * x) as c * sum(x), where c does not vary in the sum, x is never negative and sum(x) is computed anyway.

        The gradient of a normalised exponential asks for such a sum.  Beyond rounding the two differ only where sum(x) or
        c overflows: the sum is to be seen in the program's own values, and an infinite c gives inf instead of nan if some,
        but not all, x are 0.  (With terms of both signs it would give inf instead of nan always.)"""
        if ref.value.dtype.category != 2:
            return None
        factors: list[tuple[Op, Ref | None]] = []
        while (found := _factor(ref, reduced)) is not None:
            op, factor, ref = found
            factors.append((op, factor))
        if not factors or ref.value.op is None or not ref.value.op.facts.nonnegative:
            return None
        key, _ = self._reduction_key(REGISTRY["sum"], ref, space, reduced)
        if key not in self._known:
            return None
        kept = [d for d in range(len(space)) if d not in reduced]
        to_kept = tuple([along(kept.index(d)) if d in kept else along(-1) for d in range(len(space))])
        result, outer = self.reduced(REGISTRY["sum"], ref, space, reduced, line), tuple([space[d] for d in kept])
        for op, factor in reversed(factors):
            result = self.apply(op, (), [result] if factor is None else [result, factor.within(to_kept)], outer, line)
        return result

    def sizes_of(self, node: Node) -> tuple[Expr, ...]:
        """The run-time integers of a node, as expressions."""
        position = self._captured.get(node)
        if position is None and node.sizes:
            position = self._sizes.get(id(node.sizes))
            if position is None:
                raise InternalError(f"a derivative made {node} with sizes that no recorded node has")
        return tuple([("size", position, k) for k in range(len(node.sizes or ()))])

    def _library(self, node: Node, dims: Dims) -> Ref:
        op = node.op
        role = op.facts.role
        if role == "extent":
            n = E.mul(*[E.length(self.dims[node.inputs[0]][axis]) for axis in node.params[0]])
            if type(n) is int:
                return self.constant(float(n) if node.type.dtype.category == 2 else n, node.type.dtype)
            return Ref(self.value(("extent", n, node.type.dtype), "extent", (), node.type.dtype, payload=n), ())
        if role == "position":
            return self._first_extremum(node, dims)
        if role == "random":
            op, space = AT_PLACE["_".join([op.name, *node.params])], core(dims)
            refs = [self.place(space), *[self.aligned(n, dims) for n in node.inputs[1:]]]
            return self.apply(op, (), refs, space, node.line, out=node.type.dtype)
        if role == "gather_along" and node.inputs[1].op.kind == "library" and (best := node.inputs[1].op.facts.extremum):
            x, index = node.inputs              # the value at the position is the extremum itself
            if index.params == ((node.params[0],),) and self.refs[index.inputs[0]] == self.refs[x]:
                return self._reduction(REGISTRY[best], x, index.params[0], node.line)
        if role == "matrix_product" and (ref := thin_product(self, node, dims)) is not None:
            return ref
        if role == "scatter_add_along" and (ref := self._one_of_each_row(node, dims)) is not None:
            return ref
        if role in READS:
            return READS[role](self, node, dims)
        if role in ADDS and self._accumulate:
            return ADDS[role](self, node, dims)
        return self._called(node, dims)

    def _called(self, node: Node, dims: Dims) -> Ref:
        """What NumPy computes."""
        op, role = node.op, node.op.facts.role
        operands = []
        for i, n in enumerate(node.inputs):
            shape = full_shape(self.dims[n])
            if i in op.shape_only:
                operands.append(Operand(None, shape))
                continue
            ref, space = self.refs[n], core(self.dims[n])
            ref = matrix(self, ref, space, self.dims[n]) if role == "matrix_product" else self.in_memory(ref, space)
            operands.append(Operand(ref, shape))
        sizes = self.sizes_of(node) if op.has_sizes else None
        key = ("library", op, node.params, tuple(operands), sizes, dims)
        return identity(self.value(key, "library", core(dims), node.type.dtype, op=op, params=node.params,
                                    operands=tuple(operands), shape=full_shape(dims), sizes=sizes, line=node.line))

    def place(self, space: Dims) -> Ref:
        """0, 1, 2 ... in row-major order."""
        return identity(self.value(("position", space), "position", space, int64))

    def position(self, symbol: int, at: int) -> Ref:
        """0, 1, 2 ... along dimension `at` of the user's space, which has this symbol."""
        return Ref(self.place((symbol,)).value, (along(at),))

    def _first_extremum(self, node: Node, dims: Dims) -> Ref:
        """argmax or argmin: the least of the positions at which the extremum is, or a nan if there is one."""
        (x,), ((axis,),) = node.inputs, node.params
        whole = self.dims[x]
        if not whole[axis]:
            return self.constant(0, int64)
        place, space = positions(whole), core(whole)
        ref = self.refs[x]
        best = self._reduction(REGISTRY[node.op.facts.extremum], x, (axis,), node.line)
        best = best.within(tuple([along(place[a]) for a in positions(dims)]))
        chosen = self.apply(REGISTRY["eq"], (), [ref, best], space, node.line, out=bool_)
        if x.type.dtype.category == 2:
            unordered = self.apply(REGISTRY["isnan"], (), [ref], space, node.line, out=bool_)
            chosen = self.named("logical_or", [chosen, unordered], space, node.line)
        at = self.named("where", [chosen, self.position(whole[axis], place[axis]), self.constant(_LAST, int64)], space,
                        node.line)
        return self.reduced(REGISTRY["amin"], at, space, {place[axis]}, node.line)

    def in_memory(self, ref: Ref, space: Dims) -> Ref:
        """The same elements in memory, or a literal: what an ndarray can stand for."""
        if not viewable(ref):
            return identity(self.stored(ref, space))
        if ref.value.kind == "elementwise":
            ref.value.barrier = True
        return ref

    def _one_of_each_row(self, node: Node, dims: Dims) -> Ref | None:
        """put_along_add of one element a row into zeros, the gradient of `max(dim)` and of a gather of one element:
        where(position == index, value, 0), which fuses.  The gather itself has checked the index."""
        base, index, value = node.inputs
        (dim,) = node.params
        given, zero = self.dims[index], self.refs[base]
        others = [a for a in range(len(dims)) if a != dim]
        if given[dim] or not dims[dim] or any([given[a] != dims[a] for a in others]) or not zero.value.is_zero():
            return None
        space = core(dims)
        here = self.position(dims[dim], positions(dims)[dim])
        chosen = self.apply(REGISTRY["eq"], (), [here, self.aligned(index, dims)], space, node.line, out=bool_)
        d = node.type.dtype
        return self.apply(REGISTRY["where"], (), [chosen, self.aligned(value, dims), zero], space, node.line, out=d)


def _factor(ref: Ref, reduced: set[int]) -> tuple[Op, Ref | None, Ref] | None:
    """(op, factor, x) of what is linear in x, as a product, the factor not varying along `reduced`; None for factor of -x."""
    value = ref.value
    if value.kind != "elementwise" or value.barrier or value.op is None or not value.op.facts.linear:
        return None
    linear, args = value.op.facts.linear, [a.within(ref.index) for a in value.args]
    if len(args) == 1:
        return value.op, None, args[0]
    varies = [any([step.dim in reduced for step in a.index]) for a in args]
    if not varies[1]:
        return value.op, args[1], args[0]
    return None if varies[0] or 1 not in linear else (value.op, args[0], args[1])


def _loop_order(refs: Sequence[Ref]) -> list[int]:
    """The dimensions of the space that are used, in the order of the first operand that has all of them."""
    used = sorted({step[0] for r in refs for step in r.index if step[0] >= 0})
    for r in refs:
        own = [step[0] for step in r.index if step[0] >= 0]
        if len(own) == len(used):
            return own
    return used
