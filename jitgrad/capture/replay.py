"""Replaying a captured function: its graph on other leaves, or its compiled program on their arrays.

A `Template` is the recorded graph without its leaves.  A replay of a function with one scalar result runs nothing yet: the
result is a tensor whose `_storage` is a `Replay`, which runs the program of value and gradients when backward() or the
value is asked for, and makes the graph (`Template.instantiate`) for anything else.
"""
from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from jitgrad import executor
from jitgrad.autograd import engine
from jitgrad.autograd.function import PyFunction
from jitgrad.capture.guards import Refused
from jitgrad.executor import interpreting
from jitgrad.graph import INPUT, Node, Spec, input_node, topological
from jitgrad.operators.origin import Composite
from jitgrad.storage import Version
from jitgrad.tensor import Tensor, wrap
from jitgrad.tracing import BORN

if TYPE_CHECKING:
    from jitgrad.compiler.program import Bound

new_tensor = Tensor.__new__


class _Made(NamedTuple):
    spec: Spec
    inputs: tuple[int, ...]
    requires_grad: bool
    value: Any
    line: Any
    owner: Composite | None         # with numbers in place of nodes


class Template:
    """A graph by numbers: the slots first, then nodes made in order.  results: numbers of the result nodes."""

    def __init__(self, roots: Sequence[Node], slots: dict[Node, int], count: int) -> None:
        """Raises Refused for a graph that cannot be made again."""
        numbers = dict(slots)
        self.count = count
        self.nodes: list[_Made] = []
        for node in topological(roots, lambda n: () if n in slots else n.inputs):
            if node in slots:
                continue
            extra = node.extra
            owner = None
            if extra is not None:
                if extra.watch is not None:
                    raise Refused("it registers a hook, or retain_grad, on a tensor")
                if type(extra.fn) is PyFunction:
                    raise Refused("it applies a Function whose backward is Python")
                if extra.leaf is not None:
                    raise Refused("it uses a tensor that requires a gradient and is neither an argument nor found by name")
                if type(extra.fn) is Composite:
                    owner = extra.fn
            if node.spec.op is INPUT and node.line is not BORN:
                raise Refused("it uses a tensor that is neither an argument nor found by name")
            if owner is not None:
                if any([n is not None and n not in numbers for n in (*owner.inputs, *(owner.saves or ()))]):
                    raise Refused("an operator refers to a tensor that the result does not depend on")
                inputs: Any = tuple([None if n is None else numbers[n] for n in owner.inputs])
                saves: Any = None if owner.saves is None else tuple([numbers[n] for n in owner.saves])
                owner = Composite(owner.name, inputs, saves, owner.saves_result, owner.number)
            numbers[node] = count + len(self.nodes)
            self.nodes.append(_Made(node.spec, tuple([numbers[n] for n in node.inputs]), node.requires_grad,
                                    None if node.inputs else node.value, node.line, owner))
        self.results = [numbers[n] for n in roots]

    def instantiate(self, slots: Sequence[Node]) -> list[Node]:
        """The results as recorded on other leaves."""
        nodes = list(slots)
        for spec, inputs, requires_grad, value, line, owner in self.nodes:
            if inputs:
                operands = tuple([nodes[i] for i in inputs])
                node = Node(spec, operands, requires_grad, 1 + max([n.depth for n in operands]), None, line)
                if owner is not None:
                    node.ensure_extra().fn = Composite(
                        owner.name, tuple([None if k is None else nodes[k] for k in owner.inputs]),     # type: ignore
                        None if owner.saves is None else tuple([nodes[k] for k in owner.saves]),        # type: ignore
                        owner.saves_result, owner.number)
            else:
                node = Node(spec, (), False, 0, value)
            nodes.append(node)
        return [nodes[i] for i in self.results]


class Joint:
    """The program of one scalar result and its gradients with respect to the leaves among the slots, made at first use.

    sources: for each array or number that the program takes, a slot or (-1, the value)."""

    def __init__(self, template: Template) -> None:
        self.template = template
        self._bound: Bound | None = None
        self.era = -1
        self.sources: list[tuple[int, Any]] = []
        self.leaves: list[int] = []
        self.position: dict[int, int] = {}      # of a slot's gradient among the results of run()
        self.entry: Any = None

    def ready(self, slots: Sequence[Node]) -> bool:
        """Make the program, if that has not happened; False where gradients are interpreted."""
        if interpreting.active or executor.config.interpret:
            return False
        if self.stale():
            self._make(slots)
        return True

    def stale(self) -> bool:
        """Whether `ready` has something to make."""
        return self._bound is None or self.era != executor.era()

    def _make(self, slots: Sequence[Node]) -> None:
        [root] = self.template.instantiate(slots)
        captured = executor.capture((root,))
        self.entry, program = executor.entry_for(captured, root)
        self._bound = bound = program.bind(captured.order)
        slot_of = {n: i for i, n in reversed(list(enumerate(slots)))}
        self.leaves = [slot_of[n] for n in captured.leaves]
        self.position = {slot: k + 1 for k, slot in enumerate(self.leaves)}
        nodes = [captured.order[p] for p in bound.positions]
        self.sources = [(slot_of[n], None) if n in slot_of else (-1, n.value) for n in nodes]
        self.era = executor.era()

    def run(self, values: Sequence[Any]) -> list[np.ndarray | None]:
        """The result's value and the gradients of `leaves`, from the arrays of the slots."""
        assert self._bound is not None
        executor.stats.memory_hits += 1
        return self._bound.run([value if i < 0 else values[i] for i, value in self.sources])


class Replay:
    """One call whose result is asked for later.  It is the `_storage` of the result until its graph is made."""

    __slots__ = ("joint", "slots", "arrays", "done", "__weakref__")
    deferred = True
    writes = 0          # never what the tensor has seen, which is -1
    node: Any = None

    def __init__(self, joint: Joint, slots: list[Node]) -> None:
        self.joint = joint
        self.slots = slots
        self.arrays: list[np.ndarray | None] | None = None      # the value, then gradients that wait for backward()
        self.done = False

    @property
    def cell(self) -> Version:
        """A version counter, at 0: nobody has written to the result yet."""
        return Version()

    def value(self, tensor: Tensor) -> np.ndarray:
        """See storage.Deferred."""
        if self.arrays is None:
            if not self.joint.ready(self.slots):
                return executor.value(tensor._current())
            self.arrays = self.joint.run([n.value for n in self.slots])
        found = self.arrays[0]
        assert found is not None
        return found

    def backward(self) -> bool:
        """See storage.Deferred."""
        joint, slots = self.joint, self.slots
        if self.done or not joint.ready(slots):
            return False
        for n in slots:
            extra = n.extra
            if extra is not None and extra.cell is not None and extra.cell.value != extra.version:
                return False        # overwritten since: the general way says so
        arrays = self.arrays
        if arrays is None:
            arrays = joint.run([n.value for n in slots])
        self.arrays, self.done = arrays[:1], True
        engine.deliver_plain([slots[i] for i in joint.leaves], arrays[1:])
        return True

    def materialise(self, tensor: Tensor) -> None:
        """See storage.Deferred."""
        [node] = self.joint.template.instantiate(self.slots)
        if self.arrays is not None:
            node.value = self.arrays[0]
        if self.done:
            executor.mark_freed(node, self.joint.entry)
        elif self.arrays is not None:
            node.ensure_extra().held = (self.joint.entry, [self.slots[i] for i in self.joint.leaves], self.arrays[1:])
        tensor._node = node
        del tensor._storage, tensor._seen


def deferred(joint: Joint, slots: list[Node], shown: Node) -> Tensor:
    """The result of a replay: a tensor that knows its type, that of `shown`, and where to get the rest."""
    result = new_tensor(Tensor)
    result._node = shown
    result._storage = Replay(joint, slots)
    result._seen = -1
    return result


class Values:
    """The program of results that need no gradient, run at once."""

    def __init__(self, template: Template) -> None:
        self.template = template
        self._bound: Bound | None = None
        self._sources: list[tuple[int, Any]] = []
        self._which: list[int] = []
        self._era = -1

    def run(self, slots: Sequence[Node]) -> list[Tensor]:
        """The results."""
        if interpreting.active or executor.config.interpret:
            nodes = self.template.instantiate(slots)
            return [wrap(input_node(executor.value(n), n.type)) for n in nodes]
        if self._bound is None or self._era != executor.era():
            self._make(slots)
        assert self._bound is not None
        arrays = self._bound.run([value if i < 0 else slots[i].value for i, value in self._sources])
        made = self.template.nodes
        return [wrap(input_node(arrays[k], made[i - self.template.count].spec.type))
                for k, i in zip(self._which, self.template.results, strict=True)]

    def _make(self, slots: Sequence[Node]) -> None:
        plain = {n: Node(n.spec, (), False, 0, n.value) for n in slots}         # without gradients; shared as slots are
        fresh = [plain[n] for n in slots]
        program, order, self._which = executor.values_program(self.template.instantiate(fresh))
        self._bound = bound = program.bind(order)
        slot_of = {n: i for i, n in reversed(list(enumerate(fresh)))}
        self._sources = [(slot_of[n], None) if n in slot_of else (-1, n.value) for n in [order[p] for p in bound.positions]]
        self._era = executor.era()
