"""Arrays of the device for other libraries and theirs for jitgrad: DLPack and `__cuda_array_interface__`, without copies.

What others are given must not be written to: a tensor's values are shared by all that was recorded of them.
"""
from __future__ import annotations

from typing import Any

import numpy as np

from jitgrad.graph.recording import grad_mode, input_node
from jitgrad.memory.cuda import streams
from jitgrad.tensors.tensor import Tensor, from_array, wrap
from jitgrad.types.array import array_type
from jitgrad.types.dtype import from_numpy_dtype

CPU, CUDA = 1, 2            # of DLPack's DLDeviceType


def _on_device(array: Any) -> Tensor:
    return wrap(input_node(array, array_type(array.shape, from_numpy_dtype(array.dtype), "cuda:0")))


def __dlpack_device__(self: Tensor) -> tuple[int, int]:
    """DLPack's number of the kind of device, and the device's."""
    return (CUDA, 0) if self._node.spec.type.device != "cpu" else (CPU, 0)


def __dlpack__(self: Tensor, *, stream: int | None = None, max_version: Any = None, dl_device: Any = None,
               copy: bool | None = None) -> Any:
    """A DLPack capsule of the values: of a CUDA tensor of its memory, of one on the CPU of a copy.

    stream: that of who takes a CUDA tensor.  Raises BufferError where gradients are recorded."""
    if self.requires_grad:
        raise BufferError("Can't export tensors that require gradient, use tensor.detach()")
    if dl_device is not None and tuple(dl_device) != __dlpack_device__(self):
        raise BufferError("__dlpack__ cannot move a tensor to another device: use to() first")
    array = self._stored()
    if isinstance(array, np.ndarray):
        if stream is not None:
            raise AssertionError("stream should be None on cpu.")
        return np.array(array).__dlpack__(max_version=max_version)
    if copy:
        array = array.copy()
    from jitgrad.memory.cuda import dlpack
    return dlpack.give(array, stream)


def from_dlpack(ext_tensor: Any, *, device: Any = None, copy: bool | None = None) -> Tensor:
    """A tensor of what another library has, or of a capsule: on the memory of what is on the device, a copy of what is on the CPU.

    The owner must not write to what is on the device while jitgrad has it."""
    if hasattr(ext_tensor, "__dlpack_device__"):
        kind, _ = ext_tensor.__dlpack_device__()
        if kind == CPU:
            result = from_array(np.array(np.from_dlpack(ext_tensor)))
        elif kind == CUDA:
            from jitgrad.memory.cuda import dlpack
            stream = streams.current().handle
            result = _on_device(dlpack.take(ext_tensor.__dlpack__(stream=int(getattr(stream, "handle", 0)) or None)))
        else:
            raise RuntimeError("from_dlpack: only arrays of the CPU and of cuda:0 can be taken")
    else:
        from jitgrad.memory.cuda import dlpack
        result = _on_device(dlpack.take(ext_tensor))
    if copy:
        result = wrap(input_node(result._stored().copy(), result._node.spec.type))
    return result if device is None else result.to(device)          # type: ignore[attr-defined]


def from_interface(owner: Any) -> Tensor:
    """A tensor on the memory that an object's `__cuda_array_interface__` describes."""
    from jitgrad.memory.cuda import dlpack
    return _on_device(dlpack.take_interface(owner.__cuda_array_interface__, owner))


def __cuda_array_interface__(self: Tensor) -> dict[str, Any]:
    """Address, shape and dtype of a CUDA tensor for CuPy, Numba and others, and the stream that they are to wait for."""
    type_ = self._node.spec.type
    if type_.device == "cpu":
        raise AttributeError(f"Can't get __cuda_array_interface__ on non-CUDA tensor type: {self.dtype.legacy} If CUDA data is "
                             "required use tensor.cuda() to copy tensor to device memory.")
    if self.requires_grad and grad_mode.enabled:
        raise RuntimeError("Can't get __cuda_array_interface__ on Variable that requires grad. If gradients aren't required, use "
                           "var.detach() to get Variable that doesn't require grad.")
    array = self._stored()
    return {"typestr": array.dtype.str, "shape": array.shape, "strides": None, "version": 3,
            "data": (array.address if array.size else 0, False), "stream": int(getattr(streams.current().handle, "handle", 0)) or None}


METHODS = (__dlpack__, __dlpack_device__)
