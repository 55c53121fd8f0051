"""Activation checkpointing: a part of a model that is computed again in backward, instead of being kept (Chen et al. 2016)."""
from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any

from jitgrad import autograd
from jitgrad.autograd.function import Function
from jitgrad.graph.recording import grad_mode, in_grad_mode
from jitgrad.nn.containers import Sequential
from jitgrad.random import default_generator
from jitgrad.tensors.tensor import Tensor


def checkpoint(function: Callable[..., Any], *args: Any, use_reentrant: bool | None = None, context_fn: Any = None,
               determinism_check: str = "default",
               debug: bool = False, early_stop: bool = True, preserve_rng_state: bool = True, **kwargs: Any) -> Any:
    """function(*args, **kwargs), of which nothing but the arguments and the results is kept: backward computes it again.

    Random numbers are the same ones then, if preserve_rng_state.  Gradients flow to the arguments, and to what else the function
    reads that requires one (parameters).  With use_reentrant=True it takes no keyword arguments, as in PyTorch, and neither
    autograd.grad through it nor a further derivative works there; here they do."""
    if use_reentrant is None:
        warnings.warn("torch.utils.checkpoint: the use_reentrant parameter should be passed explicitly. Starting in PyTorch 2.9, "
                      "calling "
                      "checkpoint without use_reentrant will raise an exception. use_reentrant=False is recommended, but if you "
                      "need to "
                      "preserve the current default behavior, you can pass use_reentrant=True. Refer to docs for more details on the "
                      "differences between the two variants.", UserWarning, stacklevel=2)
    if use_reentrant and kwargs:
        raise ValueError("Unexpected keyword arguments: " + ",".join(kwargs))
    if not grad_mode.enabled:
        return function(*args, **kwargs)
    state = default_generator.get_state() if preserve_rng_state else None
    result = in_grad_mode(True, lambda: function(*args, **kwargs))
    outputs = result if isinstance(result, tuple) else (result,)
    places = [i for i, o in enumerate(outputs) if isinstance(o, Tensor) and o.requires_grad]
    if not places:
        return result
    # What a gradient is to go to: leaves and arguments.  The recorded graph itself is let go of.
    given = [a for a in [*args, *kwargs.values()] if isinstance(a, Tensor) and a.requires_grad]
    outside = [*dict.fromkeys([*given, *_leaves([outputs[i] for i in places], given)])]

    def again(*tensors: Tensor) -> list[Tensor]:
        """The outputs, computed again of other tensors in the place of `outside`'s arguments."""
        before = default_generator.get_state() if state is not None else None
        new = iter(tensors[:len(given)])
        own_args = [next(new) if isinstance(a, Tensor) and a.requires_grad else a for a in args]
        own_kwargs = {k: next(new) if isinstance(a, Tensor) and a.requires_grad else a for k, a in kwargs.items()}
        try:
            if state is not None:
                default_generator.set_state(state)
            found = in_grad_mode(True, lambda: function(*own_args, **own_kwargs))
        finally:
            if before is not None:
                default_generator.set_state(before)
        return [(found if isinstance(found, tuple) else (found,))[i] for i in places]

    made = _Checkpoint.apply(again, len(given), tuple([outputs[i].detach() for i in places]), *outside)
    results = dict(zip(places, made, strict=True))
    final = tuple([results.get(i, o) for i, o in enumerate(outputs)])
    return final if isinstance(result, tuple) else final[0]


def _leaves(outputs: Sequence[Tensor], given: Sequence[Tensor]) -> list[Tensor]:
    """The leaf tensors below outputs, beyond what was given."""
    from jitgrad.graph.node import topological
    stop = {t._current() for t in given}
    found = []
    for n in topological([o._current() for o in outputs], lambda n: () if n in stop else [m for m in n.inputs if m.requires_grad]):
        if n not in stop and n.extra is not None and n.extra.leaf is not None and (t := n.extra.leaf.tensor()) is not None:
            found.append(t)
    return found


class _Checkpoint(Function):
    """Outputs that are known, whose derivative is taken of outputs computed again."""

    @staticmethod
    def forward(ctx: Any, again: Callable[..., Any], count: int, outputs: tuple[Any, ...], *outside: Tensor) -> Any:
        ctx.again, ctx.count = again, count
        ctx.save_for_backward(*outside)
        return outputs

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        outside = ctx.saved_tensors
        recorded = grad_mode.enabled
        own = [*[t if recorded else t.detach().requires_grad_() for t in outside[:ctx.count]], *outside[ctx.count:]]
        found = in_grad_mode(True, lambda: autograd.grad(ctx.again(*own), own, list(grads), create_graph=recorded, allow_unused=True))
        return None, None, None, *found


def checkpoint_sequential(functions: Any, segments: int, input: Any, use_reentrant: bool | None = None,
                          preserve_rng_state: bool = True) -> Any:
    """A Sequential (or a list of functions) in segments, each but the last checkpointed."""
    parts = list(functions.children()) if isinstance(functions, Sequential) else list(functions)
    length = max(len(parts) // segments, 1)

    def run(start: int, end: int) -> Callable[[Any], Any]:
        def forward(input: Any) -> Any:
            for part in parts[start:end]:
                input = part(input)
            return input
        return forward

    end = 0
    for start in range(0, length * (segments - 1), length):
        end = start + length
        input = checkpoint(run(start, end), input, use_reentrant=use_reentrant, preserve_rng_state=preserve_rng_state)
    return run(end, len(parts))(input)
