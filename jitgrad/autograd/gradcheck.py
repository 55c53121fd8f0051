"""gradcheck and gradgradcheck: derivatives against finite differences.

Checked are the vector-Jacobian product of every output and, with check_batched_grad, the batched one, and with check_forward_ad
the Jacobian-vector product, each against central differences of the function.
"""
from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from jitgrad import autograd
from jitgrad.autograd.transforms.batched import Batch
from jitgrad.autograd.transforms.forward import push_forward
from jitgrad.graph.recording import in_grad_mode
from jitgrad.operators.creation import eye, zeros_like
from jitgrad.tensors.tensor import Tensor, from_array
from jitgrad.types.dtype import float64


class GradcheckError(RuntimeError):
    """A derivative is not what finite differences say, or the function is not fit for the check."""


def _tuple(value: Any) -> tuple:
    return tuple(value) if isinstance(value, (tuple, list)) else (value,)


def _outputs(func: Callable, inputs: Sequence[Any]) -> list[Tensor]:
    return [o for o in _tuple(in_grad_mode(True, lambda: func(*inputs))) if isinstance(o, Tensor) and o.dtype.is_floating_point]


def _numerical(func: Callable, inputs: tuple, k: int, eps: float) -> list[np.ndarray]:
    """The Jacobian of each output by input k, (elements of the input, elements of the output), by central differences."""
    base = np.array(inputs[k]._array(), np.float64)
    columns: list[list[np.ndarray]] = []
    for i in range(base.size):
        ends = []
        for step in (eps, -eps):
            moved = base.copy()
            moved.reshape(-1)[i] += step
            given = list(inputs)
            given[k] = from_array(moved.astype(inputs[k].dtype.np), device=inputs[k]._node.spec.type.device).requires_grad_()
            ends.append([o._array().astype(np.float64).ravel() for o in _outputs(func, given)])
        columns.append([(a - b) / (2 * eps) for a, b in zip(*ends, strict=True)])
    return [np.stack(c) for c in zip(*columns, strict=True)] if columns else []


def _analytical(out: Tensor, inputs: list[Tensor], batched: bool) -> list[np.ndarray]:
    """The Jacobian of one output by each input, (elements of the input, elements of the output), by its rows."""
    n = out.numel()
    unit = eye(n, dtype=out.dtype, device=out.device).reshape((n, *out.shape))
    if batched:
        found = autograd.grad(out, inputs, unit, retain_graph=True, allow_unused=True, is_grads_batched=True)
        return [np.zeros((x.numel(), n)) if g is None else g._array().reshape(n, -1).T
                for x, g in zip(inputs, found, strict=True)]
    rows = [autograd.grad(out, inputs, unit[i], retain_graph=True, allow_unused=True) for i in range(n)]
    return [np.stack([np.zeros(x.numel()) if row[k] is None else row[k]._array().ravel() for row in rows], 1)     # type: ignore
            if n else np.zeros((x.numel(), 0)) for k, x in enumerate(inputs)]


def _forward(outputs: list[Tensor], inputs: list[Tensor], k: int) -> list[np.ndarray]:
    push = push_forward(outputs, inputs)
    batch = Batch(inputs[k].numel())
    unit = eye(batch.size, dtype=inputs[k].dtype, device=inputs[k].device).reshape((batch.size, *inputs[k].shape))
    found = batch.record(lambda: push([batch.element(unit) if i == k else zeros_like(x) for i, x in enumerate(inputs)], False))
    found = [zeros_like(o) if t is None else t for t, o in zip(found, outputs, strict=True)]
    return [t._array().reshape(batch.size, -1) for t in batch.results(found, [0] * len(found))]


def gradcheck(func: Callable[..., Any], inputs: Any, *, eps: float = 1e-6, atol: float = 1e-5, rtol: float = 1e-3,
              raise_exception: bool = True, nondet_tol: float = 0.0, check_undefined_grad: bool = True, check_grad_dtypes: bool = False,
              check_batched_grad: bool = False,
              check_batched_forward_grad: bool = False, check_forward_ad: bool = False, check_backward_ad: bool = True,
              fast_mode: bool = False, masked: bool | None = None) -> bool:
    """Whether the derivatives of func, by the inputs that require a gradient, are what central differences of step `eps` say.

    Raises GradcheckError where not, or returns False without raise_exception.  fast_mode checks no less."""
    try:
        return _check(func, _tuple(inputs), eps, atol, rtol, check_batched_grad, check_forward_ad, check_backward_ad, nondet_tol)
    except GradcheckError:
        if raise_exception:
            raise
        return False


def _check(func: Callable, inputs: tuple, eps: float, atol: float, rtol: float, batched: bool, forward: bool, backward: bool,
           nondet_tol: float) -> bool:
    chosen = [k for k, x in enumerate(inputs) if isinstance(x, Tensor) and x.requires_grad]
    if not chosen:
        raise ValueError("gradcheck expects at least one input tensor to require gradient, but none of them have "
                         "requires_grad=True.")
    for k in chosen:
        if inputs[k].dtype is not float64:
            warnings.warn(f"Input #{k} requires gradient and is not a double precision floating point or complex. This check will "
                          f"likely "
                          "fail if all the inputs are not of double precision floating point or complex. ", UserWarning, stacklevel=4)
        inputs[k].retain_grad()
    outputs = _outputs(func, inputs)
    wrt = [inputs[k] for k in chosen]
    if not any([o.requires_grad for o in outputs]):
        if any([np.abs(n).max(initial=0) > eps for k in chosen for n in _numerical(func, inputs, k, eps)]):
            raise GradcheckError("Numerical gradient for function expected to be zero")
        return True
    numerical = [_numerical(func, inputs, k, eps) for k in chosen]
    kinds = [("backward mode", lambda j: _analytical(outputs[j], wrt, False))] if backward else []
    kinds += [("batched backward mode", lambda j: _analytical(outputs[j], wrt, True))] if batched else []
    for j, out in enumerate(outputs):
        if not out.requires_grad:
            continue
        for mode, jacobians in kinds:
            found = jacobians(j)
            if nondet_tol >= 0 and mode == "backward mode":
                again = jacobians(j)
                # A program that is compiled meanwhile rounds otherwise.
                if any([np.abs(a - b).max(initial=0) > nondet_tol + 1e-9 * np.abs(a).max(initial=1) for a,
                        b in zip(found, again, strict=True)]):
                    raise GradcheckError("Backward is not reentrant, i.e., running backward with same input and grad_output multiple "
                                         "times gives different values, although analytical gradient matches numerical gradient."
                                         f"The tolerance for nondeterminism was {nondet_tol}.")
            for i, (a, n) in enumerate(zip(found, numerical, strict=True)):
                _compare(a, n[j], i, j, atol, rtol, "")
    if forward:
        for i in range(len(wrt)):
            for j, a in enumerate(_forward(outputs, wrt, i)):
                _compare(a, numerical[i][j] if numerical[i] else a, i, j, atol, rtol, " (forward mode)")
    return True


def _compare(analytical: np.ndarray, numerical: np.ndarray, i: int, j: int, atol: float, rtol: float, mode: str) -> None:
    if not np.allclose(analytical, numerical, rtol, atol, equal_nan=True):
        raise GradcheckError(f"Jacobian mismatch for output {j} with respect to input {i}{mode},\nnumerical:{from_array(numerical)}\n"
                             f"analytical:{from_array(np.ascontiguousarray(analytical))}\n")


def gradgradcheck(func: Callable[..., Any], inputs: Any, grad_outputs: Any = None, *, eps: float = 1e-6, atol: float = 1e-5,
                  rtol: float = 1e-3, gen_non_contig_grad_outputs: bool = False, raise_exception: bool = True, nondet_tol: float = 0.0,
                  check_undefined_grad: bool = True, check_grad_dtypes: bool = False, check_batched_grad: bool = False,
                  check_fwd_over_rev: bool = False, check_rev_over_rev: bool = True, fast_mode: bool = False,
                  masked: bool = False) -> bool:
    """gradcheck of the gradients of func, by its inputs and by the incoming gradients (random ones, if none are given)."""
    inputs = _tuple(inputs)
    outputs = _outputs(func, inputs)
    if grad_outputs is None:
        stream = np.random.default_rng(0)
        grads = tuple([from_array(np.asarray(stream.standard_normal(o.shape), o.dtype.np),
                                  device=o._node.spec.type.device).requires_grad_()
                       for o in outputs if o.requires_grad])
    else:
        grads = _tuple(grad_outputs)

    def gradients(*given: Any) -> tuple[Any, ...]:
        own = given[:len(inputs)]
        own = tuple([x.requires_grad_() if isinstance(x, Tensor) and x.is_leaf and x.dtype.is_floating_point
                     and inputs[k].requires_grad else x for k, x in enumerate(own)])
        wrt = [x for x in own if isinstance(x, Tensor) and x.requires_grad]
        found = autograd.grad([o for o in _outputs(func, own) if o.requires_grad], wrt, given[len(inputs):], create_graph=True,
                              allow_unused=True)
        return tuple([g for g in found if g is not None])

    return gradcheck(gradients, (*inputs, *grads), eps=eps, atol=atol, rtol=rtol, raise_exception=raise_exception,
                     nondet_tol=nondet_tol,
                     check_batched_grad=check_batched_grad, check_forward_ad=check_fwd_over_rev, check_backward_ad=check_rev_over_rev)
