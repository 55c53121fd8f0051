"""compile and interpret, and what a compiled function keeps.

A compiled function keeps a few captures (`Replay`), the one used last first.  A call tries each one's guard; where none
holds, the function is captured again, or, where a capture said that it cannot be replayed, called as it is.
"""
from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar, overload

from jitgrad import tracing
from jitgrad.capture.callables import Made, remade
from jitgrad.capture.double_capture import same_call, same_result
from jitgrad.capture.guard_code import NOTHING, Replay, generate, recording, replay_of
from jitgrad.capture.guards.lines import changed
from jitgrad.capture.release import let_go, release
from jitgrad.capture.trace import Trace
from jitgrad.capture.trees import parts, plain
from jitgrad.config import config, logger
from jitgrad.requests.schedule_cache import compiling_thread, interpreting

_F = TypeVar("_F", bound=Callable[..., Any])
MAX_CAPTURES = 32           # structures of one function that are kept
MAX_MISSES = 64             # captures of one function while replays are not more than they
MAX_KEPT = 4                # captures that are still tried once there have been so many
MAX_RETRIES = 8             # captures of a function after ones that found it changing what it reads
_capturing = False          # whether some thread captures a function


@contextmanager
def interpret() -> Iterator[None]:
    """Evaluate with NumPy, node by node, all gradients that this thread asks for inside the `with`."""
    before = interpreting.active
    interpreting.active = True          # by stores: see recording.in_grad_mode
    compiling_thread[0] = 0
    try:
        yield
    finally:
        interpreting.active = before
        compiling_thread[0] = 0


class Compiled:
    """The state of one compiled function."""

    def __init__(self, function: Callable, strict: bool) -> None:
        self.function = function
        self.strict = strict
        self.replays: list[Replay] = []
        self.captures = 0
        self.hits = 0
        self._hits_before = 0               # at the last capture
        self._counted = 0, 0                # captures and hits when the balance was last drawn
        self.first = NOTHING
        self.name = getattr(function, "__qualname__", type(function).__name__)
        self._floats: dict[str, float] = {}
        self._dynamic: set[str] = set()
        self._retries = MAX_RETRIES
        self._by_value = False              # all floats and arrays, since the function is misled by stand-ins

    def call(self, args: tuple, kwargs: dict[str, Any]) -> Any:
        """Replay or capture."""
        global _capturing
        replays = self.replays
        for replay in replays:
            found = replay.enter(args, kwargs)
            if found is not None:
                replay.used = True
                if replays[0] is not replay:
                    self.replays = [replay, *[r for r in replays if r is not replay]]
                    self.first = replay
                self.hits += 1
                if replay.result is None:
                    if replay.retries and self._retries and tracing.current() is None and not interpreting.active:
                        self._retries -= 1
                        replay.retries -= 1     # what it changed may be settled by now: a cache that was filled
                        break
                    return self.record(args, kwargs)
                return replay.result(*found)
        if tracing.current() is not None or interpreting.active or config.interpret:
            return self.record(args, kwargs)
        if self._gives_up():
            return self.record(args, kwargs)
        if _capturing:
            return self.record(args, kwargs)        # never wait for a function that another thread captures
        _capturing = True               # by stores: see recording.in_grad_mode.  No other thread runs between test and store.
        try:
            return self._capture(args, kwargs)
        finally:
            _capturing = False

    def _gives_up(self) -> bool:
        """Whether replays do not pay for captures: of the last ones, hardly any has been used again.  Then few are kept,
        and there are further ones once those have served more calls than there were captures."""
        captures, hits = self._counted
        misses = self.captures - captures
        if misses < MAX_MISSES:
            return False
        if self.hits - hits <= misses:
            if len(self.replays) > MAX_KEPT:
                logger.info("%s is no longer captured: hardly any call was like an earlier one", self.name)
                self._keep(MAX_KEPT)
            return True
        self._counted = self.captures, self.hits
        return False

    def _keep(self, number: int) -> None:
        """Keep that many captures: those that were used again before those that were not, and the last ones."""
        kept = set(sorted(self.replays, key=lambda r: not r.used)[:number])
        self.replays = [r for r in self.replays if r in kept]

    def _capture(self, args: tuple, kwargs: dict[str, Any]) -> Any:
        self.captures += 1
        result, replay = self.capture_once(args, kwargs, self._dynamic_floats(args, kwargs))
        if self.hits > self._hits_before:
            self.first.used = True
        self._hits_before = self.hits
        self._keep(MAX_CAPTURES - 1)
        self.replays = [replay, *self.replays]
        self.first = replay
        if replay.reason is not None:
            logger.info("%s records on each call: %s", self.name, replay.reason)
            if self.strict:
                raise RuntimeError(f"jitgrad.compile({self.name}, strict=True): it {replay.reason}")
        else:
            logger.info("%s captured: %d values guarded", self.name, len(replay.tests))
        return result

    def record(self, args: tuple, kwargs: dict[str, Any]) -> Any:
        """A call without replay."""
        return self.function(*args, **kwargs)

    def capture_once(self, args: tuple, kwargs: dict[str, Any], dynamic: set[str] | None) -> tuple[Any, Replay]:
        """Call the function under a capture: its result, and what becomes of the capture.

        A function without effects is called once more, with stand-ins for its arrays and dynamic floats: see double_capture.py."""
        trace = Trace(self.function, None)
        prepared = trace.prepare(args, kwargs)
        result = self.record(args, kwargs) if prepared is None else trace.run(*prepared)
        by_value = replay_of(trace, lambda: generate(trace, result, args, kwargs))
        let_go(trace)
        if by_value.template is not None and dynamic is not None and (trace.given_arrays or dynamic):
            replay = self._with_inputs(args, kwargs, dynamic, result, trace, by_value)
            if replay is not None:
                return result, replay
        if by_value.template is not None and trace.large is not None:
            by_value = recording(trace, f"reads {trace.large}, a NumPy array that is too large to be compared at each call: make "
                                        "it a tensor")
        return result, by_value

    def _with_inputs(self, args: tuple, kwargs: dict[str, Any], dynamic: set[str], result: Any, first: Trace,
                     by_value: Replay) -> Replay | None:
        """The replay with arrays and dynamic floats as inputs; None where the function does not do the same with stand-ins."""
        trace = Trace(self.function, dynamic)
        failed, found = True, by_value
        same = False
        try:
            prepared = trace.prepare(args, kwargs)
            if prepared is None:
                return None
            again = trace.run(*prepared)
            found = replay_of(trace, lambda: generate(trace, again, args, kwargs))
            again = plain(again)
            failed = False
            if found.template is None:
                return found if first.large is not None else None
            same = trace.arguments.unchanged() and same_result(result, again) and same_call(
                by_value.template, first.inputs, found.template, trace.inputs)      # type: ignore[arg-type]
        except Exception as error:      # of whatever the function called with a stand-in: it has worked with the arguments
            logger.debug("%s fails with stand-ins: %s", self.name, error)
        finally:
            prepared = again = kept = None
            interrupt: BaseException | None = None
            while True:                 # to its end, whatever a signal handler raises: nobody is to keep a stand-in
                try:
                    kept = release(trace, failed) or kept
                    break
                except BaseException as error:
                    interrupt = error
                    failed = True
            if interrupt is not None:
                raise interrupt
        if same and kept is None:
            return found
        self._by_value = True
        return None

    def _dynamic_floats(self, args: tuple, kwargs: dict[str, Any]) -> set[str] | None:
        """The places of floats that have changed from one capture to another: they become inputs.  None: see Trace."""
        for place, number in _floats("args", args, 0) + _floats("kwargs", kwargs, 0):
            if changed(number, self._floats.setdefault(place, number)):
                self._dynamic.add(place)
        return None if self._by_value else self._dynamic

    def explain(self) -> str:
        """What has been captured, what is guarded, and why calls are recorded."""
        lines = [f"{self.name}: {self.captures} captures, {self.hits} calls served by them"]
        if self._gives_up():
            lines.append("no longer captured: hardly any call was like an earlier one")
        if self._by_value:
            lines.append("floats and NumPy arrays are guarded by value: it asks for types, or fails with what stands for them")
        for replay in self.replays:
            if replay.template is None:
                lines.append(f"recorded on each call: {replay.reason}")
                continue
            operations = len([n for n in replay.template.nodes if n.inputs])
            lines.append(f"replayed: {operations} operations, {len(replay.template.outputs)} results; "
                         f"{len(replay.tests)} values guarded:")
            lines += [f"  {note}" for note in replay.notes]
            lines += [f"  {about}" for about in dict.fromkeys([t.about for t in replay.tests])]
        return "\n".join(lines)


def _floats(place: str, tree: Any, level: int) -> list[tuple[str, float]]:
    if type(tree) is float:
        return [(place, tree)]
    inner = parts(tree) if level <= 20 else None
    return [found for key, item in inner or () for found in _floats(f"{place}[{key!r}]", item, level + 1)]


# -- public ----------------------------------------------------------------------------------------------------------

@overload
def compile(model: _F, *, fullgraph: bool = ..., dynamic: bool | None = ..., backend: Any = ..., mode: str | None = ...,
            options: Any = ..., disable: bool = ..., strict: bool = ...) -> _F: ...
@overload
def compile(model: None = None, *, fullgraph: bool = ..., dynamic: bool | None = ..., backend: Any = ..., mode: str | None = ...,
            options: Any = ..., disable: bool = ..., strict: bool = ...) -> Callable[[_F], _F]: ...
def compile(model: Callable[..., Any] | None = None, *, fullgraph: bool = False, dynamic: bool | None = None,
            backend: Any = "inductor", mode: str | None = None, options: Any = None, disable: bool = False,
            strict: bool = False) -> Any:
    """A function that behaves as `model` does and is quicker: captured once for each structure of its arguments, then
    replayed without running its Python.

    model: a function, an nn.Module, or nothing (for use as a decorator).  Structure: the types, shapes and dtypes of tensors
    and NumPy arrays in nested dicts, lists and tuples; everything else that is not a float by value or identity.  Arrays are
    consumed before the call returns; one that the function reads other than by making tensors of it is guarded by its
    contents (capture/arrays.py).  What the function reads besides (globals, closures, modules' parameters and attributes) is
    guarded, and a change captures again.  Where a read or an effect cannot be guarded the function is called as it is;
    `jitgrad.explain` tells why, and `strict` (or `fullgraph`) makes it a RuntimeError.  The other arguments are
    torch.compile's and have no effect, but for `disable`.
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
    return Made(compiled, model, compile, strict=compiled.strict)


def _compiled_module(model: Any, compiled: Compiled) -> Any:
    """A module of the same class that shares everything with `model` and is called through the captures."""
    cls = type(model)

    def run(self: Any, *args: Any, **kwargs: Any) -> Any:
        return compiled.call(args, kwargs)

    made = object.__new__(type(cls.__name__, (cls,), {"__call__": run, "__module__": cls.__module__, "__doc__": cls.__doc__,
                                                     "__qualname__": cls.__qualname__, "_jitgrad_compiled": compiled,
                                                     "__reduce_ex__": lambda self, protocol: (
                                                         remade, (model, compile, (("strict", compiled.strict),))),
                                                     "_orig_mod": property(lambda self: model)}))
    object.__setattr__(made, "__dict__", model.__dict__)
    return made
