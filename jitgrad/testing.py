"""torch.testing: assert_close, make_tensor."""
from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from jitgrad import random
from jitgrad.operators.creation.results import finished, sizes
from jitgrad.tensors.tensor import Tensor, from_array
from jitgrad.types.device import placement
from jitgrad.types.dtype import as_dtype, promote

__all__ = ["assert_close", "make_tensor"]
_TOLERANCES = {"float32": (1.3e-6, 1e-5), "float64": (1e-7, 1e-7)}      # relative and absolute; of others 0


def assert_close(actual: Any, expected: Any, *, allow_subclasses: bool = True, rtol: float | None = None, atol: float | None = None,
                 equal_nan: bool = False, check_device: bool = True, check_dtype: bool = True, check_layout: bool = True,
                 check_stride: bool = False, msg: str | Callable[[str], str] | None = None) -> None:
    """Assert that |actual - expected| <= atol + rtol * |expected|, of tensors, numbers, and sequences or mappings of them.

    The tolerances follow from the dtypes.  Raises AssertionError in PyTorch's words; ValueError for one tolerance without the other."""
    if (rtol is None) != (atol is None):
        raise ValueError(f"rtol and atol must both be specified or both be unspecified, but got {rtol=} and {atol=}.".replace(
            "rtol=None", "no rtol").replace("atol=None", "no atol"))
    _compare(actual, expected, "", (rtol, atol, equal_nan, check_dtype, check_stride, msg))


def _fail(text: str, where: str, msg: Any) -> None:
    if where:
        text = f"{text}\n\nThe failure occurred for item {where}"
    raise AssertionError(text if msg is None else msg(text) if callable(msg) else msg)


def _compare(actual: Any, expected: Any, where: str, how: tuple) -> None:
    msg = how[-1]
    if isinstance(actual, Mapping) and isinstance(expected, Mapping):
        if set(actual) != set(expected):
            _fail(f"The keys of the mappings do not match:\nMissing keys in the actual mapping: {sorted(set(expected) - set(actual))}\n"
                  f"Additional keys in the actual mapping: {sorted(set(actual) - set(expected))}", where, msg)
        for key in actual:
            _compare(actual[key], expected[key], f"{where}[{key!r}]", how)
    elif isinstance(actual, Sequence) and isinstance(expected, Sequence) and not isinstance(actual, (str, bytes)):
        if len(actual) != len(expected):
            _fail(f"The length of the sequences mismatch: {len(actual)} != {len(expected)}", where, msg)
        for i, (a, b) in enumerate(zip(actual, expected, strict=True)):
            _compare(a, b, f"{where}[{i}]", how)
    elif actual is None or expected is None:
        if actual is not expected:
            _fail(f"Expected {expected!r} but got {actual!r}.", where, msg)
    else:
        _compare_tensors(actual, expected, where, how)


def _compare_tensors(actual: Any, expected: Any, where: str, how: tuple) -> None:
    rtol, atol, equal_nan, check_dtype, check_stride, msg = how
    kind = "Tensor-likes" if any([isinstance(v, (Tensor, np.ndarray)) for v in (actual, expected)]) else "Scalars"
    a, b = [v if isinstance(v, Tensor) else from_array(np.asarray(v)) for v in (actual, expected)]
    if tuple(a.shape) != tuple(b.shape):
        _fail(f"The values for attribute 'shape' do not match: {a.shape} != {b.shape}.", where, msg)
    if check_dtype and a.dtype is not b.dtype and kind != "Scalars":
        _fail(f"The values for attribute 'dtype' do not match: {a.dtype} != {b.dtype}.", where, msg)
    if check_stride and a.stride() != b.stride():
        _fail(f"The values for attribute 'stride()' do not match: {a.stride()} != {b.stride()}.", where, msg)
    if rtol is None:
        pairs = [_TOLERANCES.get(t.dtype.name, (0.0, 0.0)) for t in (a, b)]
        rtol, atol = max(p[0] for p in pairs), max(p[1] for p in pairs)
    to = promote([a.dtype, b.dtype]).np
    x, y = [np.asarray(t.detach()._array(), to) for t in (a, b)]
    close = np.isclose(x, y, rtol, atol, equal_nan) if to.kind != "b" else x == y
    if close.all():
        return
    with np.errstate(all="ignore"):
        distance = np.where(close, 0, np.abs(x.astype(np.float64) - y.astype(np.float64)))
        relative = np.where(close, 0, distance / np.abs(y))
    if kind == "Scalars" or not x.ndim:
        _fail(f"{kind.replace('Tensor-likes', 'Scalars')} are not close!\n\nExpected {y.item()} but got {x.item()}.\n"
              f"Absolute difference: {distance.item()} (up to {atol} allowed)\nRelative difference: {relative.item()} (up to {rtol} "
              "allowed)", where, msg)
    count = int((~close).sum())
    worst, furthest = [tuple([int(i) for i in np.unravel_index(np.argmax(v), x.shape)]) for v in (distance, relative)]
    equal = rtol == atol == 0
    text = (f"{kind} are not {'equal' if equal else 'close'}!\n\nMismatched elements: {count} / {x.size} "
            f"({100 * count / x.size:.1f}%)\n"
            f"Greatest absolute difference: {distance[worst]} at index {worst}" + ("" if equal else f" (up to {atol} allowed)") +
            f"\nGreatest relative difference: {relative[furthest]} at index {furthest}" + ("" if equal else f" (up to {rtol} allowed)"))
    _fail(text, where, msg)


def make_tensor(*shape: Any, dtype: Any, device: Any = "cpu", low: float | None = None, high: float | None = None,
                requires_grad: bool = False, noncontiguous: bool = False, exclude_zero: bool = False,
                memory_format: Any = None) -> Tensor:
    """Random numbers of a dtype, uniform in [low, high): -9 and 9 unless given."""
    to, dims = as_dtype(dtype), sizes("make_tensor", shape)
    low, high = -9 if low is None else low, (10 if to.category == 1 else 9) if high is None else high
    if to.category == 0:
        low, high = 0, 2
    drawn = random.default_generator.draw(lambda g: np.asarray(g.uniform(low, high, dims) if to.category == 2 else
                                                               g.integers(int(low), int(high), dims)))
    array = np.asarray(drawn, to.np)
    return finished(np.where(array == 0, np.ones((), to.np), array) if exclude_zero else array, requires_grad,
                    device=placement(device, "make_tensor"))
