"""At which depth of a loop nest each value is computed: per element, per row, or once.

Input: values (values.py).  Output: of each its level, and the space of the loops that compute it.
Invariant: loops of one level read of each other nothing but what is computed in the same iteration or row.

Levels: an elementwise value has the level of its operands that are computed in the same loops (same domain, same
element), and at least the level at which its other operands are available: one above that of the reduction, library
call or other loops that give them.  Values of one level and domain are one kernel (several, where they are many: fuse.py).

Rows: loops that compute a reduction over their last dimensions may go on, in the same row, with what needs the result
(nest.py's `inner`).  Then the level of that is the reduction's own, and so is that of values which have one element a row,
depend on such a result and are used by the loops; they are at home in these loops instead of loops of their own.
Where loops with rows could be at a later level, together with others over the same domain, they are: levels are found
again with a lowest level for that domain, and kept if there are fewer groups.

Recomputed are elementwise values that cost less than reading them back: short chains of cheap operations, and anything
0-d.  Everything else that another kernel reads is stored.
"""
from __future__ import annotations

from collections.abc import Sequence

from jitgrad.compiler.fusion.nest import is_row
from jitgrad.compiler.ir.values import GATHER, NUMBERS, Dims, Ref, Value
from jitgrad.ops.declare import CHEAP, MODERATE

LONG = 32               # levels from which on a graph counts as long
DELAY = 2000            # values of the largest graph in which loops are delayed
LONG_GRAPH = 1000       # values from which on nothing 0-d is computed again
RECOMPUTE = 8           # cost of the longest chain that is computed again instead of stored
PLACED = 3              # the same for one that lies in memory as part of another value: one read instead of three or more


class Levels:
    """What `find` has found.  level, home, rows: by value and by level and domain; see the head of this file.

    placed: by value, the put that writes it, as it is, into another that is read in memory."""

    def __init__(self, values: Sequence[Value], phased: bool) -> None:
        self._values = values
        self._phased = phased
        self.rows: dict[tuple[int, Dims], tuple[int, ...]] = {}    # level and domain -> what a row runs along
        self.home: dict[int, tuple[int, Dims, tuple[int, ...]]] = {}   # value of one element a row -> level, domain, row
        self.level: dict[int, int] = {}
        self._rows_seen: set[tuple[int, Dims, tuple[int, ...]]] = set()
        self._products: set[tuple[int, Dims, tuple[int, ...]]] = set()      # whose reductions are all products with vectors
        self._feeds: dict[int, set[Dims]] = {}
        self._lowest: dict[Dims, int] = {}
        self._cost: dict[int, int] = {}
        self.placed = _placed(values)
        self._available: dict[int, int] = {}
        self._floor = 0

    def recomputable(self, value: Value) -> bool:
        """Whether a value is computed again wherever it is read."""
        return value.kind == "elementwise" and self._cost[value.id] <= RECOMPUTE

    def _cost_of(self, value: Value) -> int:
        """What computing an elementwise value again costs, or more than RECOMPUTE."""
        assert value.op is not None
        if not value.dims and len(self._values) > LONG_GRAPH:
            return RECOMPUTE + 1        # what is stored would else have a period of its own, not that of the steps
        own = value.op.facts.cost
        if value.barrier and not (own <= CHEAP and all([len(a.value.dims) < len(value.dims) for a in value.args])):
            return RECOMPUTE + 1        # stored anyway; reading it back costs more only where its operands are smaller
        cost = 3 if value.op is GATHER else 1 if own <= CHEAP else 2 if own <= MODERATE or not value.dims else RECOMPUTE + 1
        for arg in value.args:
            v = arg.value
            if v.kind == "elementwise":
                cost += self._cost[v.id] if self.recomputable(v) else 1
            elif v.dims:
                cost += 1
        return RECOMPUTE + 1 if cost > PLACED and value.id in self.placed else cost

    def _start(self, refs: Sequence[Ref], space: Dims) -> int:
        """The lowest level at which loops over `space` can compute from these operands."""
        level, joined, rows = self._floor, -1, set()
        for ref in refs:
            v = ref.value
            home = self.home.get(v.id)
            if home is not None and home[1] == space and is_row(ref, space, home[2]):
                if home[0] > joined:
                    joined, rows = home[0], set()
                if home[0] == joined:
                    rows.add(home[2])
            elif v.kind == "elementwise" and home is None and ref.is_identity(space):
                level = max(level, self.level[v.id])
            else:
                level = max(level, self._available[v.id])
        if joined < level:
            return level
        return joined if len(rows) == 1 and self._row_of(joined, space, *rows) else joined + 1

    def _row_of(self, level: int, space: Dims, inner: tuple[int, ...]) -> bool:
        """Whether the loops of this level and domain have (from now on, if they had no phases) these rows."""
        return self.rows.setdefault((level, space), inner) == inner

    def _at_home(self, v: Value) -> bool:
        """Find out whether an elementwise value is at home in the loops that compute a reduction it depends on."""
        homes, level = set(), max(self._floor, self._source_of(v))
        for ref in v.args:
            home = self.home.get(ref.value.id)
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
        self.home[v.id] = home
        return True

    def _better_apart(self, v: Value, home: tuple[int, Dims, tuple[int, ...]]) -> bool:
        """Whether a value of one element a row is better computed by loops of its own, on many elements at a time: a formula
        costs more than to read the rows once more, where all that they give are products with vectors."""
        return v.facts.cost > MODERATE and home in self._products

    def _source_of(self, v: Value) -> int:
        """The level at which what a gather reads is available."""
        return 0 if v.source is None else self._in_memory(v.source)

    def _in_memory(self, v: Value) -> int:
        """The level at which a value can be read from memory, where it is not enough to compute it again."""
        v = v.root()
        return self.level[v.id] + 1 if v.kind == "elementwise" else self._available[v.id]

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

    def find(self) -> None:
        """Levels of all values, with as few groups as delaying loops with rows gives.

        In a long graph those that a derivative made come after all others instead: there is nothing to gain from one loop
        for a step and a derivative far from it, and their steps would not be equal any more."""
        self._find_feeds()
        self._levels()
        longest = max([self.level[v.id] for v in self._values if not v.derived and v.id in self.level], default=0)
        if longest > LONG:
            self._levels(longest + 1)
            self._delay_parts()
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

    def _delay_parts(self) -> None:
        """Single numbers that a derivative writes into arrays: when the rest of the array is written.

        Their level may be the first of all, and from then on an array could share its memory with no other: a loop of
        100 steps over 10,000 elements took twice the memory, and 1.4 times as long."""
        for v in self._values:
            level = self._available[v.id] - 1 if v.parts else 0
            for put in v.puts if v.parts else ():
                if put.derived and not put.args[0].value.dims:
                    self.level[put.id] = level

    def _delayed(self, tried: set[Dims]) -> tuple[Dims, int] | None:
        """A domain not tried yet with rows at one level and more loops at a later one, and that level."""
        last: dict[Dims, int] = {}
        for level, space in self._groups():
            last[space] = max(last.get(space, 0), level)
        for level, space in self.rows:
            if space not in tried and last.get(space, 0) > level:
                return space, last[space]
        return None

    def _groups(self) -> dict[tuple[int, Dims], None]:
        """Level and domain of every kernel."""
        return {(self.level[v.id], self.space(v)): None for v in self._values
                if v.kind in ("reduction", "put") or (v.kind == "elementwise" and not self.recomputable(v))}

    def space(self, v: Value) -> Dims:
        """The domain of the loops that compute a value."""
        return v.space if v.kind == "reduction" else self.home[v.id][1] if v.id in self.home else v.dims

    def _levels(self, floor: int = 0) -> None:
        """floor: the lowest level of what a derivative made."""
        for found in (self.rows, self.home, self.level, self._available, self._rows_seen, self._products):
            found.clear()
        for v in self._values:
            self._floor = floor if v.derived else 0
            if v.kind in NUMBERS or v.kind in ("input", "assemble"):
                self.level[v.id] = self._available[v.id] = 0
            elif v.kind == "alias":
                self._available[v.id] = self._in_memory(v.args[0].value)
            elif v.kind == "library":
                level = max([self._floor, *[self._available[o.ref.value.id] for o in v.operands if o.ref is not None]])
                self.level[v.id], self._available[v.id] = level, level + 1
            elif v.kind == "reduction":
                level = self.level[v.id] = max(self._start(v.args, v.space), self._lowest.get(v.space, 0))
                self._available[v.id] = level + 1
                n = len(v.space)
                if self._phased and v.dims and v.reduced == tuple(range(n - len(v.reduced), n)):
                    home = self.home[v.id] = (level, v.space, v.reduced)
                    if not _is_product_with_vector(v):
                        self._products.discard(home)
                    elif home not in self._rows_seen:
                        self._products.add(home)
                    self._rows_seen.add(home)
            elif v.kind == "put":
                assert v.target is not None
                level = self._start(v.args, v.dims)
                if v.after is not None:
                    level = max(level, self.level[v.after.id] + 1)
                self.level[v.id] = level
                self._available[v.target.id] = max(self._available[v.target.id], level + 1)
            else:
                self._cost[v.id] = self._cost_of(v)
                self.level[v.id] = self.home[v.id][0] if self._at_home(v) else \
                    max(self._start(v.args, v.dims), self._source_of(v))
                self._available[v.id] = max([self._available[a.value.id] for a in v.args] + [self._source_of(v)]) \
                    if self.recomputable(v) else self.level[v.id] + 1


def _placed(values: Sequence[Value]) -> dict[int, Value]:
    read = {a.value.id for v in values for a in v.args if a.value.kind == "assemble"}
    read |= {o.ref.value.id for v in values for o in v.operands if o.ref is not None}
    found: dict[int, Value] = {}
    for put in values:
        if put.kind == "put" and put.target is not None and put.target.parts and put.target.id in read and put.dims:
            v = put.args[0].value
            if v.kind == "elementwise" and v.derived == put.derived and put.args[0].is_identity(put.dims):
                found.setdefault(v.id, put)
    return found


def _is_product_with_vector(v: Value) -> bool:
    """Whether a reduction along rows sums their products with elements that are the same for each row."""
    x = v.args[0].value
    return v.facts.role == "sum" and x.op is not None and x.op.facts.linear == (0, 1) and x.dims == v.space and any(
        [{dim for dim, *_ in a.index} <= {*v.reduced} for a in x.args])
