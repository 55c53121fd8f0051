"""One capture: run a function once while watching what it records, reads and does.

The function is called with its own arguments and records as always, except that nothing is computed at once (tracing.py).
A profile function sees each call: of the user's code, whose reads are guarded before it runs (guards/); of built-in
functions; and of those of this package that change something or draw random numbers.  So the first result is that of an
ordinary call, whatever comes of the capture.
"""
from __future__ import annotations

import gc
import sys
from collections.abc import Callable
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import numpy as np

from jitgrad import random, tracing
from jitgrad.autograd.function import Function
from jitgrad.autograd.reverse import engine, hooks
from jitgrad.capture.arrays import ArrayArgument, is_supported
from jitgrad.capture.guards.lines import Refusal
from jitgrad.capture.guards.objects import MAX_BYTES
from jitgrad.capture.guards.positions import Positions
from jitgrad.capture.guards.reads import Reads
from jitgrad.capture.guards.understood import (
    BY_COMPUTED_NAMES,
    DYNAMIC_NAMES,
    NUMPY,
    PACKAGE,
    belongs_to_library,
    impure,
    kind_of,
    of_package,
)
from jitgrad.capture.trees import Arguments
from jitgrad.graph.node import Node, topological
from jitgrad.graph.recording import grad_mode
from jitgrad.memory import buffers
from jitgrad.operators.conversion import data_ptr
from jitgrad.operators.views.layout import is_contiguous, layout
from jitgrad.operators.views.shape import view_shape
from jitgrad.ops import REGISTRY
from jitgrad.tensors.formatting import format_tensor, get_printoptions, set_printoptions
from jitgrad.tensors.tensor import Tensor, from_array
from jitgrad.types.dtype import set_default_dtype

# What of this package is not to be replayed: always, or where its first argument was there before the call.
FORBIDDEN: dict[CodeType, str] = {
    random.Generator.draw.__code__: "draws random numbers",
    random.randperm.__code__: "draws random numbers",       # of all functions that tracing.draws decorates
    random.Generator.manual_seed.__code__: "seeds a random generator",
    random.Generator.initial_seed.__code__: "asks for the seed of a random generator",
    format_tensor.__code__: "formats a tensor, by the settings for printing",
    set_printoptions.__code__: "sets how tensors are printed",
    get_printoptions.__code__: "asks how tensors are printed",
    Function.apply.__func__.__code__: "applies a Function whose backward is Python",                  # type: ignore
    hooks.register_hook.__code__: "registers a hook",
    hooks.register_post_accumulate_grad_hook.__code__: "registers a hook",
    hooks.retain_grad.__code__: "calls retain_grad()",
    set_default_dtype.__code__: "sets the default dtype",
    data_ptr.__code__: "asks where a tensor lies in memory",
    Tensor._version.fget.__code__: "asks for the version of a tensor",                                # type: ignore
}
CHANGES: dict[CodeType, str] = {
    Tensor._write.__code__: "writes to a tensor that it did not make",
    Tensor._write_private.__code__: "writes to a tensor that it did not make",
    Tensor._replace.__code__: "writes to a tensor that it did not make",
    Tensor._rebase.__code__: "writes to a tensor that it did not make",
    Tensor.requires_grad_.__code__: "sets requires_grad of a tensor that it did not make",
    Tensor.data.fset.__code__: "sets the data of a tensor that it did not make",                      # type: ignore
    Tensor.grad.fset.__code__: "sets the gradient of a tensor that it did not make",                  # type: ignore
    Tensor.grad.fget.__code__: "reads the gradient of a tensor that it did not make",                 # type: ignore
    engine.accumulate.__code__: "calls backward()",
}
REQUIRES_GRAD = Tensor.requires_grad_.__code__
LAYOUTS = (layout.__code__, is_contiguous.__code__)
SAME_ELEMENTS = {REGISTRY[name] for name in ("copy", "cast", "detach", "permute", "reshape", "slice", "squeeze", "unsqueeze")}
VIEWS = view_shape.__code__             # of all view operators; view() raises for some layouts


class Input:
    """What a replay takes anew: a tensor that was there before the call, an array or a number.  `name`: in the guard
    function; kind: "tensor", "number", "ndarray", or, of what value_and_grad makes leaves of, "array", "float", "leaf"."""

    def __init__(self, name: str, tensor: Tensor | None, node: Node, kind: str = "tensor") -> None:
        self.name = name
        self.kind = kind
        self.tensor = tensor                # until the capture is over, as is the node
        self.node: Node | None = node
        self.spec = node.spec
        self.requires_grad = node.requires_grad
        leaf = None if node.extra is None else node.extra.leaf
        self.interior = node.requires_grad and (bool(node.inputs) or leaf is None)
        self.strides = None if type(node.value) is not np.ndarray or node.value.flags.c_contiguous else node.value.strides
        self.layout: tuple | None = None    # if something depended on it
        self.small = self.spec.type.size * self.spec.type.dtype.itemsize < buffers.LARGE


class Trace(tracing.TraceNotes):
    """The capture of one call.  After `run`: `reason` (why there is no replay) or inputs, reads and what they are about.

    dynamic: the places of the floats that are inputs; None: all floats and arrays are guarded by value."""

    def __init__(self, function: Callable, dynamic: set[str] | None) -> None:
        super().__init__()
        self.function = function
        self.inputs: list[Input] = []
        self.numbers: dict[Node, int] = {}              # of the inputs, by node
        self.bounds: dict[tuple[Node, int, int, int | None], None] = {}     # inputs whose elements are positions
        self.divisors: set[Node] = set()                # numbers that something is divided by
        self.guards = Reads(self._tensor)
        self.arrays: dict[Node, ArrayArgument] = {}     # that are inputs, by node
        self.compared: list[tuple[str, np.ndarray]] = []    # arrays among the arguments that are guarded by their contents
        self.arguments = Arguments(self.guards, self._tensor, self._number, self._array, dynamic or set())
        self.given_arrays = False                       # whether there are some that can be inputs
        self.large: str | None = None                   # the place of one that is too large to be compared
        self.argument_tests = 0                         # how many of the tests are on the arguments
        self.grad_enabled = grad_mode.enabled
        self.stood_in: list[tuple[Any, Any, str]] = []  # after the call, see release.py
        self._by_tensor: dict[int, Input] = {}
        self.by_array: dict[int, ArrayArgument] = {}
        self._by_value = dynamic is None
        self._kinds: dict[CodeType, str] = {}

    # -- inputs ------------------------------------------------------------------------------------------------------

    def _tensor(self, expression: str, tensor: Tensor, about: str) -> None:
        known = self._by_tensor.get(id(tensor))
        if known is not None:
            self.guards.test(f"{expression} is not {known.name}", about)
            return
        if tensor._grad is not None and "grad" in self.guards.names:
            raise Refusal(f"reads the gradient of {about}")
        name = f"t{len(self.inputs)}"
        self.guards.test(f"type({name} := {expression}) is not {self.guards.constant(type(tensor))}", about)
        self.add(Input(name, tensor, tensor._current()))
        self.guards.add_tensor(name, tensor, about)

    def _number(self, name: str, node: Node) -> None:
        self.add(Input(name, None, node, "number"))

    def _array(self, expression: str, array: np.ndarray, place: str) -> Any:
        """What stands for an array in the call; the array itself if that is guarded by its contents."""
        constant = self.guards.constant
        structure = f"type({expression}) is not {constant(np.ndarray)}"
        known = self.by_array.get(id(array))
        if known is not None:
            self.guards.test(f"{expression} is not {known.name}", place, structure)
            return known.stand_in
        self.given_arrays = self.given_arrays or is_supported(array)
        if self._by_value or not is_supported(array):
            name = f"b{len(self.compared)}"
            self.guards.test(f"({name} := {expression}) is None", place)
            if array.nbytes > MAX_BYTES and is_supported(array):
                self.large = place          # there is to be no replay with it by value
                self.guards.test(f"type({name}) is not {constant(np.ndarray)}", place)
            else:
                self.guards.contents(name, array, place)
            self.compared.append((name, array))
            return array
        name = f"a{len(self.inputs)}"
        kind = constant(array.dtype)
        self.guards.test(f"type({name} := {expression}) is not {constant(np.ndarray)} or {name}.dtype is not {kind} and "
                         f"{name}.dtype != {kind} or {name}.shape != {array.shape}", place, structure)
        node = from_array(np.array(array, order="C"))._node
        known = self.arrays[node] = self.by_array[id(array)] = ArrayArgument(name, place, array, node)
        self.add(Input(name, None, node, "ndarray"))
        return known.stand_in

    def array_read(self, node: Node) -> None:
        """See tracing.TraceNotes: replays compare the contents."""
        given = self.arrays.get(node)
        if given is None:
            self.refuse("reads a NumPy array that another capture was called with")
            return
        if given.read is not None:
            return
        given.read = _line(sys._getframe(1))
        given.memory = True             # who has the array itself may ask for its strides, or fail to write to it
        self.reads.append(node)
        if given.array.nbytes > MAX_BYTES:
            self.refuse(f"reads {given.place} as a NumPy array, which is too large to be compared at each call: make it a "
                        "tensor")

    def array_layout(self, node: Node) -> None:
        """See tracing.TraceNotes: replays compare it."""
        if node in self.arrays:
            self.arrays[node].memory = True
        else:
            self.refuse("reads a NumPy array that another capture was called with")

    def add(self, given: Input) -> None:
        """Take an input."""
        if given.node is not None:
            self.numbers.setdefault(given.node, len(self.inputs))
        self.inputs.append(given)
        if given.tensor is not None:
            self._by_tensor[id(given.tensor)] = given

    def looks(self) -> tuple[list[Node], set[Node]]:
        """What Python saw: computed values that depend on inputs, and inputs."""
        computed: dict[Node, None] = {}
        seen: set[Node] = set()
        for node in dict.fromkeys(self.reads):
            if node in self.numbers:
                seen.add(node)
            elif any([n in self.numbers for n in topological([node], lambda n: () if n in self.numbers else n.inputs)]):
                computed[node] = None
        return list(computed), seen

    def forget(self) -> None:
        """The capture is over: let go of tensors and nodes."""
        for given in self.inputs:
            given.tensor = given.node = None

    def input_of(self, tensor: Tensor) -> Input | None:
        """The input that a tensor is."""
        return self._by_tensor.get(id(tensor))

    def shares_storage(self, tensor: Tensor) -> bool:
        """Whether a tensor is a view of an input, or one."""
        storage = tensor._storage
        return id(tensor) in self._by_tensor or (storage is not None and any(
            [i.tensor is not None and i.tensor._storage is storage for i in self.inputs]))

    def _layout_matters(self, tensor: Tensor) -> None:
        """Something depends on how a tensor lies in memory: that of the inputs that it is, or is a view of, is guarded."""
        for given in self.inputs:
            own = given.tensor
            if own is not None and given.kind == "tensor" and (own is tensor or (
                    own._storage is not None and own._storage is tensor._storage)):
                given.layout = layout(own)

    # -- the call ----------------------------------------------------------------------------------------------------

    def prepare(self, args: tuple, kwargs: dict[str, Any]) -> tuple[tuple, dict[str, Any]] | None:
        """Describe and mark the arguments; those to call the function with, or None if there can be no replay."""
        try:
            try:
                prepared = self.arguments.describe(args, kwargs)
            finally:
                self.argument_tests = len(self.guards.tests)
            self.guards.reach(self.function, getattr(self.function, "__qualname__", "the function"), True)
            return prepared
        except Refusal as refusal:
            self.reason = str(refusal)
            return None

    def run(self, args: tuple, kwargs: dict[str, Any]) -> Any:
        """Call the function on prepared arguments; its result, as it is.  What it raises is raised."""
        return tracing.traced(self, self._watched, args, kwargs)

    def _watched(self, args: tuple, kwargs: dict[str, Any]) -> Any:
        """The call with the profile function set, and without the collector: its callbacks, and the finalizers of what it
        finds, are not the function's.

        Both come back whatever happens.  An exception out of a signal handler comes out of a call of a built-in function after
        this has returned.  But a call that is told to a profile function in Python may raise it before: then CPython takes that
        function away, and the call never happens.  So calls follow each other in nested `finally`, the first of which takes the
        profile function away or has it taken away; the following ones are told to nobody."""
        profile, event = sys.getprofile(), self._event
        collecting = gc.isenabled()
        try:
            gc.disable()
            sys.setprofile(event)
            result = self.function(*args, **kwargs)
            if sys.getprofile() != event:       # somebody has caught what a signal handler raised in it, or set another one
                self.refuse("was not watched to its end")
            return result
        finally:
            try:
                sys.setprofile(None)
            finally:
                try:
                    if collecting:
                        gc.enable()
                finally:
                    sys.setprofile(profile)

    def refuse(self, reason: str) -> None:
        """There will be no replay.  The first reason counts; the user's line is put to it."""
        if self.reason is None:
            self.reason = f"{reason} ({_line(sys._getframe(1))})"

    def positions(self, node: Node, low: int, high: int, also: int | None = None) -> bool:
        """See tracing.TraceNotes: of inputs and of parts of them they do.  The look at their values is not noted."""
        while node not in self.numbers and node.spec.op in SAME_ELEMENTS and node.inputs[0].type.dtype.category == 1:
            node = node.inputs[0]           # of which the node's elements are some
        if node not in self.numbers or node.value is None or Positions(low, high, also).outside(node.value):
            return False
        self.bounds[node, low, high, also] = None
        return True

    def _event(self, frame: FrameType, event: str, argument: Any) -> None:
        if self.reason is not None:
            return
        if event == "call":
            code = frame.f_code
            kind = self._kinds.get(code)
            if kind is None:
                module = frame.f_globals.get("__name__", "")
                made = code.co_filename == "<string>" and (module.startswith("namedtuple_") or belongs_to_library(module))
                kind = self._kinds[code] = "pure" if made else kind_of(code)
            if kind == "user":
                try:
                    self.guards.run(code, frame.f_globals, frame.f_locals)
                except Refusal as refusal:
                    self.refuse(str(refusal))
            elif kind == "package":
                if code in LAYOUTS:
                    self._layout_matters(frame.f_locals["tensor"])
                elif code is VIEWS and frame.f_locals["schema"].name == "view":
                    self._layout_matters((*frame.f_locals["args"], frame.f_locals["kwargs"].get("input"))[0])
                elif code in FORBIDDEN:
                    self.refuse(FORBIDDEN[code])
                elif code in CHANGES:
                    changed = frame.f_locals.get("self", frame.f_locals.get("tensor"))
                    own = self.input_of if code is REQUIRES_GRAD else self.shares_storage       # a view's flag is its own
                    if isinstance(changed, Tensor) and own(changed):
                        self.refuse(CHANGES[code])
                elif not of_package(code) and frame.f_back is not None and self._kinds.get(frame.f_back.f_code) == "user":
                    self.refuse(f"calls {code.co_name}()")
            elif kind == "pure" and code.co_filename.endswith(BY_COMPUTED_NAMES):
                self._everything()
            elif kind == "impure" and self._asked_for(frame):
                self.refuse(f"calls {code.co_name}() of {Path(code.co_filename).stem}")
        elif event == "c_call" and self._kinds.get(frame.f_code) == "user":
            self._builtin(argument)

    def divisor(self, node: Node) -> bool:
        """See tracing.TraceNotes: of arguments they do."""
        if node not in self.numbers:
            return False
        self.divisors.add(node)
        return True

    def _asked_for(self, frame: FrameType | None) -> bool:
        """Whether a function of the standard library runs for the user, not for this package or NumPy."""
        while frame is not None and kind_of(frame.f_code) == "impure":
            frame = frame.f_back
        return frame is None or (kind_of(frame.f_code) != "package" and not frame.f_code.co_filename.startswith(NUMPY))

    def _everything(self) -> None:
        """Attributes are read by computed names."""
        try:
            self.guards.everything()
        except Refusal as refusal:
            self.refuse(str(refusal))

    def _builtin(self, function: Any) -> None:
        if getattr(function, "__name__", "?") in DYNAMIC_NAMES:
            self._everything()
        if (name := impure(function)) is not None:
            self.refuse(f"calls {name}")


def _line(frame: FrameType | None) -> str:
    while frame is not None:
        name = frame.f_code.co_filename
        if not name.startswith(PACKAGE) and kind_of(frame.f_code) == "user":
            return f"{Path(name).name}:{frame.f_lineno}, in {frame.f_code.co_name}"
        frame = frame.f_back
    return "?"
