"""compile, value_and_grad and grad: what they return, and how a call finds the capture that it may replay."""
from __future__ import annotations

import functools
import inspect
import threading
from collections.abc import Callable, Sequence
from types import FunctionType
from typing import Any

import numpy as np

from jitgrad import executor, tracing
from jitgrad.capture.guards import Guards, Refused, running
from jitgrad.capture.replay import Joint, Template, Values, deferred
from jitgrad.capture.trees import Floats, Slots, is_number_array, leaves, mapped, untraced
from jitgrad.config import config, logger
from jitgrad.dtype import get_default_dtype
from jitgrad.executor import interpreting
from jitgrad.graph import SCALAR, Node, grad_mode, input_node, topological
from jitgrad.tensor import Tensor, from_array, wrap

MAX_VARIANTS = 16       # captures of one function that are kept
MAX_REFUSALS = 8        # calls that could not be captured, one after the other, until no more are tried
_ABSENT = object()


class Variant:
    """One capture: `check(args, kwargs)` gives the slots of a call that it serves, or None."""

    def __init__(self, check: Callable[[tuple, dict], list | None], template: Template, result: Any) -> None:
        self.check = check
        self.template = template
        self.recording = grad_mode.enabled
        self.default = get_default_dtype()
        self.result = result            # the result's tree, numbers in place of tensors
        self.joint: Joint | None = None
        self.looks: Values | None = None        # what Python branched on, and its values in this capture
        self.seen: list[Any] = []
        self.values: Values | None = None
        self.shown: Node | None = None  # what the result's type is read from until its graph is made
        roots = [template.nodes[i - template.count] for i in template.results]
        if not any([n.requires_grad for n in roots]):
            self.values = Values(template)
        elif len(roots) == 1 and roots[0].spec.type.size == 1:
            self.joint, self.shown = Joint(template), Node(roots[0].spec, (), True, 1)
        self.alone = self.joint is not None and type(result) is _Number

    def serves(self, slots: list) -> bool:
        """Whether what Python branched on is what it was."""
        if self.looks is None:
            return True
        found = [t._array().item() for t in self.looks.run([n if type(n) is Node else _leaf(n) for n in slots])]
        return all([a == b or (a != a and b != b) for a, b in zip(found, self.seen, strict=True)])


class _Number:
    """The place of a tensor in a result's tree."""

    __slots__ = ("number",)

    def __init__(self, number: int) -> None:
        self.number = number


class Compiled:
    """A function that is captured once for each structure of its arguments, then replayed without being called.

    Its results are tensors as they would be without compile: backward(), hooks, create_graph, further operations all
    work.  What it reads besides its arguments (globals, closures, modules' parameters and settings) is tested at each
    call, and captured anew when it has changed; a function that reads what cannot be tested, draws random numbers or
    writes to something that outlives the call is recorded at each call instead, and `explain` says why."""

    is_jitgrad_compiled = True

    def __init__(self, fn: Callable, strict: bool = False) -> None:
        functools.update_wrapper(self, fn, updated=())
        self._fn = fn
        self._strict = strict
        self._variants: list[Variant] = []
        self._reasons: list[str] = []
        self._refusals = 0
        self._lock = threading.Lock()
        self.captures = 0

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if tracing.traces and tracing.current() is not None:
            return self._fn(*args, **kwargs)        # inside another capture: part of it
        recording, default = grad_mode.enabled, get_default_dtype()
        for variant in self._variants:
            if variant.recording is recording and variant.default is default:
                slots = variant.check(args, kwargs)
                if slots is not None and (variant.looks is None or variant.serves(slots)):
                    if variant.alone:
                        return deferred(variant.joint, slots, variant.shown)        # type: ignore[arg-type]
                    return _replay(variant, slots)
        if self._refusals >= MAX_REFUSALS:
            return self._fn(*args, **kwargs)
        return self._capture(args, kwargs)

    def __get__(self, owner: Any, kind: type | None = None) -> Any:
        return self if owner is None else functools.partial(self, owner)

    def _capture(self, args: tuple, kwargs: dict) -> Any:
        """Call the function, and keep what it recorded if that can be replayed."""
        floats = Floats()
        args = tuple([floats.traced(v) for v in args])
        kwargs = {name: floats.traced(v) for name, v in kwargs.items()}
        with tracing.tracing() as trace:
            result, codes = running(lambda: self._fn(*args, **kwargs))
            result = untraced(result)
        try:
            if floats.written_back():
                raise Refused("it changes a list or dict that it was given")
            variant = _variant(self._fn, args, kwargs, result, trace, codes)
        except Refused as reason:
            self._refused(str(reason))
        else:
            with self._lock:
                self.captures += 1
                self._refusals = 0
                self._variants = [variant, *self._variants[:MAX_VARIANTS - 1]]
        return result

    def _refused(self, reason: str) -> None:
        if self._strict:
            raise RuntimeError(f"jitgrad.compile(strict=True): {self._name()} cannot be replayed: {reason}")
        with self._lock:
            self._refusals += 1
            if reason not in self._reasons:
                self._reasons = [*self._reasons[-7:], reason]
                logger.info("%s is recorded at each call: %s", self._name(), reason)

    def _name(self) -> str:
        return getattr(self._fn, "__qualname__", type(self._fn).__name__)

    def explanation(self) -> str:
        """What was captured, and why calls were recorded instead."""
        lines = [f"{self._name()}: {len(self._variants)} captures kept, {self.captures} made"]
        for k, variant in enumerate(self._variants):
            made = variant.template.nodes
            how = "value and gradient in one program" if variant.joint is not None else \
                "values computed at once" if variant.values is not None else "several results, recorded from the capture"
            lines.append(f"  capture {k}: {variant.template.count} arrays in, "
                         f"{len([n for n in made if n.inputs])} operations; {how}")
        lines += [f"  recorded at each call: {reason}" for reason in self._reasons]
        return "\n".join(lines)

    def __repr__(self) -> str:
        return f"<jitgrad.compile of {self._name()}>"


# -- capturing -------------------------------------------------------------------------------------------------------

def _variant(fn: Callable, args: tuple, kwargs: dict, result: Any, trace: tracing.Trace, codes: Sequence[Any],
             wrap_leaf: Callable[[Slots, Any, str], bool] | None = None) -> Variant:
    """The capture of a call that has just been made.  Raises Refused."""
    if trace.reason is not None:
        raise Refused(trace.reason)
    guards = Guards()
    guards.attributes_of(codes)
    slots = Slots(guards)
    guards.test(f"len(args) == {len(args)} and len(kwargs) == {len(kwargs)}")
    taking = None if wrap_leaf is None else functools.partial(wrap_leaf, slots)
    for i, value in enumerate(args):
        slots.take(value, f"args[{i}]", f"argument {i}", taking)
    for name, value in kwargs.items():
        slots.take(value, f"kwargs[{name!r}]", f"argument {name}", taking)
    if isinstance(fn, FunctionType):
        guards.function(fn)
    else:
        guards.value(fn, guards.constant(fn), getattr(fn, "__qualname__", type(fn).__name__))
    guards.cover(codes)
    own = set(slots.nodes)
    for tensor, where in list(guards.tensors.values()):         # what the function reads besides its arguments
        node = tensor._current()
        if node not in own:
            slots.tensor(tensor, where, "a tensor read by name")
    _check_notes(trace, slots, guards, args, kwargs)
    found = [t for t in leaves(result) if isinstance(t, Tensor)]
    roots = [_result_node(t, slots) for t in found]
    if len(set(roots)) != len(roots):
        raise Refused("it returns one tensor twice")
    numbers = iter(range(len(found)))
    tree = mapped(result, lambda v: _Number(next(numbers)) if isinstance(v, Tensor) else _plain(v))
    looks, seen = _looks(trace, slots)
    variant = Variant(_checker(guards, slots.names), Template(roots, slots.numbers, len(slots.nodes)), tree)
    if looks:
        variant.looks, variant.seen = Values(Template(looks, slots.numbers, len(slots.nodes))), seen
    return variant


def _checker(guards: Guards, names: list[str]) -> Callable[[tuple, dict], list | None]:
    """The function that takes a call apart:

        def check(args, kwargs):
            try:
                if not (len(args) == 1 and len(kwargs) == 0): return None
                t = args[0]
                if not (type(t) is C0): return None
                ...
            except (KeyError, IndexError, AttributeError, TypeError, ValueError):
                return None
            return [n0]
    """
    body = "\n".join(["        " + line for line in guards.lines])
    source = ("def check(args, kwargs):\n    try:\n" + body + "\n    except (KeyError, IndexError, AttributeError, "
              f"TypeError, ValueError):\n        return None\n    return [{', '.join(names)}]\n")
    exec(compile_(source, "<jitgrad capture>", "exec"), guards.names)
    return guards.names["check"]


compile_ = compile


def _result_node(tensor: Tensor, slots: Slots) -> Node:
    if tensor._storage is not None and (tensor._chain or tensor._storage.node in slots.numbers):
        raise Refused("it returns a view")
    node = tensor._current()
    if node in slots.numbers:
        raise Refused("it returns a tensor that it was given")
    if type(tensor) is not Tensor or not node.inputs:
        raise Refused("it returns a tensor that does not depend on what it was given")
    return node


def _plain(value: Any) -> Any:
    """A result that is no tensor: the same at each replay, so it must be what nobody can change."""
    if value is None or type(value) in (bool, int, float, str, complex, bytes):
        return value
    raise Refused(f"it returns a {type(value).__name__}")


def _check_notes(trace: tracing.Trace, slots: Slots, guards: Guards, args: tuple, kwargs: dict) -> None:
    """Refuse writes to what outlives the call."""
    given = [t for t in [*leaves(list(args)), *leaves(kwargs), *[t for t, _ in guards.tensors.values()]]
             if isinstance(t, Tensor)]
    storages = {id(t._storage) for t in given if t._storage is not None}
    if any([id(s) in storages for s in trace.written]):
        raise Refused("it writes to a tensor that outlives the call")


def _looks(trace: tracing.Trace, slots: Slots) -> tuple[list[Node], list[Any]]:
    """The values that Python looked at and that may differ at a replay: their nodes, and what they were.

    Those of arguments become tests at once."""
    nodes: dict[Node, Any] = {}
    for node in trace.reads:
        if node in nodes or not any([n in slots.numbers for n in topological([node])]):
            continue
        if node.type.size != 1:
            raise Refused(f"Python looks at the values of a tensor of shape {list(node.type.shape)} in it")
        value = node.value if node.spec.op is SCALAR else executor.value(node).item()
        if node in slots.numbers:
            same = f"{slots.names[slots.numbers[node]]}.value"
            unlike = f" or {same} != {same}" if value != value else ""
            slots.guards.test(f"{same} == {slots.guards.constant(value)}{unlike}")
        else:
            nodes[node] = value
    return list(nodes), list(nodes.values())


# -- replaying -------------------------------------------------------------------------------------------------------

def _replay(variant: Variant, slots: list[Node]) -> Any:
    joint = variant.joint
    if joint is not None:
        tensors = [deferred(joint, slots, variant.shown)]       # type: ignore[arg-type]
    elif variant.values is not None:
        tensors = variant.values.run(slots)
    else:
        tensors = [wrap(node) for node in variant.template.instantiate(slots)]
    if type(variant.result) is _Number:
        return tensors[0]
    return mapped(variant.result, lambda v: tensors[v.number] if type(v) is _Number else v)


# -- the public functions --------------------------------------------------------------------------------------------

def compile(model: Callable | None = None, *, strict: bool = False, fullgraph: bool = False, dynamic: bool | None = None,
            backend: Any = None, mode: str | None = None, options: dict | None = None, disable: bool = False) -> Any:
    """Capture a function (or nn.Module, or as a decorator) once for each structure of its arguments, then replay it.

    strict: raise RuntimeError, naming what is in the way, where a call could only be recorded anew; fullgraph is the same
    under torch.compile's name.  disable: return the function itself.  dynamic, backend, mode and options are accepted for
    PyTorch's sake and change nothing.  Raises TypeError for what cannot be called, and for coroutines and generators."""
    if model is None:
        return functools.partial(compile, strict=strict, fullgraph=fullgraph, disable=disable)
    if not callable(model):
        raise TypeError(f"jitgrad.compile(): expected a function or an nn.Module, but got {type(model).__name__}")
    if inspect.iscoroutinefunction(model) or inspect.isgeneratorfunction(model) or inspect.isasyncgenfunction(model):
        raise TypeError(f"jitgrad.compile(): {model.__qualname__} is a coroutine or generator, whose calls cannot be replayed")
    return model if disable else Compiled(model, strict or fullgraph)


class ValueAndGrad:
    """What value_and_grad returns."""

    def __init__(self, fn: Callable, argnums: int | Sequence[int], has_aux: bool, with_value: bool) -> None:
        functools.update_wrapper(self, fn, updated=())
        self._fn = fn
        self._one = isinstance(argnums, int)
        self._argnums = (argnums,) if isinstance(argnums, int) else tuple(argnums)
        if not self._argnums or any([isinstance(i, bool) or not isinstance(i, int) for i in self._argnums]):
            raise TypeError(f"argnums must be an int or a sequence of ints, but got {argnums!r}")
        self._has_aux = has_aux
        self._with_value = with_value
        self._variants: list[tuple[Variant, Any, Any]] = []
        self._refusals = 0
        self.captures = 0

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        default = get_default_dtype()
        for variant, gradients, numeric in self._variants:
            if variant.default is default:
                slots = variant.check(args, kwargs)
                if slots is not None and (variant.looks is None or variant.serves(slots)):
                    return self._run(variant, gradients, numeric, slots)
        return self._call(args, kwargs)

    def _run(self, variant: Variant, gradients: Any, numeric: bool, slots: list[Any]) -> Any:
        joint = variant.joint
        assert joint is not None
        if joint.stale() or interpreting.active or config.interpret:
            arrays = self._first(variant, joint, [n if type(n) is Node else _leaf(n) for n in slots])
        else:
            arrays = joint.run([n.value if type(n) is Node else n for n in slots])
        if type(gradients) is tuple and len(gradients) == 1 and type(gradients[0]) is _Gradient:
            shown: Any = (gradients[0].of(joint.position, arrays),)
        else:
            shown = mapped(gradients, lambda leaf: leaf.of(joint.position, arrays))
        return self._finished(arrays[0], shown, numeric)

    @staticmethod
    def _first(variant: Variant, joint: Joint, nodes: list[Node]) -> list[np.ndarray | None]:
        """A run that makes the program first, or is interpreted."""
        if joint.ready(nodes):
            return joint.run([n.value for n in nodes])
        [root] = variant.template.instantiate(nodes)
        found = executor.plain_backward(root)
        assert found is not None
        joint.position = {nodes.index(n): k + 1 for k, n in enumerate(found[0])}
        return [executor.value(root), *found[1]]

    def _finished(self, value: np.ndarray | None, gradients: Any, numeric: bool) -> Any:
        assert value is not None
        shown = gradients[0] if self._one else gradients
        if not self._with_value:
            return shown
        return (value[()] if numeric else from_array(value)), shown

    def _call(self, args: tuple, kwargs: dict) -> Any:
        """Call the function on leaves of its own, and keep what it recorded if that can be replayed."""
        name = getattr(self._fn, "__qualname__", type(self._fn).__name__)
        for i in self._argnums:
            if not -len(args) <= i < len(args):
                raise TypeError(f"value_and_grad of {name}: argument {i} is to be differentiated, but {len(args)} were given")
        wanted = {i % len(args) for i in self._argnums}
        made: list[tuple[Tensor, Any]] = []

        def leaf(value: Any) -> Any:
            if isinstance(value, Tensor):
                tensor = wrap(input_node(value._array(), value._node.type))
            elif is_number_array(value):
                tensor = from_array(np.asarray(value).copy() if isinstance(value, np.ndarray) else np.asarray(value))
            else:
                raise TypeError(f"value_and_grad of {name}: a differentiated argument holds a {type(value).__name__}; it "
                                "takes tensors, floating-point arrays and floats")
            if tensor.dtype.category != 2:
                raise TypeError(f"value_and_grad of {name}: a differentiated argument holds {tensor.dtype!r}; gradients "
                                "are of floating point")
            made.append((tensor.requires_grad_(), value))
            return made[-1][0]

        given = tuple([mapped(v, leaf) if i in wanted else v for i, v in enumerate(args)])
        enabled, grad_mode.enabled = grad_mode.enabled, True
        try:
            with tracing.tracing() as trace:
                result, codes = running(lambda: self._fn(*given, **kwargs))
        finally:
            grad_mode.enabled = enabled
        value, aux = result if self._has_aux else (result, None)
        if not isinstance(value, Tensor) or value._current().type.size != 1:
            raise TypeError(f"value_and_grad of {name}: expected a scalar tensor, but got "
                            f"{tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__}")
        numeric = all([not isinstance(v, Tensor) for _, v in made])
        by_leaf = {tensor: _Gradient(-1, v) for tensor, v in made}
        tree = mapped(tuple([given[i] for i in self._argnums]), by_leaf.__getitem__)
        if not self._has_aux and self._refusals < MAX_REFUSALS and value._current().requires_grad:
            self._keep(args, kwargs, given, value, trace, codes, tree, by_leaf, numeric)
        if value._current().requires_grad:
            value.backward()
        arrays = {id(g): None if tensor._grad is None else tensor._grad._array() for tensor, g in by_leaf.items()}
        gradients = mapped(tree, lambda g: g.shown(arrays[id(g)]))
        found = self._finished(value._array(), gradients, numeric)
        return (found, aux) if self._has_aux and not self._with_value else ((found[0], aux), found[1]) if self._has_aux \
            else found

    def _keep(self, args: tuple, kwargs: dict, given: tuple, value: Tensor, trace: tracing.Trace, codes: Sequence[Any],
              tree: Any, by_leaf: dict[Tensor, _Gradient], numeric: bool) -> None:
        sources = {id(g.like): tensor for tensor, g in by_leaf.items()}

        def wrap_leaf(slots: Slots, leaf: Any, where: str) -> bool:
            tensor = sources.get(id(leaf))
            if tensor is None:
                return False
            g = by_leaf[tensor]
            if isinstance(leaf, Tensor):
                if leaf._node.inputs or not leaf._array().flags.c_contiguous:
                    raise Refused("a differentiated argument is part of a graph, or not contiguous")
                k = len(slots.nodes)
                slots.guards.lines.append(f"t = {where}")
                slots.guards.test(f"type(t) is {slots.guards.constant(type(leaf))}")
                slots.guards.lines.append(f"n{k} = t._array()")
                slots.guards.test(f"t._node.type is {slots.guards.constant(leaf._node.type)} and "
                                  f"n{k}.flags.c_contiguous")
                slots._add(tensor._current(), f"n{k}")
            else:
                slots.array(tensor, leaf, where)
            g.slot = len(slots.nodes) - 1
            return True

        try:
            if any([isinstance(v, np.ndarray) and not v.flags.c_contiguous for v in sources.values()]):
                raise Refused("an argument is not contiguous")
            variant = _variant(self._fn, args, kwargs, value, trace, codes, wrap_leaf)
        except Refused as reason:
            self._refusals += 1
            logger.info("%s is recorded at each call: %s", getattr(self._fn, "__qualname__", self._fn), reason)
            return
        if variant.joint is None:
            return
        self.captures += 1
        self._refusals = 0
        self._variants = [(variant, tree, numeric), *self._variants[:MAX_VARIANTS - 1]]


class _Gradient:
    """Where a gradient comes from, and the argument that it belongs to."""

    def __init__(self, slot: int, like: Any) -> None:
        self.slot = slot
        self.like = like
        self.numeric = not isinstance(like, Tensor)
        self.shape = np.shape(like) if self.numeric else like.shape
        self.dtype = np.asarray(like).dtype if self.numeric else like.dtype.np

    def of(self, position: dict[int, int], arrays: list[np.ndarray | None]) -> Any:
        """The gradient as users get it, from a run's results; position: of each slot's gradient among them."""
        k = position.get(self.slot)
        return self.shown(None if k is None else arrays[k])

    def shown(self, array: np.ndarray | None) -> Any:
        """NumPy for NumPy, a number for a number, a tensor for a tensor; zeros where there is no path."""
        if array is None:
            array = np.zeros(self.shape, self.dtype)
        return (array if array.ndim else array[()]) if self.numeric else from_array(array)


def _leaf(array: np.ndarray) -> Node:
    return from_array(array).requires_grad_()._current()


def value_and_grad(fn: Callable, argnums: int | Sequence[int] = 0, has_aux: bool = False) -> Callable:
    """A function that returns fn's value and its gradient with respect to the arguments `argnums`.

    fn returns a scalar tensor, or with has_aux a pair (scalar, anything), and then so does the result: ((value, aux),
    gradients).  Differentiated arguments are tensors, NumPy arrays, floats, or trees of them; gradients have the same
    structure and kind: NumPy for NumPy (then the value is a NumPy scalar, as scipy.optimize wants it with jac=True).
    Captured once for each structure and replayed as `compile` does."""
    return ValueAndGrad(fn, argnums, has_aux, True)


def grad(fn: Callable, argnums: int | Sequence[int] = 0, has_aux: bool = False) -> Callable:
    """As value_and_grad, the gradients only; with has_aux (gradients, aux)."""
    return ValueAndGrad(fn, argnums, has_aux, False)
