"""Tensors from shapes and from ranges: zeros, full, eye, arange, linspace and their kin."""
from __future__ import annotations

from operator import index
from typing import Any

import numpy as np

from jitgrad.memory import buffers
from jitgrad.operators.creation.data import tensor
from jitgrad.operators.creation.results import finished, given_sizes, made_as, plain, sizes
from jitgrad.tensors.tensor import Tensor
from jitgrad.types.device import DeviceLike, placement
from jitgrad.types.dtype import REAL, as_dtype, check_fits, dtype, float64, get_default_dtype, int64, of_scalar, wrapped


def scalar_tensor(s: Any, *, dtype: dtype | None = None, device: DeviceLike = None, requires_grad: bool = False) -> Tensor:
    """A 0-d tensor, in the default dtype."""
    return full((), s, dtype=dtype or get_default_dtype(), device=device, requires_grad=requires_grad)


def _numbers(called: str, first: int, **values: Any) -> list[Any]:
    """Arguments that are numbers or 0-d tensors, by name, as numbers; first: the position of the first.  Raises in PyTorch's words."""
    found = [plain(v) for v in values.values()]
    for i, (name, v) in enumerate(zip(values, found, strict=True)):
        if not isinstance(v, REAL):
            raise TypeError(f"{called}(): argument '{name}' (position {first + i}) must be Number, not {type(v).__name__}")
    return found


def _whole(called: str, position: int, name: str, value: Any) -> int:
    """An argument that is an integer.  Raises in PyTorch's words."""
    if not hasattr(value, "__index__") or isinstance(value, bool):
        raise TypeError(f"{called}(): argument '{name}' (position {position}) must be int, not {type(value).__name__}")
    return index(value)


def _filled(called: str, shape: tuple[int, ...], value: Any, to: dtype, device: Any, requires_grad: bool,
            out: Tensor | None = None) -> Tensor:
    where = placement(device, called)
    check_fits(value, to)
    array = buffers.empty(shape, to.np)
    array.fill(wrapped(int(value), to) if to.category == 1 else value)
    return finished(array, requires_grad, out, where)


def _constant(called: str, value: int, doc: str) -> Any:
    def create(*size: Any, out: Tensor | None = None, dtype: dtype | None = None, layout: Any = None, device: DeviceLike = None,
               requires_grad: bool = False, pin_memory: bool = False, memory_format: Any = None,
               **named: Any) -> Tensor:
        to = made_as(called, out, dtype, get_default_dtype())
        return _filled(called, given_sizes(called, size, named), value, to, device, requires_grad, out)

    create.__name__ = create.__qualname__ = called
    create.__doc__ = doc
    return create


zeros = _constant("zeros", 0, "A tensor of zeros of the given shape.")
ones = _constant("ones", 1, "A tensor of ones of the given shape.")
empty = _constant("empty", 0, "A tensor of the given shape whose values are not to be relied on.")


def full(size: Any, fill_value: Any, *, out: Tensor | None = None, dtype: dtype | None = None, layout: Any = None,
         device: DeviceLike = None, requires_grad: bool = False, pin_memory: bool = False) -> Tensor:
    """A tensor of one value, whose dtype follows from the value unless given."""
    if not isinstance(size, (tuple, list)):
        raise TypeError(f"full(): argument 'size' (position 1) must be tuple of ints, not {type(size).__name__}")
    [fill_value] = _numbers("full", 2, fill_value=fill_value)
    to = made_as("full", out, dtype, of_scalar(fill_value))
    return _filled("full", sizes("full", tuple(size)), fill_value, to, device, requires_grad, out)


def _like(called: str, value: int) -> Any:
    def create(input: Tensor, *, dtype: dtype | None = None, layout: Any = None, device: DeviceLike = None, requires_grad: bool = False,
               pin_memory: bool = False, memory_format: Any = None) -> Tensor:
        return full_like(input, value, dtype=dtype, device=device, requires_grad=requires_grad, called=called)

    create.__name__ = create.__qualname__ = called
    create.__doc__ = f"{called.removesuffix('_like')}() of the shape and dtype of another tensor."
    return create


def full_like(input: Tensor, fill_value: Any, *, dtype: dtype | None = None, layout: Any = None, device: DeviceLike = None,
              requires_grad: bool = False, pin_memory: bool = False, memory_format: Any = None,
              called: str = "full_like") -> Tensor:
    """full() of the shape and dtype of another tensor."""
    if not isinstance(input, Tensor):
        raise TypeError(f"{called}(): argument 'input' (position 1) must be Tensor, not {type(input).__name__}")
    type_ = input._node.type
    [fill_value] = _numbers(called, 2, fill_value=fill_value)
    return _filled(called, type_.shape, fill_value, type_.dtype if dtype is None else as_dtype(dtype),
                   type_.device if device is None else device, requires_grad)


zeros_like = _like("zeros_like", 0)
ones_like = _like("ones_like", 1)
empty_like = _like("empty_like", 0)


def eye(n: int, m: int | None = None, *, out: Tensor | None = None, dtype: dtype | None = None, layout: Any = None,
        device: DeviceLike = None, requires_grad: bool = False) -> Tensor:
    """Ones on the diagonal of an n by m matrix, zeros elsewhere."""
    where = placement(device, "eye")
    n, m = _whole("eye", 1, "n", n), m if m is None else _whole("eye", 2, "m", m)
    for name, length in (("n", n), ("m", m)):
        if length is not None and length < 0:
            raise RuntimeError(f"{name} must be greater or equal to 0, got {length}")
    to = made_as("eye", out, dtype, get_default_dtype())
    return finished(np.eye(n, m, dtype=to.np), requires_grad, out, where)


# -- ranges ----------------------------------------------------------------------------------------------------------

def arange(start: Any = None, end: Any = None, step: Any = 1, *, out: Tensor | None = None, dtype: dtype | None = None,
           layout: Any = None, device: DeviceLike = None, requires_grad: bool = False) -> Tensor:
    """start, start + step, ... below end; of ints int64, else the default dtype."""
    where = placement(device, "arange")
    if end is None:
        start, end = 0, start if type(start) is int else _numbers("arange", 1, end=start)[0]
    if not type(start) is type(end) is type(step) is int:
        start, end, step = _numbers("arange", 1, start=0 if start is None else start, end=end, step=step)
    if not (np.isfinite(start) and np.isfinite(end)):
        raise RuntimeError(f"unsupported range: {start} -> {end}")
    if step == 0:
        raise RuntimeError("step must be nonzero")
    if (end - start) * step < 0:
        raise RuntimeError("upper bound and lower bound inconsistent with step sign")
    whole = all([isinstance(v, (int, np.integer)) for v in (start, end, step)])
    to = made_as("arange", out, dtype, int64 if whole else get_default_dtype())
    if to is int64 and not whole:
        start, end, step = int(start), int(end), int(step)
        if step == 0:
            raise ValueError("step must be nonzero")
        whole = True
    count = -((start - end) // step) if whole else int(np.ceil((end - start) / step))
    if to.category < 2:
        start, step = int(start), int(step)
    return finished((np.arange(count) * step + start).astype(to.np), requires_grad, out, where)


def _spaced(called: str, start: Any, end: Any, steps: int, to: dtype) -> np.ndarray:
    """Evenly spaced numbers, counted from the nearer end, as PyTorch does; for integers in float64, from ends without fractions."""
    dims = [v.ndim if isinstance(v, Tensor) else 0 for v in (start, end)]
    if any(dims):
        raise RuntimeError(f"{called} only supports 0-dimensional start and end tensors, but got start with {dims[0]} dimension(s) and "
                           f"end with {dims[1]} dimension(s).")
    steps = _whole(called, 3, "steps", steps)
    if steps < 0:
        raise RuntimeError("number of steps must be non-negative")
    kind = to.np.type if to.category == 2 else np.float64
    first, last = [kind(to.np.type(v)) for v in _numbers(called, 1, start=start, end=end)]
    at = np.arange(steps)
    step = (last - first) / kind(max(steps - 1, 1))
    forward = first + step * at.astype(kind)
    backward = last - step * (steps - 1 - at).astype(kind)
    return np.where(at < steps // 2, forward, backward) if steps != 1 else np.full(1, first, kind)


def linspace(start: Any, end: Any, steps: int, *, out: Tensor | None = None, dtype: dtype | None = None, layout: Any = None,
             device: DeviceLike = None, requires_grad: bool = False) -> Tensor:
    """`steps` evenly spaced numbers from start to end, both included."""
    where = placement(device, "linspace")
    to = made_as("linspace", out, dtype, get_default_dtype())
    return finished(_spaced("linspace", start, end, steps, to).astype(to.np), requires_grad, out, where)


def logspace(start: Any, end: Any, steps: int, base: float = 10.0, *, out: Tensor | None = None, dtype: dtype | None = None,
             layout: Any = None, device: DeviceLike = None, requires_grad: bool = False) -> Tensor:
    """base to the power of linspace."""
    where = placement(device, "logspace")
    to = made_as("logspace", out, dtype, get_default_dtype())
    exponents = _spaced("logspace", start, end, steps, to if to.category < 2 else float64)
    with np.errstate(all="ignore"):
        powers = np.power(float(base), exponents)
        return finished(powers.astype(to.np), requires_grad, out, where)


# -- methods ---------------------------------------------------------------------------------------------------------

def _new(name: str, create: Any) -> None:
    def method(self: Tensor, *args: Any, dtype: dtype | None = None, **kwargs: Any) -> Tensor:
        if kwargs.get("device") is None:
            kwargs["device"] = self._node.spec.type.device
        return create(*args, dtype=self.dtype if dtype is None else dtype, **kwargs)

    method.__name__ = method.__qualname__ = name
    method.__doc__ = f"{name.removeprefix('new_')}() in this tensor's dtype unless another is given."
    setattr(Tensor, name, method)


for _name, _create in (("new_zeros", zeros), ("new_ones", ones), ("new_empty", empty), ("new_full", full),
                       ("new_tensor", tensor)):
    _new(_name, _create)
