"""From a capture to calls without the function: templates, calls, and results that compute when they are asked.

A `CapturedGraph` is the recorded graph of one capture, cut off from all arrays: leaves stand for the inputs, by number.  A `Call`
is one use of it, with the nodes (or arrays) of its inputs.  A result is a tensor whose `_storage` is a StandIn (lazy_result.py):
backward() and a look at the value run a program of the whole graph; anything else records the graph's nodes for this call
(`Call.record`), as the function would have done, and from there on the tensor is like any other.
"""
from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from jitgrad.autograd.function import PyFunction
from jitgrad.autograd.reverse import engine
from jitgrad.autograd.reverse.saved_values import check_saved
from jitgrad.capture.arrays import kept
from jitgrad.capture.guards.lines import Refusal
from jitgrad.capture.replays.delivery import delivery
from jitgrad.graph.node import INPUT, SCALAR, Composite, Node, is_stale, topological
from jitgrad.graph.recording import input_node
from jitgrad.graph.template import Template
from jitgrad.requests import counters, execute, schedule_cache
from jitgrad.requests.capture import capture as capture_graph
from jitgrad.tracing import BORN

if TYPE_CHECKING:
    from jitgrad.capture.trace import Trace
    from jitgrad.compiler.program import Bound

Given = Node | np.ndarray


class ReplayPlan:
    """The program for some outputs of a template.

    sources: for each array or number that it takes, (the number of an input, None) or (-1, the value).  wrt: the inputs
    whose gradients come after the values; places: of CapturedGraph.outputs among the values."""

    def __init__(self, entry: schedule_cache.Entry, bound: Bound, sources: list[tuple[int, Any]], wrt: list[int],
                 places: list[int]) -> None:
        self.entry = entry
        self.bound = bound
        self.run = bound.run
        self.sources = sources
        self.wrt = wrt
        self.places = places
        self.era = schedule_cache.era
        self.again: Any = None       # of a joint plan: see delivery.py
        self.repeats = False


class CapturedGraph:
    """The graph of one capture as a template.  `leaves[i]`: the operand that stands for input i, or None if the result does not
    depend on it; `nodes`: of operands without values, and what the template makes of them; `outputs`: numbers in `nodes`."""

    def __init__(self, trace: Trace, outputs: Sequence[Node]) -> None:
        """Raises Refusal for a graph that cannot be recorded again."""
        order = topological(outputs, lambda n: () if n in trace.numbers else [*n.inputs, *_listed(n)])
        used = set(order)
        blank: dict[Node, Node] = {}
        for given in trace.inputs:
            node = given.node
            if node in used and node is not None and node not in blank:
                blank[node] = (input_node(None, node.type, node.requires_grad) if given.kind != "number"
                               else Node(node.spec, (), False, 0))
        numbers: dict[Any, int] = {n: i for i, n in enumerate(blank)}
        self.leaves = [numbers.get(given.node) for given in trace.inputs]
        made = [n for n in order if n not in blank]
        for node in made:
            _check(node)
        if any([is_stale(n) or (n.run is not None and n.run.freed and n not in blank) for n in order]):
            try:
                check_saved(outputs, dict.fromkeys(order))
            except RuntimeError:
                raise Refusal("overwrites or frees a value that its derivative needs") from None
        self.template = Template.of(list(blank), made, outputs, lines=[n.line for n in made])
        self.nodes = self.template.instantiate(list(blank.values()))
        self.outputs = self.template.results
        self.scalar = [self.nodes[i].spec.type.size == 1 for i in self.outputs]
        self.interior = any([given.interior and leaf is not None
                             for given, leaf in zip(trace.inputs, self.leaves, strict=True)])
        self.arrays = [i for i, given in enumerate(trace.inputs) if given.kind == "ndarray"]
        self.plans: dict[Any, ReplayPlan | None] = {}

    def instantiate(self, inputs: Sequence[Given]) -> list[Node]:
        """The nodes of one call, by number."""
        operands = self.nodes[:len(self.nodes) - len(self.template.nodes)]
        for leaf, given in zip(self.leaves, inputs, strict=True):
            if leaf is not None:
                node = operands[leaf]
                operands[leaf] = given if type(given) is Node else input_node(given, node.type, node.requires_grad)
        return self.template.instantiate(operands)

    def joint(self, output: int, inputs: Sequence[Given]) -> ReplayPlan | None:
        """The program of one scalar output and the gradients of all leaves below it.  None: it is to be interpreted."""
        plan = self._known(output)
        if plan is None:
            return None if schedule_cache.interpret_reason() is not None else self._made(output, inputs, [self.outputs[output]], None)
        if not plan.repeats:                # from the second time on: a program that calls but once needs none
            plan.repeats = True
            plan.again = delivery(output, plan, len(self.leaves), len(self.outputs) == 1)
        return plan

    def _constants(self, captured: schedule_cache.Capture, nodes: list[Node]) -> dict[int, Any]:
        """The literals of the function, which its guards see to, by position."""
        inputs = {nodes[leaf] for leaf in self.leaves if leaf is not None}
        return {p: n.value for p, n in enumerate(captured.order) if n.op is SCALAR and n not in inputs}

    def values(self, inputs: Sequence[Given]) -> ReplayPlan | None:
        """The program of the values of all outputs.  None: they are to be interpreted."""
        plan = self._known("values")
        if plan is None and schedule_cache.interpret_reason() is None:
            plan = self._made("values", inputs, self.outputs, ())
        return plan

    def derivative(self, wrt: Sequence[int], inputs: Sequence[Given]) -> ReplayPlan:
        """The program of all outputs and of the gradients of the first with respect to some inputs."""
        plan = self.plans.get("derivative")         # as _known, without a further call
        return self._made("derivative", inputs, self.outputs, wrt) if plan is None or plan.era != schedule_cache.era else plan

    def _known(self, key: Any) -> ReplayPlan | None:
        plan = self.plans.get(key)
        return None if plan is None or plan.era != schedule_cache.era else plan

    def _made(self, key: Any, inputs: Sequence[Given], outputs: Sequence[int], wrt: Sequence[int] | None) -> ReplayPlan:
        """The program of some outputs, by number, and of the gradients of the first with respect to some inputs (None: to all)."""
        nodes = self._apart(inputs)
        wanted = list(dict.fromkeys([nodes[i] for i in outputs]))
        captured = capture_graph(wanted, anew=True)
        index = captured.index
        leaves = captured.leaves if wrt is None else [nodes[leaf] for i in wrt if (leaf := self.leaves[i]) is not None]
        if wrt == ():
            wanted.sort(key=index.__getitem__)
        if wrt != () and len(wanted) == 1 and leaves == captured.leaves:
            entry = schedule_cache.entry_for(captured, wanted[0])
        else:
            roots = [] if wrt == () else [(index[wanted[0]], False)]
            places, values = [index[n] for n in leaves], [index[n] for n in wanted]
            entry = schedule_cache.find(schedule_cache.make_key(captured, roots, places, values), captured, roots, places, values)
        number = {nodes[leaf]: i for i, leaf in reversed(list(enumerate(self.leaves))) if leaf is not None}
        bound = entry.program.bind(captured.order)
        constants = self._constants(captured, nodes)
        if constants:
            bound = bound.fixing(constants)
        taken = [captured.order[p] for p in bound.positions]
        plan = self.plans[key] = ReplayPlan(entry, bound, [(number[n], None) if n in number else (-1, n.value) for n in taken],
                                      [number[n] for n in leaves], [wanted.index(nodes[i]) for i in outputs])
        return plan

    def _apart(self, inputs: Sequence[Given]) -> list[Node]:
        """The nodes of a call, with an input given twice as two."""
        return self.instantiate([
            given if leaf is None else Node(given.spec, (), False, 0, given.value)
            if type(given) is Node and given.spec.op is not INPUT and not given.inputs
            else input_node(execute.value(given) if type(given) is Node else given, self.nodes[leaf].type,
                            self.nodes[leaf].requires_grad)
            for given, leaf in zip(inputs, self.leaves, strict=True)])


def _listed(node: Node) -> list[Node]:
    """The nodes that the owner of a grad_fn refers to."""
    fn = None if node.extra is None else node.extra.fn
    if type(fn) is not Composite:
        return []
    return [n for n in (*fn.inputs, *(fn.saves or ())) if n is not None]


def _check(node: Node) -> None:
    """Raises Refusal for a node of a capture that cannot be recorded again."""
    extra = node.extra
    if node.spec.op is INPUT:
        if node.line is not BORN:
            raise Refusal("uses a tensor that no guarded name leads to")
        if node.requires_grad:
            raise Refusal("makes a tensor that requires grad")
    if extra is not None and (extra.watch is not None or type(extra.fn) is PyFunction):
        raise Refusal("registers a hook")


# -- calls -----------------------------------------------------------------------------------------------------------

def run(plan: ReplayPlan, inputs: Sequence[Given]) -> list[np.ndarray | None]:
    """The results of a program for the inputs of a call."""
    counters.hits[0] += 1
    values = [n.value if type(n) is Node else n for n in inputs]
    return plan.run([values[i] if i >= 0 else value for i, value in plan.sources])


def run_nodes(plan: ReplayPlan, inputs: Sequence[Node]) -> list[np.ndarray | None]:
    """`run` where all inputs are nodes."""
    counters.hits[0] += 1
    return plan.run([inputs[i].value if i >= 0 else value for i, value in plan.sources])


class Call:
    """One replay: the template and what was given for its inputs.  (Most calls are short: defaults are the class's.)"""

    real: list[Node] | None = None              # the recorded graph by number, once it is needed
    values: dict[int, np.ndarray] | None = None                     # by output
    held: tuple[int, ReplayPlan, list[np.ndarray | None]] | None = None   # gradients that wait for backward()
    done: dict[int, ReplayPlan] | None = None         # the backwards that went through, by output
    leaves: Sequence[Any] = ()                  # after the only backward: of those that got a gradient, instead of inputs

    def __init__(self, template: CapturedGraph, inputs: Sequence[Node]) -> None:
        self.template = template
        self.inputs: Sequence[Node] | None = inputs

    def given(self) -> Sequence[Node]:
        """The inputs, or what is left of them."""
        if self.inputs is None:
            [plan] = (self.done or {}).values()
            self.inputs = _Spent(self.template, plan.wrt, list(self.leaves))
        return self.inputs

    def record(self) -> list[Node]:
        """The recorded graph of this call, as if the function had run."""
        if self.real is None:
            template = self.template
            inputs = self.given()
            real = template.instantiate(inputs)
            for i, value in (self.values or {}).items():
                node = real[template.outputs[i]]
                if node.value is None:
                    node.value = value
            if self.held is not None:
                i, plan, grads = self.held
                leaves = [inputs[k] for k in plan.wrt]
                real[template.outputs[i]].ensure_extra().held = (plan.entry, leaves, grads)
            for i, plan in (self.done or {}).items():
                execute.mark_freed(real[template.outputs[i]], plan.entry)
            self.real, self.held = real, None       # at once, and once all is there
        return self.real

    def keep_arrays(self) -> None:
        """Something is computed after the return: the caller may write to its arrays before."""
        inputs = self.given()
        for i in self.template.arrays:
            if inputs[i].value is not None:
                inputs[i].value = kept(inputs[i].value)

    def look(self, output: int) -> np.ndarray | None:
        """The value of an output: by the joint program of a single scalar, whose gradients are held for backward(), by that
        of all values otherwise.  None: the graph has to be recorded."""
        if self.values is not None and output in self.values:
            return self.values[output]
        template, inputs = self.template, self.given()
        node = template.nodes[template.outputs[output]]
        if node.requires_grad and template.scalar[output] and len(template.outputs) == 1:
            plan = template.joint(output, inputs)
            if plan is None:
                return None
            grads = run_nodes(plan, inputs)
            array = grads.pop(0)
            self.values = {output: array}               # type: ignore[dict-item]
            self.held = output, plan, grads
            return array
        plan = template.values(inputs)
        if plan is None:
            return None
        results = run_nodes(plan, inputs)
        self.values = {i: results[k] for i, k in enumerate(plan.places)}        # type: ignore[misc]
        return results[plan.places[output]]

    def deliver(self, output: int) -> bool:
        """Add the gradients of an output to the leaves; False if it takes the recorded graph."""
        template = self.template
        plan = template.plans.get(output)
        if plan is not None and plan.again is not None and plan.again(self):
            return True
        if self.real is not None or self.done is not None or not template.scalar[output]:
            return False
        inputs = self.given()
        for node in inputs:
            extra = node.extra
            if extra is not None and extra.cell is not None and extra.cell.value != extra.version:
                return False
        if self.held is not None and self.held[0] == output:
            _, plan, grads = self.held
            self.held = None
        else:
            plan = template.joint(output, inputs)
            if plan is None:
                return False
            grads = run_nodes(plan, inputs)
            array = grads.pop(0)
            if self.values is None:
                self.values = {output: array}           # type: ignore[dict-item]
            else:
                self.values[output] = array             # type: ignore[assignment]
        self.done = {output: plan}
        leaves = [inputs[i] for i in plan.wrt]
        if len(template.outputs) == 1:
            self.inputs, self.leaves = None, [n.extra.leaf for n in leaves]      # type: ignore[union-attr]
        engine.deliver_plain(leaves, grads)
        return True


class _Spent(Sequence):
    """The inputs of a call after its only backward, without their arrays.  What is left of the graph is for grad_fn and
    for the errors of a second backward: a stand-in of the same type takes the place of each tensor."""

    __slots__ = ("_template", "_wrt", "_leaves")

    def __init__(self, template: CapturedGraph, wrt: list[int], leaves: list[Any]) -> None:
        self._template = template
        self._wrt = wrt
        self._leaves = leaves       # the accumulators of the leaves that got a gradient

    def __len__(self) -> int:
        return len(self._template.leaves)

    def __iter__(self) -> Iterator[Any]:
        return iter([self[i] for i in range(len(self))])

    def __getitem__(self, i: Any) -> Any:
        number = self._template.leaves[i]
        leaf = None if number is None else self._template.nodes[number]
        if leaf is None or leaf.spec.op is not INPUT:
            return None if leaf is None else Node(leaf.spec, (), False, 0, 0.0)
        type_ = leaf.spec.type
        result = input_node(np.broadcast_to(np.zeros((), type_.dtype.np), type_.shape), type_, leaf.requires_grad)
        if i in self._wrt:
            result.ensure_extra().leaf = self._leaves[self._wrt.index(i)]
        return result
