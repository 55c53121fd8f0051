"""The code that is generated for a capture: a guard function, and one that makes the result.

Input: a finished `Trace` and what the function returned.  Output: a `Replay`.
Invariant: the guard passes only where the captured function would do the same again, and raises nothing.
"""
from __future__ import annotations

import weakref
from collections.abc import Callable
from itertools import combinations
from typing import Any

import numpy as np

from jitgrad import tracing
from jitgrad.capture.arrays import kept, lies
from jitgrad.capture.guards.lines import Refusal, Test, changed, differ, filled, present
from jitgrad.capture.guards.positions import Positions, value_of
from jitgrad.capture.replays.captured_graph import Call, CapturedGraph
from jitgrad.capture.replays.lazy_result import OneOfSeveral, Single, recorded_result
from jitgrad.capture.trace import Input, Trace
from jitgrad.capture.trees import Results
from jitgrad.capture.value_guards import Looks
from jitgrad.config import config
from jitgrad.graph.node import Node
from jitgrad.graph.recording import grad_mode, input_node
from jitgrad.operators.native.entry_points import usual
from jitgrad.operators.views.layout import layout
from jitgrad.requests.execute import value
from jitgrad.requests.schedule_cache import interpreting
from jitgrad.tensors.tensor import Tensor, wrap
from jitgrad.types.array import same_type
from jitgrad.types.dtype import get_default_dtype

SMALL = 4096                # bytes of an array that is compared by its contents


class Replay:
    """One capture in use.  `enter(args, kwargs)`: the current nodes, tensors and numbers of a call that would run as the
    captured one did, otherwise None.  `result(...)`: what the function would return."""

    def __init__(self, enter: Callable, result: Callable | None, reason: str | None, tests: list[Test],
                 template: CapturedGraph | None) -> None:
        self.enter = enter
        self.result = result
        self.reason = reason
        self.tests = tests
        self.template = template
        self.notes: list[str] = []  # of arrays, for explain
        self.used = False           # whether a call after the capture's was served; known at the next capture
        self.retries = 2 if result is None and (reason or "").startswith("changes") else 0


NOTHING = Replay(lambda args, kwargs: None, None, "", [], None)


def settled(node: Node) -> Node:
    """A leaf with the value of a node that needs no gradient."""
    return input_node(value(node), node.type)


_INDENT = "\n        "
_ON_ERROR = ("    except (KeyError, AttributeError, IndexError, ValueError, TypeError, ArithmeticError):\n"
             "        return None\n")


class Misled(Exception):
    """The function may have told a TracedFloat from a float; it has changed nothing and can be called again."""


def attempt(trace: Trace, prepared: tuple[tuple, dict[str, Any]], args: tuple, kwargs: dict[str, Any]) -> Any:
    """Call the function of a trace.  Raises Misled where it was given TracedFloats and failed or asked for their type: what it
    raises of itself, it raises again."""
    try:
        result = trace.run(*prepared)
        if not (trace.guards.asks_types and _can_repeat(trace, args, kwargs)):
            return result
    except Exception:
        if not _can_repeat(trace, args, kwargs):
            raise
    raise Misled


def _can_repeat(trace: Trace, args: tuple, kwargs: dict[str, Any]) -> bool:
    """Whether there were TracedFloats, and a call without them starts from the same."""
    return bool(trace.arguments.numbers) and trace.reason is None and trace.arguments.unchanged() and _first_failure(
        trace, args, kwargs) is None


def replay_of(trace: Trace, make: Callable[[], Replay]) -> Replay:
    """What a finished capture gives: what `make` does, if nothing stands against it."""
    try:
        if trace.reason is None:
            return make()
    except Refusal as refusal:
        trace.reason = str(refusal)
    finally:
        trace.forget()
    return recording(trace, trace.reason or "")


def generate(trace: Trace, result: Any, args: tuple, kwargs: dict[str, Any],
             body: Callable[[CapturedGraph, str], list[str]] | None = None) -> Replay:
    """A replay of a capture.  body: writes the lines of the function that makes the result, by default `_result_lines`.

    Raises Refusal where there can be none, also where the guard does not hold after the call: the function has changed
    what it reads."""
    trace.guards.finish()
    outputs: list[Node] = []
    tensors: list[Tensor] = []
    names: dict[Any, str] = {**trace.arguments.numbers, **{node: given.name for node, given in trace.arrays.items()},
                             **{id(array): name for name, array in trace.compared}}
    expression = Results(trace.guards.constant, _tensor_writer(trace, outputs, tensors), names,
                         trace.arguments.containers).expression(result)
    template = CapturedGraph(trace, outputs)
    looks = None
    computed, seen = trace.looks()
    if computed:
        looks = Looks(CapturedGraph(trace, computed), [value(n).copy() for n in computed])
    if body is None:
        lines = _result_lines(trace, template, expression)
    else:
        lines = body(template, expression)
    enter, finish = _functions(trace, template, looks, seen, lines)
    failed = _first_failure(trace, args, kwargs) or next((a.place for a in trace.arrays.values() if a.changed()), None)
    if failed is not None:
        raise Refusal(f"changes {failed}, which it reads")
    if enter(args, kwargs) is None:
        raise Refusal("changes a tensor or a mode that it reads")
    replay = Replay(enter, finish, None, trace.guards.tests, template)
    replay.notes = [given.note() for given in trace.arrays.values()]
    return replay


def recording(trace: Trace, reason: str) -> Replay:
    """For calls that have to run the function: their guard is the structure of the arguments alone, and the values of
    what is neither a float nor an array."""
    trace.forget()
    lines = [f"if {t.structure or t.condition}: return None" for t in trace.guards.tests[:trace.argument_tests]]
    source = f"def enter(args, kwargs):\n    try:\n        {_INDENT.join(['pass', *lines])}\n{_ON_ERROR}    return ()\n"
    enter = _define(source, trace.guards.namespace, ("enter",))
    return Replay(enter[0], None, reason, [], None)


def _tensor_writer(trace: Trace, outputs: list[Node], tensors: list[Tensor]) -> Callable[[Tensor], str]:
    """The expression for each tensor of the result: an input itself, or a computed output o0, o1, ..."""
    known: dict[int, str] = {}

    def write(tensor: Tensor) -> str:
        given = trace.input_of(tensor)
        if given is not None:
            if given.kind != "tensor":
                raise Refusal("returns an argument")
            return given.name
        name = known.get(id(tensor))
        if name is None:
            if type(tensor) is not Tensor:
                raise Refusal(f"returns a {type(tensor).__name__}")
            if trace.shares_storage(tensor):
                raise Refusal("returns a view of a tensor that it did not make")
            if tensor._storage is not None and any([t._storage is tensor._storage for t in tensors]):
                raise Refusal("returns several views of one tensor")
            name = known[id(tensor)] = f"o{len(outputs)}"
            outputs.append(tensor._current())
            tensors.append(tensor)
        return name

    return write


def _functions(trace: Trace, template: CapturedGraph, looks: Looks | None, seen: set[Node],
               body: list[str]) -> tuple[Callable, Callable]:
    """The guard function and the function that makes a result.  For f(x) = (x * 2).sum():

        def enter(args, kwargs):
            try:
                if usual[0](K2) is None and (grad.enabled is not True or interpreting.active or ...): return None
                if kwargs: return None
                if type(args) is not tuple or len(args) != 1: return None
                if type(t0 := args[0]) is not K3: return None
                n0 = t0._node if t0._storage is None else t0._current()
                if n0.type is not K4 and not same_type(n0.type, K4): return None
                ...
                return (n0,), ()
            except (KeyError, AttributeError, IndexError, ValueError, TypeError):
                return None

        def result(nodes, given):
            call = new(Single)              # with several results a Call, and a OneOfSeveral for each
            call.template = template
            call.inputs = nodes
            o0 = new(Tensor)
            o0._node = face0
            o0._storage = call
            return o0
    """
    constant = trace.guards.constant
    dtype = constant(get_default_dtype())
    quick = f"usual[0]({dtype}) is None and " if trace.grad_enabled else ""
    lines = [f"if {quick}(grad_mode.enabled is not {trace.grad_enabled} or interpreting.active or config.interpret "
             f"or get_default_dtype() is not {dtype} or tracing.traces and tracing.current() is not None): return None"]
    lines += [f"if {t.condition}: return None" for t in trace.guards.tests]
    tensors = [given.name for given in trace.inputs if given.kind == "tensor"]
    lines += _distinct(tensors)         # a gradient is of one object
    # What is computed after the return is not to see what the caller writes to an array meanwhile.
    later = any([template.nodes[number].requires_grad for number in template.outputs])
    lines += _distinct([given.name for given in trace.arrays.values()])
    lines += _containers(trace)
    if trace.guards.arrays:
        reached = {id(array): array for array in trace.guards.arrays}   # which the namespace keeps alive
        others = [given.name for given in trace.arrays.values()] + [e for e, array in trace.compared if id(array) not in reached]
        lines += [f"if id({name}) in {constant(frozenset(reached))}: return None" for name in others]
        lines += [f"if {e} is not {constant(array)}: return None" for e, array in trace.compared if id(array) in reached]
    for i, (given, leaf) in enumerate(zip(trace.inputs, template.leaves, strict=True)):
        used = leaf is not None or (looks is not None and looks.template.leaves[i] is not None)
        lines += _node_lines(i, given, used, later, constant)
        if given.layout is not None:
            first = "" if given.strides is not None or given.tensor is None or given.tensor._chain else \
                f"{given.name}._storage is not None and "       # the usual case without a call
            lines.append(f"if {first}layout({given.name}) != {constant(given.layout)}: return None")
        if given.node in trace.arrays and trace.arrays[given.node].memory:
            lines.append(f"if lies({given.name}) != {constant(lies(trace.arrays[given.node].array))}: return None")
        if given.node in trace.divisors:
            lines.append(f"if {given.name} == 0: return None")
        if given.node in seen:
            lines.append(_same_line(i, given, constant))
        lines += [f"if {constant(Positions(low, high, also))}.outside(n{i}): return None"
                  for node, low, high, also in trace.bounds if node is given.node]
    nodes = _tuple([f"n{i}" for i in range(len(trace.inputs))])
    if looks is not None:
        lines.append(f"if {constant(looks)}.differ({nodes}): return None")
    given_back = [given.name for given in trace.inputs if given.kind in ("tensor", "number", "ndarray")]
    given_back += [name for name, _ in trace.compared]
    used_back = [name for name in given_back if any([f"{name}{end}" in body[-1] + " " for end in ",)]} "])]
    if later:
        lines += [f"if n{i}.value is a{i}: n{i}.value = kept(a{i})" for i, given in enumerate(trace.inputs)
                  if given.kind == "ndarray" and not given.small and template.leaves[i] is not None]
    lines.append(f"return {nodes}, {_tuple(used_back)}")
    source = "def enter(args, kwargs):\n    try:\n        " + _INDENT.join(lines) + "\n" + _ON_ERROR
    source += "\ndef result(nodes, given):\n    " + "\n    ".join(
        [f"{_tuple(used_back)} = given"] * bool(used_back) + body) + "\n"
    namespace = trace.guards.namespace
    namespace["template"] = template
    enter, result = _define(source, namespace, ("enter", "result"))
    return enter, result


def _distinct(names: list[str]) -> list[str]:
    """The test that what were different objects are so again."""
    if len(names) > 6:
        return [f"if len(set(map(id, {_tuple(names)}))) != {len(names)}: return None"]
    return [f"if {' or '.join([f'{a} is {b}' for a, b in combinations(names, 2)])}: return None"] * (len(names) > 1)


def _containers(trace: Trace) -> list[str]:
    """The tests that the lists and dicts of the caller are others than each other and than those that are read besides."""
    constant = trace.guards.constant
    held = {i: v for i, v in trace.guards.reached.items() if type(v) in (list, dict)}       # which the namespace keeps alive
    given = {i: e for i, e in trace.arguments.containers.items() if i in trace.arguments.mutable}
    lines = _distinct(list(given.values()))
    for i, expression in given.items():
        if i in held:
            lines.append(f"if {expression} is not {constant(held[i])}: return None")
        elif held:
            lines.append(f"if id({expression}) in {constant(frozenset(held))}: return None")
    return lines


def _result_lines(trace: Trace, template: CapturedGraph, expression: str) -> list[str]:
    """The body of `result`: see _functions."""
    constant = trace.guards.constant
    single = len(template.outputs) == 1
    body = [f"call = new({'Single' if single else 'Call'})", "call.template = template", "call.inputs = nodes"]
    for k, number in enumerate(template.outputs):
        output = template.nodes[number]
        if not output.inputs:             # a constant of the capture
            body.append(f"o{k} = wrap(input_node({constant(output)}.value, {constant(output)}.type))")
        elif not output.requires_grad:
            body.append(f"o{k} = plain_result(call, {k})")
        else:
            if template.interior:
                body.append(f"o{k} = recorded_result(call, {k})")
            else:
                body += [f"o{k} = new(Tensor)", f"o{k}._node = {constant(output)}",
                         f"o{k}._storage = {'call' if single else f'OneOfSeveral(call, {k})'}"]
    return [*(body if template.outputs else ()), f"return {expression}"]


def _node_lines(i: int, given: Input, used: bool, later: bool, constant: Callable[[Any], str]) -> list[str]:
    """How the guard function gets what is given for an input: its node, or the array itself."""
    spec = constant(given.spec)
    type_ = constant(given.spec.type)
    if given.kind == "number":
        return [f"n{i} = Node({spec}, (), False, 0, {given.name})"]
    if given.kind == "ndarray":
        copy = f"a{i}.copy()" if given.small else f"kept(a{i})"
        array = "None" if not used else copy if later and given.small else f"a{i} if a{i}.flags.carray else {copy}"
        return [f"n{i} = Node({spec}, (), False, 0, {array})"]
    if given.kind == "array":
        return [f"n{i} = a{i} if a{i}.flags.c_contiguous and a{i}.flags.aligned else copied(a{i}, order='C')"]
    if given.kind == "float":
        return [f"n{i} = copied(a{i})"]
    if given.kind == "leaf":
        return [f"m{i} = a{i}._node if a{i}._storage is None else a{i}._current()",
                f"if m{i}.requires_grad or not same_type(m{i}.spec.type, {type_}): return None",
                f"n{i} = value(m{i})",
                _strides_line(f"n{i}", given, constant)]
    lines = [f"n{i} = t{i}._node if t{i}._storage is None else t{i}._current()"]
    if not used or given.interior:
        lines.append(f"if not same_type(n{i}.spec.type, {type_}): return None")
    lines.append(f"if n{i}.requires_grad is not {given.requires_grad}: return None")
    if not used:
        return lines
    if given.interior:
        return [*lines, f"if not n{i}.inputs and n{i}.extra.leaf is not None: return None"]
    if given.requires_grad:
        lines.append(f"if n{i}.extra is None or n{i}.extra.leaf is None: return None")
    else:
        lines.append(f"if n{i}.inputs: n{i} = settled(n{i})")
    lines.append(f"if n{i}.spec is not {spec} and (n{i}.inputs or not same_type(n{i}.spec.type, {type_})): return None")
    if given.spec.type.shape:
        lines.append(_strides_line(f"n{i}.value", given, constant))
    else:               # a number, which fill_ makes, is no array to a program
        lines.append(f"if n{i}.spec is not {spec} and n{i}.spec.op is not {constant(given.spec.op)}: return None")
    return lines


def _strides_line(array: str, given: Input, constant: Callable[[Any], str]) -> str:
    """The test that an array lies in memory as it did: programs are bound to strides."""
    if given.strides is None:
        return f"if not {array}.flags.c_contiguous: return None"
    return f"if {array}.strides != {constant(given.strides)}: return None"


def _same_line(i: int, given: Input, constant: Callable[[Any], str]) -> str:
    """The test that an input whose value Python has seen is the same: a number by value, a small array by its contents,
    a large one by identity (arrays are immutable)."""
    node = given.node
    if given.kind == "ndarray" and node is not None:
        return f"if {given.name}.tobytes() != {constant(node.value.tobytes())}: return None"
    if given.kind == "number" or node is None:
        return f"if changed({given.name}, {constant(0.0 if node is None else node.value)}): return None"
    array = value(node)
    if array.nbytes <= SMALL:
        return f"if value_of(n{i}).tobytes() != {constant(array.tobytes())}: return None"
    return f"if n{i} is not {constant(weakref.ref(node))}(): return None"


def _tuple(items: list[str]) -> str:
    return "(" + "".join([item + ", " for item in items]) + ")"


def _define(source: str, namespace: dict[str, Any], names: tuple[str, ...]) -> list[Callable]:
    scope = dict(_SCOPE)
    scope.update(namespace)
    exec(compile(source, "<jitgrad capture>", "exec"), scope)
    return [scope[name] for name in names]


def _first_failure(trace: Trace, args: tuple, kwargs: dict[str, Any]) -> str | None:
    """What the first test that fails is about."""
    scope = dict(_SCOPE)
    scope.update(trace.guards.namespace)
    scope.update(args=args, kwargs=kwargs)
    by_name = {given.name: given for given in trace.inputs if given.kind == "tensor"}
    for test in trace.guards.tests:
        try:
            if eval(test.condition, scope):
                return test.about
        except (KeyError, AttributeError, IndexError, ValueError, TypeError):
            return test.about
        # Tensors are read anew at a replay, whichever they are: here they have to be the ones that were there before.
        given = by_name.get(test.condition.partition(" := ")[0].removeprefix("type("))
        if given is not None and given.tensor is not None and (given.tensor is not scope[given.name]
                                                               or given.tensor._current() is not given.node):
            return test.about
    return None


def plain_result(call: Call, output: int) -> Tensor:
    """An output that needs no gradient: computed now."""
    array = call.look(output)
    if array is None:
        call.keep_arrays()
        return recorded_result(call, output)
    template = call.template
    return wrap(input_node(array, template.nodes[template.outputs[output]].type))


_SCOPE: dict[str, Any] = {
    "grad_mode": grad_mode, "interpreting": interpreting, "config": config, "get_default_dtype": get_default_dtype, "usual": usual,
    "tracing": tracing, "Node": Node, "value_of": value_of,
    "changed": changed, "differ": differ, "present": present, "filled": filled, "same_type": same_type,
    "settled": settled, "Call": Call, "Single": Single, "OneOfSeveral": OneOfSeveral,
    "new": object.__new__, "Tensor": Tensor,
    "recorded_result": recorded_result, "plain_result": plain_result, "wrap": wrap, "input_node": input_node,
    "layout": layout, "kept": kept, "lies": lies, "value": value, "copied": np.array, "zeros": np.zeros}
