"""Steps of a loop that goes on as it has begun: the same parameters, the same kinds of gradients, the same rule.

What is kept for the parameters (moments, counts of steps) is then kept here as arrays; its tensors are given their values
when somebody looks at them, which their storages tell (`Storage.owner`).  A step reads gradients and parameters, runs
one program, and writes the parameters.
"""
from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping, Sequence
from operator import is_, itemgetter
from typing import Any, Protocol

import numpy as np

from jitgrad import tracing
from jitgrad.config import config
from jitgrad.generated import function
from jitgrad.graph.node import Extra, Node, Spec
from jitgrad.graph.recording import input_node, input_spec
from jitgrad.interpreter import quiet
from jitgrad.optim.rows import Row, Rule
from jitgrad.requests.programs import interpreting
from jitgrad.tensors.storage import Storage
from jitgrad.tensors.tensor import Tensor

Group = dict[str, Any]
# What an optimizer keeps, by parameter.
State = Mapping[Tensor, dict[str, Any]]
# (gradients, parameters, kept, numbers) -> the new parameters and what is kept then; None: not for arrays of that layout.
Run = Callable[[list[np.ndarray], list[np.ndarray], list[np.ndarray], tuple[float, ...]],
               "tuple[list[np.ndarray], list[np.ndarray]] | None"]

MISSES = 2          # in a row, after which nothing is computed ahead
OFF = ()


class Settings(Protocol):
    """What the class of an optimizer says of a group."""

    _options: tuple[str, ...]                   # see Optimizer

    def _rule(self, options: tuple[Any, ...]) -> Rule: ...                                      # noqa: D102
    def _numbers(self, options: tuple[Any, ...], t: float) -> tuple[float, ...]: ...            # noqa: D102
    def _setting(self, group: Group, t: float) -> tuple[Rule, tuple[float, ...]]: ...           # noqa: D102


def steady(group: Group, state: State, settings: Settings, rule: Rule, rows: Sequence[Row], run: Run | None) -> Steady | None:
    """The steps after one with these rows, or None where they have to be looked at one by one.

    settings: the class of the optimizer.
    run: for these rows, with the numbers of the first for all; without it the rule itself is applied to arrays."""
    tensors = [t for row in rows for t in row.tensors]
    count = rows[0].counter
    if count is not None:
        tensors.append(count)
    if any([row.numbers is not rows[0].numbers or row.counter is not count for row in rows]):
        return None
    if any([row.state is not None and state.get(row.tensors[0]) is not row.state for row in rows]):
        return None
    storages = [t._ensure_storage() for t in tensors]
    if len({id(s) for s in storages}) < len(storages) or any([t._chain or type(t._node.value) is not np.ndarray
                                                              for t in tensors]):
        return None         # they may overlap: a row must see what the ones before it have written
    params = [row.tensors[0] for row in rows]
    if any([p._leaf is None for p in params]) or len(params) < len(group["params"]) or any(
            [p is not q for p, q in zip(params, group["params"], strict=True)]):
        return None
    if any([t._leaf is not None or t._current().requires_grad for row in rows for t in row.tensors[1:]]):
        return None
    return Steady(group, settings, rule, rows, run)


def _is_constant(option: Any) -> bool:
    """Whether an option is a number, or some, which cannot change in place."""
    return type(option) in (float, int, bool, type(None)) or (type(option) is tuple and all(map(_is_constant, option)))


class Newer:
    """What is kept, newer than its tensors: arrays, and the count of steps.  Owner of their storages once `storages` is set.

    It refers to them weakly, and they are all that refers to it but the optimizer: no cycle keeps memory."""

    __slots__ = ("arrays", "t", "steps", "storages", "settling")

    def __init__(self, arrays: list[np.ndarray], t: float) -> None:
        self.arrays = arrays
        self.t = t
        self.steps = 0                  # since the tensors were given their values
        self.storages: list[weakref.ref[Storage]] | None = None
        self.settling: list[weakref.ref[Storage]] = []      # those that are given their values, as long as not all are

    def own(self, tensors: Sequence[Tensor]) -> None:
        """From now on the arrays here are newer than those of the tensors, that of the count the last."""
        storages = [t._ensure_storage() for t in tensors]
        for storage in storages:
            storage.owner = self
            storage.writes += 1         # every tensor on it looks again
            storage.cell.value += 1
            storage.cell.writer = None
        self.storages = [weakref.ref(s) for s in storages]
        self.steps = 0

    def settle(self) -> None:
        """Give the tensors their values."""
        if self.storages is not None:
            self.settling, self.storages = self.storages, None
        arrays: list[Any] = [*self.arrays, self.t]
        more = max(self.steps - 1, 0)
        for reference, array in zip(self.settling, arrays, strict=False):       # there may be no count
            storage = reference()
            if storage is not None and storage.owner is self:       # others may be settled already, by a call that was interrupted
                type_ = storage.node.spec.type
                node = input_node(np.asarray(array, type_.dtype.np), type_)
                extra = node.extra = Extra()
                cell = extra.cell = storage.cell
                storage.owner = None        # from here on stores alone: see graph.in_grad_mode
                cell.value += more
                extra.version = cell.value
                storage.node = node
                storage.writes += 1
        self.settling, self.arrays = [], []


Kept = tuple[Tensor, Storage, Spec, Any]        # a parameter, its storage, the type of its nodes, its accumulator


def replacement(rows: Sequence[Kept], array: Callable[[int], str]) -> tuple[dict[str, Any], list[str], list[str]]:
    """Code that gives parameters new values, Tensor._replace for leaves that are the bases of their storages: names, lines
    that make nodes of the arrays, and lines that are stores alone, so that no signal handler can come in between (see
    graph.in_grad_mode): all parameters of a step change at once, or none."""
    given: dict[str, Any] = {"Node": Node, "Extra": Extra}
    makes: list[str] = []
    stores: list[str] = []
    for i, (p, storage, spec, leaf) in enumerate(rows):
        given |= {f"p{i}": p, f"s{i}": storage, f"t{i}": spec, f"l{i}": leaf}
        makes += [f"n{i} = Node(t{i}, (), True, 0, {array(i)})", f"x{i} = n{i}.extra = Extra()", f"x{i}.leaf = l{i}",
                  f"x{i}.cell = c{i} = s{i}.cell", f"v{i} = x{i}.version = c{i}.value + 1"]
        stores += [f"c{i}.value = v{i}", f"c{i}.writer = None", f"s{i}.node = p{i}._node = n{i}",
                   f"p{i}._seen = s{i}.writes = s{i}.writes + 1"]
    return given, makes, stores


def _commit(rows: Sequence[Kept]) -> Callable[..., None]:
    """What puts the results of a step in place: commit(newer, kept, new)."""
    given, makes, stores = replacement(rows, lambda i: f"new[{i}]")
    return function("commit", "newer, kept, new", [*makes, "newer.arrays = kept", "newer.t += 1", "newer.steps += 1", *stores],
                    given, __file__)


class Steady:
    """The steps of one group of parameters: see `steady`.

    What follows is for steps computed ahead (ahead.py).  counts: whether the numbers depend on the count of steps; read: the
    options of the group; options, numbers: those of the last step; take: takes what is held; held: what was read (moments,
    options, arguments of the program) and the program's results, None if there is nothing, OFF if there is to be nothing any
    more; misses: how often in a row it was not wanted."""

    def __init__(self, group: Group, settings: Settings, rule: Rule, rows: Sequence[Row], run: Run | None) -> None:
        self.group = group
        self.settings = settings
        self.rule = rule
        self._run = run
        self.rows = [(p, p._ensure_storage(), input_spec(p._node.spec.type), p._leaf) for p in
                      [row.tensors[0] for row in rows]]
        self.entries = [(row.tensors[0], row.state, tuple(row.state.values())) for row in rows if row.state is not None]
        self.kept = [t for row in rows for t in row.tensors[1:]]
        self.widths = [len(row.tensors) - 1 for row in rows]
        self._count = rows[0].counter
        self._commit: Callable[..., None] | None = None
        self.newer: Newer | None = None
        self.first = rows[0].tensors[0]
        self.counts = self._count is not None
        self.read = itemgetter(*settings._options)
        self.options: tuple[Any, ...] = ()
        self.numbers: tuple[float, ...] = ()
        self.take: Any = None
        self.held: tuple[Any, ...] | None = None
        self.misses = 0

    def count(self, options: tuple[Any, ...], t: float) -> tuple[float, ...] | None:
        """The numbers of the step t with these options; None where the rule is not the same, or that is hard to tell."""
        known = self.options
        if options != known:            # equal ones may be 0-d tensors, of these values
            if type(options[0]) is not float or options[1:] != known[1:]:
                if not all(map(_is_constant, options)) or self.settings._rule(options) != self.rule:
                    return None
            known = options
        numbers = self.numbers = self.settings._numbers(known, t)       # before the options, for other threads
        self.options = known
        return numbers

    def ready(self) -> tuple[list[np.ndarray], tuple[float, ...]] | None:
        """What the next step reads beside gradients and parameters, if it is all there."""
        newer = self.newer
        if newer is None or newer.storages is None:
            return None
        numbers = self.count(self.read(self.group), newer.t + 1)
        return None if numbers is None else (newer.arrays, numbers)

    def drop(self) -> bool:
        """What is held was not wanted.  True if nothing is to be held any more."""
        if self.held:
            self.misses += 1
            self.held = OFF if self.misses >= MISSES else None
        return self.held is OFF

    def step(self, group: Group, state: State) -> bool:
        """Take a step; False, and nothing has happened, if it is not like the ones before."""
        rows, params = self.rows, group["params"]
        if len(params) != len(rows) or interpreting.active or config.interpret or tracing.traces:
            return False
        gradients: list[np.ndarray] = []
        values: list[np.ndarray] = []
        i = 0
        for p, storage, spec, leaf in rows:
            grad = p._grad
            if grad is None or p is not params[i] or p._storage is not storage or p._leaf is not leaf:
                return False
            i += 1
            node = grad._node if grad._storage is None else grad._current()
            if node.spec is not spec:
                return False
            gradients.append(node.value)
            node = p._node if storage.writes == p._seen else p._current()
            if node.spec is not spec:
                return False
            values.append(node.value)
        for p, entry, tensors in self.entries:
            if state.get(p) is not entry or len(entry) != len(tensors) or not all(map(is_, entry.values(), tensors)):
                return False
        newer = self.newer
        if newer is None or newer.storages is None:
            newer = self.newer = self._take()
            if newer is None:
                return False
        numbers = self.count(self.read(group), newer.t + 1)
        if numbers is None:
            rule, numbers = self.settings._setting(group, newer.t + 1)
            if rule != self.rule:
                return False
        run = self._run
        if run is None:
            new, kept = quiet.run(self._apply, gradients, values, newer.arrays, numbers)
        else:
            found = run(gradients, values, newer.arrays, numbers)
            if found is None:
                return False
            new, kept = found
        if newer.storages is None:
            newer.own(self.kept if self._count is None else [*self.kept, self._count])
        if self._commit is None:
            self._commit = _commit(rows)
        self._commit(newer, kept, new)
        return True

    def _apply(self, gradients: list[np.ndarray], values: list[np.ndarray], arrays: list[np.ndarray],
               numbers: tuple[float, ...]) -> tuple[list[np.ndarray], list[np.ndarray]]:
        new: list[np.ndarray] = []
        kept: list[np.ndarray] = []
        at = 0
        for g, p, width in zip(gradients, values, self.widths, strict=True):
            kind = p.dtype
            if not width:
                # NumPy is quicker with its scalars than with arrays that have no dimension.
                first = self.rule(g, p, *numbers)[0] if p.shape else self.rule(g[()], p[()], *numbers)[0]
            else:
                first, *rest = self.rule(g, p, *arrays[at:at + width], *numbers)
                kept += [np.asarray(x, kind) for x in rest]
                at += width
            new.append(np.asarray(first, kind))
        return new, kept

    def _take(self) -> Newer | None:
        """What is kept, read from its tensors; None if they are not what they were."""
        arrays = []
        for t in self.kept:
            node = t._current()
            if t._chain or t._storage is None or node.requires_grad or type(node.value) is not np.ndarray or \
                    not node.value.flags.c_contiguous:
                return None
            arrays.append(node.value)
        return Newer(arrays, 0.0 if self._count is None else float(self._count._array()))
