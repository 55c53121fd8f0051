"""compile, value_and_grad, grad, and interpret: the public functions.

A compiled function keeps a few captures (`Replay`), the one used last first.  A call tries each one's guard; where none
holds, the function is captured again, or, where a capture said that it cannot be replayed, called as it is.
"""
from __future__ import annotations

import functools
import inspect
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from jitgrad import tracing
from jitgrad.arraytype import same_type
from jitgrad.capture.guards import Refusal, Test, changed
from jitgrad.capture.replay import Call, Looks, Positions, Template, deferred, recorded
from jitgrad.capture.trace import Input, Trace
from jitgrad.capture.trees import Results, plain
from jitgrad.config import config, logger
from jitgrad.dtype import get_default_dtype
from jitgrad.executor import interpreting, value
from jitgrad.graph import Node, grad_mode, input_node
from jitgrad.tensor import Tensor, wrap

MAX_CAPTURES = 32           # structures of one function that are kept
SMALL = 4096                # bytes of an array that is compared by its contents
MAX_MISSES = 64             # captures of one function, if replays are not more than they
_capturing = threading.RLock()


@contextmanager
def interpret() -> Iterator[None]:
    """Evaluate with NumPy, node by node, all gradients that this thread asks for inside the `with`."""
    before, interpreting.active = interpreting.active, True
    try:
        yield
    finally:
        interpreting.active = before


def settled(node: Node) -> Node:
    """A leaf with the value of a node that needs no gradient."""
    return input_node(value(node), node.type)


class Replay:
    """One capture in use.  `enter(args, kwargs)`: the current nodes, tensors and numbers of a call that would run as the
    captured one did, otherwise None.  `result(...)`: what the function would return."""

    def __init__(self, enter: Callable, result: Callable | None, reason: str | None, tests: list[Test],
                 template: Template | None) -> None:
        self.enter = enter
        self.result = result
        self.reason = reason
        self.tests = tests
        self.template = template


NOTHING = Replay(lambda args, kwargs: None, None, "", [], None)


class Compiled:
    """The state of one compiled function."""

    def __init__(self, function: Callable, strict: bool) -> None:
        self.function = function
        self.strict = strict
        self.replays: list[Replay] = []
        self.captures = 0
        self.hits = 0
        self.first = NOTHING
        self.name = getattr(function, "__qualname__", type(function).__name__)
        self._floats: dict[str, float] = {}
        self._dynamic: set[str] = set()

    def call(self, args: tuple, kwargs: dict[str, Any]) -> Any:
        """Replay or capture."""
        replays = self.replays
        for replay in replays:
            found = replay.enter(args, kwargs)
            if found is not None:
                if replays[0] is not replay:
                    self.replays = [replay, *[r for r in replays if r is not replay]]
                    self.first = replay
                self.hits += 1
                if replay.result is None:
                    return self.record(args, kwargs)
                return replay.result(*found)
        if tracing.current() is not None or interpreting.active or config.interpret:
            return self.record(args, kwargs)
        with _capturing:
            return self._capture(args, kwargs)

    def _capture(self, args: tuple, kwargs: dict[str, Any]) -> Any:
        if self.captures >= MAX_MISSES and self.hits <= self.captures:
            return self.record(args, kwargs)
        self.captures += 1
        result, replay = self.capture_once(args, kwargs, self._dynamic_floats(args, kwargs))
        self.replays = [replay, *self.replays[:MAX_CAPTURES - 1]]
        self.first = replay
        if replay.reason is not None:
            logger.info("%s records on each call: %s", self.name, replay.reason)
            if self.strict:
                raise RuntimeError(f"jitgrad.compile({self.name}, strict=True): it {replay.reason}")
        else:
            logger.info("%s captured: %d values guarded", self.name, len(replay.tests))
        return plain(result)

    def record(self, args: tuple, kwargs: dict[str, Any]) -> Any:
        """A call without replay."""
        return self.function(*args, **kwargs)

    def capture_once(self, args: tuple, kwargs: dict[str, Any], dynamic: set[str]) -> tuple[Any, Replay]:
        """Call the function under a capture: its result, and what becomes of the capture."""
        trace = Trace(self.function, dynamic)
        prepared = trace.prepare(args, kwargs)
        result = self.record(args, kwargs) if prepared is None else trace.run(*prepared)
        replay = replay_of(trace, lambda: generate(trace, result, args, kwargs))
        if not trace.arguments.unchanged():
            replay = recording(trace, "changes its arguments")
        return result, replay

    def _dynamic_floats(self, args: tuple, kwargs: dict[str, Any]) -> set[str]:
        """The places of floats that have changed from one capture to another: they become inputs."""
        for place, number in _floats("args", args, 0) + _floats("kwargs", kwargs, 0):
            if changed(number, self._floats.setdefault(place, number)):
                self._dynamic.add(place)
        return self._dynamic

    def explain(self) -> str:
        """What has been captured, what is guarded, and why calls are recorded."""
        lines = [f"{self.name}: {self.captures} captures, {self.hits} calls served by them"]
        for replay in self.replays:
            if replay.template is None:
                lines.append(f"recorded on each call: {replay.reason}")
                continue
            operations = len([n for n in replay.template.nodes if n.inputs])
            lines.append(f"replayed: {operations} operations, {len(replay.template.outputs)} results; "
                         f"{len(replay.tests)} values guarded:")
            lines += [f"  {about}" for about in dict.fromkeys([t.about for t in replay.tests])]
        return "\n".join(lines)


def _floats(place: str, tree: Any, level: int) -> list[tuple[str, float]]:
    if type(tree) is float:
        return [(place, tree)]
    if level > 20 or not isinstance(tree, (dict, list, tuple)):
        return []
    items = tree.items() if isinstance(tree, dict) else enumerate(tree)
    return [found for key, item in items for found in _floats(f"{place}[{key!r}]", item, level + 1)]


# -- generated code --------------------------------------------------------------------------------------------------

_INDENT = "\n        "
_ON_ERROR = ("    except (KeyError, AttributeError, IndexError, ValueError, TypeError, ArithmeticError):\n"
             "        return None\n")


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
             body: Callable[[Template, str], list[str]] | None = None) -> Replay:
    """A replay of a capture.  body: writes the lines of the function that makes the result, by default `_result_lines`.

    Raises Refusal where there can be none, also where the guard does not hold after the call: the function has changed
    what it reads."""
    outputs: list[Node] = []
    tensors: list[Tensor] = []
    expression = Results(trace.guards.constant, _tensor_writer(trace, outputs, tensors),
                         trace.arguments.numbers).expression(result)
    template = Template(trace, outputs)
    looks = None
    computed, seen = trace.looks()
    if computed:
        looks = Looks(Template(trace, computed), [value(n).copy() for n in computed])
    if body is None:
        lines = _result_lines(trace, template, expression)
    else:
        lines = body(template, expression)
    enter, finish = _functions(trace, template, looks, seen, lines)
    failed = _first_failure(trace, args, kwargs)
    if failed is not None:
        raise Refusal(f"changes {failed}, which it reads")
    if enter(args, kwargs) is None:
        raise Refusal("changes a tensor or a mode that it reads")
    return Replay(enter, finish, None, trace.guards.tests, template)


def recording(trace: Trace, reason: str) -> Replay:
    """For calls that have to run the function: their guard is the structure of the arguments alone."""
    trace.forget()
    lines = [f"if {t.condition}: return None" for t in trace.guards.tests[:trace.argument_tests]]
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


def _functions(trace: Trace, template: Template, looks: Looks | None, seen: set[Node],
               body: list[str]) -> tuple[Callable, Callable]:
    """The guard function and the function that makes a result.  For f(x) = (x * 2).sum():

        def enter(args, kwargs):
            try:
                if grad.enabled is not True or interpreting.active or ...: return None
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
            call = Call(template, nodes)
            o0 = deferred(call, 0, face0)
            return o0
    """
    constant = trace.guards.constant
    lines = [f"if grad_mode.enabled is not {trace.grad_enabled} or interpreting.active or config.interpret "
             f"or get_default_dtype() is not {constant(get_default_dtype())} or tracing.traces and tracing.current() is not "
             "None: return None"]
    lines += [f"if {t.condition}: return None" for t in trace.guards.tests]
    for i, (given, leaf) in enumerate(zip(trace.inputs, template.leaves, strict=True)):
        used = leaf is not None or (looks is not None and looks.template.leaves[i] is not None)
        lines += _node_lines(i, given, used, constant)
        if given.node in trace.divisors:
            lines.append(f"if {given.name} == 0: return None")
        if given.node in seen:
            lines.append(_same_line(i, given, constant))
        lines += [f"if {constant(Positions(length))}.outside(n{i}): return None"
                  for node, length in sorted(trace.bounds, key=lambda b: b[1]) if node is given.node]
    nodes = _tuple([f"n{i}" for i in range(len(trace.inputs))])
    if looks is not None:
        lines.append(f"if {constant(looks)}.differ({nodes}): return None")
    given_back = [given.name for given in trace.inputs if given.kind in ("tensor", "number")]
    used_back = [name for name in given_back if any([f"{name}{end}" in body[-1] + " " for end in ",)]} "])]
    lines.append(f"return {nodes}, {_tuple(used_back)}")
    source = "def enter(args, kwargs):\n    try:\n        " + _INDENT.join(lines) + "\n" + _ON_ERROR
    source += "\ndef result(nodes, given):\n    " + "\n    ".join(
        [f"{_tuple(used_back)} = given"] * bool(used_back) + body) + "\n"
    namespace = trace.guards.namespace
    namespace["template"] = template
    enter, result = _define(source, namespace, ("enter", "result"))
    return enter, result


def _result_lines(trace: Trace, template: Template, expression: str) -> list[str]:
    """The body of `result`: see _functions."""
    constant = trace.guards.constant
    body = ["call = Call(template, nodes)"] if template.outputs else []
    for k, number in enumerate(template.outputs):
        face = template.nodes[number]
        if not face.inputs:             # a constant of the capture
            body.append(f"o{k} = wrap(input_node({constant(face)}.value, {constant(face)}.type))")
        elif not face.requires_grad:
            body.append(f"o{k} = plain_result(call, {k})")
        else:
            kind = "recorded" if template.interior else "deferred"
            body.append(f"o{k} = {kind}(call, {k}{'' if template.interior else ', ' + constant(face)})")
    return [*body, f"return {expression}"]


def _node_lines(i: int, given: Input, used: bool, constant: Callable[[Any], str]) -> list[str]:
    """How the guard function gets what is given for an input: its node, or the array itself."""
    spec = constant(given.spec)
    type_ = constant(given.spec.type)
    if given.kind == "number":
        return [f"n{i} = Node({spec}, (), False, 0, {given.name})"]
    if given.kind == "array":
        return [f"n{i} = a{i} if a{i}.flags.c_contiguous and a{i}.flags.aligned else copied(a{i}, order='C')"]
    if given.kind == "float":
        return [f"n{i} = copied(a{i})"]
    if given.kind == "leaf":
        return [f"m{i} = a{i}._node if a{i}._storage is None else a{i}._current()",
                f"if m{i}.requires_grad or not same_type(m{i}.spec.type, {type_}): return None",
                f"n{i} = value(m{i})",
                f"if n{i}.flags.c_contiguous is not {given.contiguous}: return None"]
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
        lines.append(f"if n{i}.value.flags.c_contiguous is not {given.contiguous}: return None")
    return lines


def _same_line(i: int, given: Input, constant: Callable[[Any], str]) -> str:
    """The test that an input whose value Python has seen is the same: a number by value, a small array by its contents,
    a large one by identity (arrays are immutable)."""
    node = given.node
    if given.kind == "number" or node is None:
        return f"if changed({given.name}, {constant(0.0 if node is None else node.value)}): return None"
    array = value(node)
    if array.nbytes <= SMALL:
        return f"if value_of(n{i}).tobytes() != {constant(array.tobytes())}: return None"
    return f"if n{i} is not {constant(weakref.ref(node))}(): return None"


def value_of(given: Any) -> np.ndarray:
    """The array of an input."""
    return value(given) if type(given) is Node else given


def _tuple(items: list[str]) -> str:
    return "(" + "".join([item + ", " for item in items]) + ")"


def _define(source: str, namespace: dict[str, Any], names: tuple[str, ...]) -> list[Callable]:
    scope = dict(_SCOPE)
    scope.update(namespace)
    exec(compile_source(source, "<jitgrad capture>", "exec"), scope)
    return [scope[name] for name in names]


def _first_failure(trace: Trace, args: tuple, kwargs: dict[str, Any]) -> str | None:
    """What the first test that fails is about."""
    scope = dict(_SCOPE)
    scope.update(trace.guards.namespace)
    scope.update(args=args, kwargs=kwargs)
    for test in trace.guards.tests:
        try:
            if eval(test.condition, scope):
                return test.about
        except (KeyError, AttributeError, IndexError, ValueError, TypeError):
            return test.about
    return None


def plain_result(call: Call, output: int) -> Tensor:
    """An output that needs no gradient: computed now."""
    array = call.look(output)
    if array is None:
        return recorded(call, output)
    template = call.template
    return wrap(input_node(array, template.nodes[template.outputs[output]].type))


compile_source = compile        # the built-in, which the public function below hides
_SCOPE: dict[str, Any] = {
    "grad_mode": grad_mode, "interpreting": interpreting, "config": config, "get_default_dtype": get_default_dtype, "tracing": tracing, "Node": Node, "value_of": value_of,
    "changed": changed, "same_type": same_type, "settled": settled, "Call": Call, "deferred": deferred,
    "recorded": recorded, "plain_result": plain_result, "wrap": wrap, "input_node": input_node,
    "value": value, "copied": np.array, "zeros": np.zeros}


# -- public ----------------------------------------------------------------------------------------------------------

def compile(model: Callable | None = None, *, fullgraph: bool = False, dynamic: bool | None = None,
            backend: Any = "inductor", mode: str | None = None, options: Any = None, disable: bool = False,
            strict: bool = False) -> Any:
    """A function that behaves as `model` does and is quicker: captured once for each structure of its arguments, then
    replayed without running its Python.

    model: a function, an nn.Module, or nothing (for use as a decorator).  Structure: the types, shapes and dtypes of tensors
    in nested dicts, lists and tuples; everything that is not a tensor or a float by value or identity.  What the function
    reads besides (globals, closures, modules' parameters and attributes) is guarded, and a change captures again.  Where a
    read or an effect cannot be guarded the function is called as it is; `jitgrad.explain` tells why, and `strict` (or
    `fullgraph`) makes it a RuntimeError.  The other arguments are torch.compile's and have no effect, but for `disable`.
    Raises TypeError for generator functions and coroutines."""
    if model is None:
        return functools.partial(compile, fullgraph=fullgraph, dynamic=dynamic, backend=backend, mode=mode, options=options,
                                 disable=disable, strict=strict)
    if not callable(model):
        raise TypeError(f"compile(): expected a function or a Module, got {type(model).__name__}")
    if disable:
        return model
    if inspect.isgeneratorfunction(model) or inspect.iscoroutinefunction(model) or inspect.isasyncgenfunction(model):
        raise TypeError(f"compile(): {getattr(model, '__qualname__', model)} is a generator or coroutine function, which "
                        "cannot be captured: compile the functions that it calls")
    if hasattr(model, "_jitgrad_compiled") and not hasattr(model, "_modules"):
        return model
    compiled = Compiled(model, strict or fullgraph)
    if hasattr(model, "_modules") and hasattr(model, "forward"):
        return _compiled_module(model, compiled)

    def run(*args: Any, **kwargs: Any) -> Any:
        replay = compiled.first             # the usual case of Compiled.call, without a further call
        if replay.result is not None and (found := replay.enter(args, kwargs)) is not None:
            compiled.hits += 1
            return replay.result(*found)
        return compiled.call(args, kwargs)

    functools.update_wrapper(run, model)
    run._jitgrad_compiled = compiled            # type: ignore[attr-defined]
    return run


def _compiled_module(model: Any, compiled: Compiled) -> Any:
    """A module of the same class that shares everything with `model` and is called through the captures."""
    cls = type(model)

    def run(self: Any, *args: Any, **kwargs: Any) -> Any:
        return compiled.call(args, kwargs)

    made = object.__new__(type(cls.__name__, (cls,), {"__call__": run, "__module__": cls.__module__, "__doc__": cls.__doc__,
                                                     "__qualname__": cls.__qualname__, "_jitgrad_compiled": compiled,
                                                     "_orig_mod": property(lambda self: model)}))
    object.__setattr__(made, "__dict__", model.__dict__)
    return made
