"""Which values are computed together.

Input: values (values.py) and the ones that are wanted as outputs.  Output: steps in order, and the buffers they use.
Invariant: the order of steps is that of levels, so it has no cycle by construction; every buffer that a step reads was
written by an earlier step.

Levels: an elementwise value has the level of its operands that are computed in the same loops (same domain, same
element), and at least the level at which its other operands are available: one above that of the reduction, library
call or other loops that give them.  Values of one level and domain are one kernel (several, above CAP operations).

Rows: loops that compute a reduction over their last dimensions may go on, in the same row, with what needs the result
(nest.py's `inner`).  Then the level of that is the reduction's own, and so is that of values which have one element a row,
depend on such a result and are used by the loops; they are at home in these loops instead of loops of their own.
Where loops with rows could be at a later level, together with others over the same domain, they are: levels are found
again with a lowest level for that domain, and kept if there are fewer groups.

Recomputed are elementwise values that cost less than reading them back: short chains of cheap operations, and anything
0-d.  Everything else that another kernel reads is stored.  Kernels are built from the last level to the first, so that
only what is asked for is computed.
"""
from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from jitgrad.compiler.expr import Expr, text
from jitgrad.compiler.nest import CHEAP, MODERATE, NestBuilder, is_row
from jitgrad.compiler.program import Buffer, Kernel, KernelInfo, KernelStep, LibraryStep
from jitgrad.compiler.segments import segments
from jitgrad.compiler.values import GATHER, NUMBERS, Dims, Ref, Value, along, identity
from jitgrad.errors import InternalError

CAP = 80                # operations of one kernel
ENOUGH = 32             # operations of a kernel that repeats: it is compiled sooner than a larger one
ENOUGH_SCALAR = 12      # the same for one without a loop: a call costs less than ten operations
LONG = 32               # levels from which on a graph counts as long
DELAY = 2000            # values of the largest graph in which loops are delayed
LONG_GRAPH = 1000       # values from which on nothing 0-d is computed again
RECOMPUTE = 8           # cost of the longest chain that is computed again instead of stored


@dataclass
class Fused:
    """The result: steps in order, buffers by number."""

    steps: list[KernelStep | LibraryStep]
    buffers: list[Buffer]


class Fusion:
    """State of the pass over one graph."""

    def __init__(self, values: Sequence[Value], outputs: Sequence[Value | None], emit: Callable[[Kernel], str],
                 phased: bool, checks: Sequence[Value]) -> None:
        self._values = values
        self._emit = emit
        self._phased = phased
        self._rows: dict[tuple[int, Dims], tuple[int, ...]] = {}    # level and domain -> what a row runs along
        self._home: dict[int, tuple[int, Dims, tuple[int, ...]]] = {}   # value of one element a row -> level, domain, row
        self._rows_seen: set[tuple[int, Dims, tuple[int, ...]]] = set()
        self._products: set[tuple[int, Dims, tuple[int, ...]]] = set()      # whose reductions are all products with vectors
        self._feeds: dict[int, set[Dims]] = {}
        self._lowest: dict[Dims, int] = {}
        self._claimed = {v.root().id: k for k, v in enumerate(outputs) if v is not None}
        self._wanted = [*[v.root() for v in outputs if v is not None], *checks]
        self._cost: dict[int, int] = {}
        self._level: dict[int, int] = {}
        self._available: dict[int, int] = {}
        self._floor = 0
        self._demanded: set[int] = set()
        self._numbers: dict[int, int] = {}
        self._buffers: list[Buffer] = []

    # -- levels ------------------------------------------------------------------------------------------------------

    def _recomputable(self, value: Value) -> bool:
        return value.kind == "elementwise" and self._cost[value.id] <= RECOMPUTE

    def _cost_of(self, value: Value) -> int:
        """What computing an elementwise value again costs, or more than RECOMPUTE."""
        assert value.op is not None
        if not value.dims and len(self._values) > LONG_GRAPH:
            return RECOMPUTE + 1        # what is stored would else have a period of its own, not that of the steps
        name = value.op.name
        if value.barrier and not (name in CHEAP and all([len(a.value.dims) < len(value.dims) for a in value.args])):
            return RECOMPUTE + 1        # stored anyway; reading it back costs more only where its operands are smaller
        cost = 3 if value.op is GATHER else 1 if name in CHEAP else 2 if name in MODERATE or not value.dims else RECOMPUTE + 1
        for arg in value.args:
            v = arg.value
            if v.kind == "elementwise":
                cost += self._cost[v.id] if self._recomputable(v) else 1
            elif v.dims:
                cost += 1
        return cost

    def _start(self, refs: Sequence[Ref], space: Dims) -> int:
        """The lowest level at which loops over `space` can compute from these operands."""
        level, joined, rows = self._floor, -1, set()
        for ref in refs:
            v = ref.value
            home = self._home.get(v.id)
            if home is not None and home[1] == space and is_row(ref, space, home[2]):
                if home[0] > joined:
                    joined, rows = home[0], set()
                if home[0] == joined:
                    rows.add(home[2])
            elif v.kind == "elementwise" and home is None and ref.is_identity(space):
                level = max(level, self._level[v.id])
            else:
                level = max(level, self._available[v.id])
        if joined < level:
            return level
        return joined if len(rows) == 1 and self._row_of(joined, space, *rows) else joined + 1

    def _row_of(self, level: int, space: Dims, inner: tuple[int, ...]) -> bool:
        """Whether the loops of this level and domain have (from now on, if they had no phases) these rows."""
        return self._rows.setdefault((level, space), inner) == inner

    def _at_home(self, v: Value) -> bool:
        """Find out whether an elementwise value is at home in the loops that compute a reduction it depends on."""
        homes, level = set(), max(self._floor, self._source_of(v))
        for ref in v.args:
            home = self._home.get(ref.value.id)
            if home is not None and home[1] in self._feeds[v.id] and ref.is_identity(v.dims):
                homes.add(home)
            else:
                level = max(level, self._available[ref.value.id])
        latest = max([home[0] for home in homes], default=-1)
        homes = {home for home in homes if home[0] == latest}
        if latest < level or len(homes) != 1:
            return False
        [home] = homes
        if self._better_apart(v, home) or not self._row_of(*home):
            return False
        self._home[v.id] = home
        return True

    def _better_apart(self, v: Value, home: tuple[int, Dims, tuple[int, ...]]) -> bool:
        """Whether a value of one element a row is better computed by loops of its own, on many elements at a time: a formula
        costs more than to read the rows once more, where all that they give are products with vectors."""
        assert v.op is not None
        return v.op.name not in CHEAP and v.op.name not in MODERATE and home in self._products

    def _source_of(self, v: Value) -> int:
        """The level at which what a gather reads is available."""
        return 0 if v.source is None else self._in_memory(v.source)

    def _in_memory(self, v: Value) -> int:
        """The level at which a value can be read from memory, where it is not enough to compute it again."""
        v = v.root()
        return self._level[v.id] + 1 if v.kind == "elementwise" else self._available[v.id]

    def _find_feeds(self) -> None:
        """For each value the spaces of loops that use it, or an elementwise value over its dimensions, as one a row."""
        for v in reversed(self._values):
            own = self._feeds.setdefault(v.id, set())
            space = v.space if v.kind == "reduction" else v.dims
            for ref in v.args:
                fed = self._feeds.setdefault(ref.value.id, set())
                if not ref.is_identity(space):
                    fed.add(space)
                elif v.kind == "elementwise":
                    fed |= own

    def _find_levels(self) -> None:
        """Levels of all values, with as few groups as delaying loops with rows gives.

        In a long graph those that a derivative made come after all others instead: there is nothing to gain from one loop
        for a step and a derivative far from it, and their steps would not be equal any more."""
        self._find_feeds()
        self._levels()
        longest = max([self._level[v.id] for v in self._values if not v.derived and v.id in self._level], default=0)
        if longest > LONG:
            self._levels(longest + 1)
        if longest > LONG or len(self._values) > DELAY:
            return
        fewest, tried = len(self._groups()), set()
        while (late := self._delayed(tried)) is not None:
            space, level = late
            tried.add(space)
            before = self._lowest.get(space, 0)
            self._lowest[space] = level
            self._levels()
            count = len(self._groups())
            if count < fewest:
                fewest = count
            else:
                self._lowest[space] = before
                self._levels()

    def _delayed(self, tried: set[Dims]) -> tuple[Dims, int] | None:
        """A domain not tried yet with rows at one level and more loops at a later one, and that level."""
        last: dict[Dims, int] = {}
        for level, space in self._groups():
            last[space] = max(last.get(space, 0), level)
        for level, space in self._rows:
            if space not in tried and last.get(space, 0) > level:
                return space, last[space]
        return None

    def _groups(self) -> dict[tuple[int, Dims], None]:
        """Level and domain of every kernel."""
        return {(self._level[v.id], self._space(v)): None for v in self._values
                if v.kind in ("reduction", "put") or (v.kind == "elementwise" and not self._recomputable(v))}

    def _space(self, v: Value) -> Dims:
        """The domain of the loops that compute a value."""
        return v.space if v.kind == "reduction" else self._home[v.id][1] if v.id in self._home else v.dims

    def _levels(self, floor: int = 0) -> None:
        """floor: the lowest level of what a derivative made."""
        for found in (self._rows, self._home, self._level, self._available, self._rows_seen, self._products):
            found.clear()
        for v in self._values:
            self._floor = floor if v.derived else 0
            if v.kind in NUMBERS or v.kind in ("input", "assemble"):
                self._level[v.id] = self._available[v.id] = 0
            elif v.kind == "alias":
                self._available[v.id] = self._in_memory(v.args[0].value)
            elif v.kind == "library":
                level = max([self._floor, *[self._available[o.ref.value.id] for o in v.operands if o.ref is not None]])
                self._level[v.id], self._available[v.id] = level, level + 1
            elif v.kind == "reduction":
                level = self._level[v.id] = max(self._start(v.args, v.space), self._lowest.get(v.space, 0))
                self._available[v.id] = level + 1
                n = len(v.space)
                if self._phased and v.dims and v.reduced == tuple(range(n - len(v.reduced), n)):
                    home = self._home[v.id] = (level, v.space, v.reduced)
                    if not _is_product_with_vector(v):
                        self._products.discard(home)
                    elif home not in self._rows_seen:
                        self._products.add(home)
                    self._rows_seen.add(home)
            elif v.kind == "put":
                assert v.target is not None
                level = self._start(v.args, v.dims)
                if v.after is not None:
                    level = max(level, self._level[v.after.id] + 1)
                self._level[v.id] = level
                self._available[v.target.id] = max(self._available[v.target.id], level + 1)
            else:
                self._cost[v.id] = self._cost_of(v)
                self._level[v.id] = self._home[v.id][0] if self._at_home(v) else \
                    max(self._start(v.args, v.dims), self._source_of(v))
                self._available[v.id] = max([self._available[a.value.id] for a in v.args] + [self._source_of(v)]) \
                    if self._recomputable(v) else self._level[v.id] + 1

    # -- demand ------------------------------------------------------------------------------------------------------

    def _demand(self, value: Value) -> None:
        """Ask that a value be computed and stored."""
        value = value.root()
        if value.kind == "assemble" and value.id not in self._demanded:
            self._demanded.update([p.id for p in value.puts])
        self._demanded.add(value.id)

    def _buffer_of(self, value: Value) -> int:
        """The number of the buffer that holds a value, which is thereby asked for."""
        value = value.root()
        self._demand(value)
        number = self._numbers.get(value.id)
        if number is None:
            number = self._numbers[value.id] = len(self._buffers)
            if value.kind == "input":
                kind, which = "input", value.position
            elif value.id in self._claimed:
                kind, which = "output", self._claimed[value.id]
            elif value.kind == "library" and value.op is not None and value.op.name != "matmul":
                kind, which = "result", -1
            else:
                kind, which = "temp", -1
            self._buffers.append(Buffer(kind, which, value.size(), value.dtype.np))
        return number

    # -- groups ------------------------------------------------------------------------------------------------------

    def run(self) -> Fused:
        """Build all steps."""
        self._find_levels()
        groups: dict[int, dict[Dims, list[Value]]] = {}
        libraries: dict[int, list[Value]] = {}
        for v in self._values:
            if v.kind == "library":
                libraries.setdefault(self._level[v.id], []).append(v)
            elif v.kind in ("elementwise", "reduction", "put"):
                groups.setdefault(self._level[v.id], {}).setdefault(self._space(v), []).append(v)
        for v in self._wanted:
            self._buffer_of(v)
        steps: list[KernelStep | LibraryStep] = []
        for level in range(max([*groups, *libraries], default=-1), -1, -1):
            for v in reversed(libraries.get(level, [])):
                if v.id in self._demanded:
                    steps.append(self._library(v))
            for space, members in reversed(groups.get(level, {}).items()):
                steps += self._group(space, self._rows.get((level, space), ()), members)
        steps.reverse()
        kernels = [s for s in steps if isinstance(s, KernelStep)]
        for i, step in enumerate(kernels):
            step.info.name = f"k{i}"
        return Fused(steps, self._buffers)

    def _library(self, v: Value) -> LibraryStep:
        assert v.op is not None
        sources = tuple([self._source(o.ref) for o in v.operands])
        params = dict(zip(v.op.param_names, v.params, strict=True))
        return LibraryStep(v.op, params, v.operands, sources, self._buffer_of(v), v.shape, v.sizes, v.line)

    def _source(self, ref: Ref | None) -> int:
        return -1 if ref is None or ref.value.kind in NUMBERS else self._buffer_of(ref.value)

    def _group(self, space: Dims, inner: tuple[int, ...], members: list[Value]) -> list[KernelStep]:
        """The kernels of one level and domain, last first."""
        inside = {v.id for v in members}
        needed: dict[int, Value] = {}
        stack = [v for v in members if v.id in self._demanded]
        while stack:
            v = stack.pop()
            if v.id in needed:
                continue
            needed[v.id] = v
            own = v.dims if v.kind == "elementwise" else space
            stack += [a.value for a in v.args if a.value.id in inside and
                      (a.is_identity(own) or (own == space and is_row(a, space, inner)))]
        ordered = [needed[k] for k in sorted(needed)]
        bounds = segments([_kind(v) for v in ordered], CAP, ENOUGH if space else ENOUGH_SCALAR)
        return [s for first, end in reversed(bounds) if (s := self._kernel(space, inner, ordered[first:end]))]

    def _kernel(self, space: Dims, inner: tuple[int, ...], members: list[Value]) -> KernelStep | None:
        here = {v.id for v in members}
        scratch: list[tuple[int, Expr]] = []

        def new_scratch(size: Expr, dtype: np.dtype) -> int:
            scratch.append((len(self._buffers), size))
            self._buffers.append(Buffer("temp", -1, size, dtype))
            return scratch[-1][0]

        nest = NestBuilder(space, inner, lambda v: v.id in here, self._recomputable, self._buffer_of, new_scratch)
        whole = tuple([along(i) for i in range(len(space))])
        combines = []
        for v in members:
            if v.id not in self._demanded:
                continue
            if v.kind == "reduction":
                nest.reduce(v)
                if 0 in v.reduced:
                    assert v.op is not None
                    combines.append((self._buffer_of(v), v.op, v.size()))
            elif v.kind == "put":
                assert v.target is not None
                nest.store(v.target, v.index, v.args[0], v)
            elif v.id in self._home:
                row = tuple([along(i) for i in range(len(space)) if i not in inner])
                nest.store(v, row, Ref(v, row))
            else:
                nest.store(v, whole, identity(v))
        if not nest.writes:
            return None
        kernel, outer, rest = nest.finish()
        info = KernelInfo("", self._emit(kernel), nest.ops, [self._label(b) for b in nest.reads],
                          [self._label(b) for b in nest.writes], self._domain_text(space))
        return KernelStep(kernel, info, outer, rest, combines, scratch, list(nest.reads), list(nest.writes))

    # -- text --------------------------------------------------------------------------------------------------------

    def _label(self, number: int) -> str:
        b = self._buffers[number]
        return f"{b.kind}{b.number}" if b.number >= 0 else f"{b.kind}:{number}"

    @staticmethod
    def _domain_text(space: Dims) -> str:
        return "(" + ", ".join([text(("len", d), lambda a: f"n{a[1]}") for d in space]) + ")"


def _is_product_with_vector(v: Value) -> bool:
    """Whether a reduction along rows sums their products with elements that are the same for each row."""
    x = v.args[0].value
    return v.op is not None and v.op.name == "sum" and x.op is not None and x.op.name == "mul" and x.dims == v.space and any(
        [{dim for dim, *_ in a.index} <= {*v.reduced} for a in x.args])


def _kind(v: Value) -> tuple:
    """What repeating parts of a graph have in common."""
    return (v.kind, v.op, v.params, tuple([a.value.payload if a.value.kind in NUMBERS else None for a in v.args]))


def fuse(values: Sequence[Value], outputs: Sequence[Value | None], emit: Callable[[Kernel], str],
         phased: bool, checks: Sequence[Value] = ()) -> Fused:
    """Steps and buffers that compute the outputs, and `checks`, which raise errors.

    emit: gives a kernel's source, of one with phases if `phased`."""
    fused = Fusion(values, outputs, emit, phased, checks).run()
    _verify(fused)
    return fused


def _verify(fused: Fused) -> None:
    """Raise InternalError unless each buffer is written by a step before the first that reads it."""
    written = {i for i, b in enumerate(fused.buffers) if b.kind == "input"}
    for step in fused.steps:
        if isinstance(step, KernelStep):
            missing = [b for b in step.reads if b not in written and b not in step.writes]
            written.update(step.writes)
        else:
            missing = [b for b in step.sources if b >= 0 and b not in written]
            written.add(step.target)
        if missing:
            raise InternalError(f"{step} reads buffers {missing}, which nothing has written")
