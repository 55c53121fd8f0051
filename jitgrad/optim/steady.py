"""Optimizer steps of a steady loop: one compiled program that updates all parameters, as long as the loop stays the same.

What is kept for the parameters (moments, counts of steps) is then kept here as arrays; its tensors are given their values
when somebody looks at them, which their storages tell (`Storage.owner`).  A step is one generated function: it reads gradients and
parameters, runs one program, and writes the parameters.
"""
from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping, Sequence
from operator import itemgetter
from typing import Any, NamedTuple, Protocol

import numpy as np

from jitgrad import tracing
from jitgrad.config import config
from jitgrad.generated import function
from jitgrad.graph.node import Extra, Node
from jitgrad.graph.recording import input_node, input_spec
from jitgrad.optim.rows import Row, Rule
from jitgrad.requests.schedule_cache import interpreting
from jitgrad.tensors.storage import Storage
from jitgrad.tensors.tensor import Tensor

Group = dict[str, Any]
# What an optimizer keeps, by parameter.
State = Mapping[Tensor, dict[str, Any]]


class Update(NamedTuple):
    """What computes a step.  call: from values to arrays; arguments: which of the gradients, the parameters, what is kept, and the
    numbers (once for each dtype), counted through, those are; first, rest: which of the arrays are the new parameters, and what
    is kept then; contiguous: whether it is for contiguous arrays."""

    call: Callable[[list[Any]], list[Any]]
    arguments: list[int]
    first: list[int]
    rest: list[int]
    contiguous: bool


class Settings(Protocol):
    """What the class of an optimizer says of a group."""

    _options: tuple[str, ...]                   # see Optimizer

    def _rule(self, options: tuple[Any, ...]) -> Rule: ...                                      # noqa: D102
    def _numbers(self, options: tuple[Any, ...], t: float) -> tuple[float, ...]: ...            # noqa: D102
    def _setting(self, group: Group, t: float) -> tuple[Rule, tuple[float, ...]]: ...           # noqa: D102


def steady(group: Group, state: State, settings: Settings, rule: Rule, rows: Sequence[Row], update: Update) -> Steady | None:
    """The steps after one with these rows, or None where they have to be looked at one by one.

    settings: the class of the optimizer.  update: for these rows."""
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
    return Steady(settings, rule, rows, update)


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
            storage.private = storage.waiting = None        # what was written there is among the arrays
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
                storage.owner = None        # from here on stores alone: see recording.in_grad_mode
                cell.value += more
                extra.version = cell.value
                storage.node = node
                storage.writes += 1
        self.settling, self.arrays = [], []


class Steady:
    """The steps of one group of parameters: see `steady`.

    step(self, group, state): take a step; False, and nothing has happened, if it is not like the ones before.
    setting: options of the group, and the numbers of the last step with these."""

    def __init__(self, settings: Settings, rule: Rule, rows: Sequence[Row], update: Update) -> None:
        self._settings = settings
        self._rule = rule
        self._kept = [t for row in rows for t in row.tensors[1:]]
        self._count = rows[0].counter
        self.setting: tuple[Any, Any] = ((), ())
        self.newer: Newer | None = None
        self.step = _step(rows, update, itemgetter(*settings._options))

    def numbers(self, group: Group, options: tuple[Any, ...], t: float) -> tuple[float, ...] | None:
        """The numbers of the step t with these options of the group; None where the rule is not the same."""
        known = self.setting[0]
        if options != known:            # equal ones may be 0-d tensors, of these values
            if type(options[0]) is not float or options[1:] != known[1:]:
                if not all(map(_is_constant, options)):
                    rule, numbers = self._settings._setting(group, t)
                    return numbers if rule == self._rule else None
                if self._settings._rule(options) != self._rule:
                    return None
            known = options
        numbers = self._settings._numbers(known, t)
        self.setting = known, numbers
        return numbers

    def take(self) -> Newer | None:
        """What is kept, read from its tensors; None if they are not what they were."""
        arrays = []
        for t in self._kept:
            node = t._current()
            if t._chain or t._storage is None or node.requires_grad or type(node.value) is not np.ndarray or \
                    not node.value.flags.c_contiguous:
                return None
            arrays.append(node.value)
        self.newer = Newer(arrays, 0.0 if self._count is None else float(self._count._array()))
        return self.newer

    def own(self, newer: Newer) -> None:
        """From now on what is kept is newer than its tensors."""
        newer.own(self._kept if self._count is None else [*self._kept, self._count])


def _step(rows: Sequence[Row], update: Update, options: Callable[[Group], Any]) -> Callable[[Steady, Group, State], bool]:
    """What takes a step: Tensor._replace for leaves that are the bases of their storages, in lines at the end that are stores
    alone, so that no signal handler can come in between (see recording.in_grad_mode): all parameters change at once, or none.  For one
    parameter with a moment:

        def step(steady, group, state):
            params = group['params']
            if len(params) != 1 or interpreting.active or config.interpret or tracing.traces: return False
            q0, = params
            found = read0(q0, state)
            if found is None: return False
            g0, a0 = found
            newer = steady.newer
            if newer is None or newer.storages is None:
                newer = steady.take()
                if newer is None: return False
            chosen = options(group)
            known, numbers = steady.setting
            if chosen != known: numbers = steady.numbers(group, chosen, newer.t + 1)        # of a rule that counts steps always
            if numbers is None: return False
            k0, = newer.arrays
            x0, x1, x2, x3, = numbers
            results = call([a0, x2, k0, x3, g0, x0])
            if newer.storages is None: steady.own(newer)
            n0 = Node(t0, (), True, 0, results[0])
            ...
            return True
    """
    given: dict[str, Any] = {"Node": Node, "Extra": Extra, "options": options, "interpreting": interpreting, "config": config,
                             "tracing": tracing, "call": update.call}
    makes: list[str] = []
    stores: list[str] = []
    count = len(rows)
    lines = ["params = group['params']",
             f"if len(params) != {count} or interpreting.active or config.interpret or tracing.traces: return False",
             f"{_names('q', count)}= params"]
    for i, (row, place) in enumerate(zip(rows, update.first, strict=True)):
        p = row.tensors[0]
        given |= {f"p{i}": p, f"s{i}": p._ensure_storage(), f"t{i}": input_spec(p._node.spec.type), f"l{i}": p._leaf,
                  f"read{i}": _reader(row)}
        lines += [f"found = read{i}(q{i}, state)", "if found is None: return False", f"g{i}, a{i} = found"]
        makes += [f"n{i} = Node(t{i}, (), True, 0, results[{place}])", f"x = n{i}.extra = Extra()", f"x.leaf = l{i}",
                  f"x.cell = c{i} = s{i}.cell", f"v{i} = x.version = c{i}.value + 1"]
        stores += [f"c{i}.value = v{i}", f"c{i}.writer = None", f"s{i}.node = p{i}._node = n{i}",
                   f"p{i}._seen = s{i}.writes = s{i}.writes + 1"]
    lines += ["newer = steady.newer", "if newer is None or newer.storages is None:", "    newer = steady.take()",
              "    if newer is None: return False", "chosen = options(group)"]
    if rows[0].counter is None:
        lines += ["known, numbers = steady.setting",
                  "if chosen != known: numbers = steady.numbers(group, chosen, newer.t + 1)"]
    else:
        lines.append("numbers = steady.numbers(group, chosen, newer.t + 1)")
    lines.append("if numbers is None: return False")
    kept, width = sum([len(row.tensors) - 1 for row in rows]), len(rows[0].numbers)
    if kept:
        lines.append(f"{_names('k', kept)}= newer.arrays")
    names = [*[f"g{i}" for i in range(count)], *[f"a{i}" for i in range(count)], *[f"k{i}" for i in range(kept)]]
    taken = [names[i] if i < len(names) else f"x{(i - len(names)) % width}" for i in update.arguments]
    lines += [f"{_names('x', width)}= numbers", f"results = call([{', '.join(taken)}])",
              "if newer.storages is None: steady.own(newer)", *makes,
              f"newer.arrays = [{', '.join([f'results[{i}]' for i in update.rest])}]", "newer.t += 1", "newer.steps += 1", *stores,
              "return True"]
    return function("step", "steady, group, state", lines, given, __file__)


def _reader(row: Row) -> Callable[[Tensor, State], tuple[np.ndarray, np.ndarray] | None]:
    """What reads gradient and parameter of a row; None if they, or what is kept, are not like before.  The text is that of all rows
    with as much to keep, and is compiled once.  With a moment:

        def read(given, state):
            g = p._grad
            if g is None or given is not p or p._storage is not s or p._leaf is not leaf: return None
            node = g._node if g._storage is None else g._current()
            if node.spec is not t: return None
            g = node.value
            node = p._node if s.writes == p._seen else p._current()
            if node.spec is not t: return None
            a = node.value
            if not (g.flags.c_contiguous and a.flags.c_contiguous): return None
            if state.get(p) is not entry or len(entry) != 1 or entry.get('momentum_buffer') is not m0: return None
            return g, a
    """
    p = row.tensors[0]
    around: dict[str, Any] = {"p": p, "s": p._ensure_storage(), "t": input_spec(p._node.spec.type), "leaf": p._leaf}
    lines = ["g = p._grad",
             "if g is None or given is not p or p._storage is not s or p._leaf is not leaf: return None",
             "node = g._node if g._storage is None else g._current()",
             "if node.spec is not t: return None",
             "g = node.value",
             "node = p._node if s.writes == p._seen else p._current()",
             "if node.spec is not t: return None",
             "a = node.value",
             "if not (g.flags.c_contiguous and a.flags.c_contiguous): return None"]
    if row.state is not None:
        around |= {"entry": row.state} | {f"m{k}": t for k, t in enumerate(row.state.values())}
        other = [f" or entry.get({name!r}) is not m{k}" for k, name in enumerate(row.state)]
        lines.append(f"if state.get(p) is not entry or len(entry) != {len(row.state)}{''.join(other)}: return None")
    return function("read", "given, state", [*lines, "return g, a"], around, __file__)


def _names(letter: str, count: int) -> str:
    """What takes so many values: 'a0, a1, '."""
    return "".join([f"{letter}{i}, " for i in range(count)])
