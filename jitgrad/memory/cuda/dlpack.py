"""DLPack: arrays of the device for other libraries, and theirs, without copies.

Input and output: a capsule that holds a DLManagedTensor, of DLPack's version 0 (dmlc/dlpack, include/dlpack/dlpack.h).
Invariant: whoever reads last lets go of the memory; a capsule that nobody takes gives it back when it is freed.
"""
from __future__ import annotations

import ctypes
import itertools
from collections.abc import Callable
from typing import Any

import numpy as np

from jitgrad.memory.cuda import driver, streams
from jitgrad.memory.cuda.arrays import DeviceArray, contiguous

CUDA = 2                                                        # DLDeviceType
_CODES = {"i": 0, "u": 1, "f": 2, "b": 6}                       # DLDataTypeCode
_KINDS = {code: kind for kind, code in _CODES.items()}


class _Tensor(ctypes.Structure):
    _fields_ = [("data", ctypes.c_void_p), ("device_type", ctypes.c_int32), ("device_id", ctypes.c_int32), ("ndim", ctypes.c_int32),
                ("code", ctypes.c_uint8), ("bits", ctypes.c_uint8), ("lanes", ctypes.c_uint16),
                ("shape", ctypes.POINTER(ctypes.c_int64)), ("strides", ctypes.POINTER(ctypes.c_int64)),
                ("byte_offset", ctypes.c_uint64)]


class _Managed(ctypes.Structure):
    pass


_Deleter = ctypes.CFUNCTYPE(None, ctypes.POINTER(_Managed))
_Managed._fields_ = [("tensor", _Tensor), ("context", ctypes.c_void_p), ("deleter", _Deleter)]

_api = ctypes.pythonapi
_new = ctypes.PYFUNCTYPE(ctypes.py_object, ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p)(("PyCapsule_New", _api))
_is_valid = ctypes.PYFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_char_p)(("PyCapsule_IsValid", _api))
_pointer = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p, ctypes.c_char_p)(("PyCapsule_GetPointer", _api))
_rename = ctypes.PYFUNCTYPE(ctypes.c_int, ctypes.py_object, ctypes.c_char_p)(("PyCapsule_SetName", _api))
_FRESH, _TAKEN = b"dltensor", b"used_dltensor"                  # (a capsule keeps no copy of its name)

_given: dict[int, tuple[Any, ...]] = {}         # what is with others: the structure, and what it points to
_numbers = itertools.count(1)


@_Deleter
def _delete(managed: Any) -> None:
    _given.pop(managed.contents.context, None)


@ctypes.PYFUNCTYPE(None, ctypes.c_void_p)
def _free_capsule(capsule: int) -> None:
    if _is_valid(capsule, _FRESH):
        _given.pop(ctypes.cast(_pointer(capsule, _FRESH), ctypes.POINTER(_Managed)).contents.context, None)


def give(array: DeviceArray, stream: int | None) -> Any:
    """A capsule of an array.  stream: that of who takes it, which waits for ours: an address, 1 or None the device's default one, 2
    that of each thread; -1: nothing is to wait."""
    array.used_by(streams.current())
    if stream != -1:
        order(streams.current(), stream)
    number = next(_numbers)
    rank = array.ndim
    shape = (ctypes.c_int64 * rank)(*array.shape)
    strides = (ctypes.c_int64 * rank)(*[s // array.dtype.itemsize for s in array.strides])
    tensor = _Tensor(array.address if array.size else None, CUDA, 0, rank, _CODES[array.dtype.kind], array.dtype.itemsize * 8, 1, shape,
                     strides, 0)
    managed = _Managed(tensor, number, _delete)
    _given[number] = (managed, shape, strides, array)
    return _new(ctypes.addressof(managed), _FRESH, ctypes.cast(_free_capsule, ctypes.c_void_p))


def order(queue: streams.Queue, stream: int | None) -> None:
    """Have another library's stream wait for what a queue has been given."""
    here = driver.current()
    event = here.event(False)
    here.record(event, queue.handle)
    here.wait(event, here.foreign_stream(stream or 1))
    here.release_event(event)


class _Taken:
    """Memory that another library keeps until this is gone."""

    def __init__(self, release: Callable[[], None]) -> None:
        self._release = release

    def __del__(self) -> None:
        self._release()


def take(capsule: Any) -> DeviceArray:
    """The array in a capsule, which is taken.  Raises RuntimeError for one of another device, or of a dtype that is not here."""
    if not _is_valid(id(capsule), _FRESH):
        raise RuntimeError("from_dlpack received an invalid capsule. Note that DLTensor capsules can be consumed only once, so you "
                           "might have already constructed a tensor from it once.")
    managed = ctypes.cast(_pointer(id(capsule), _FRESH), ctypes.POINTER(_Managed))
    tensor = managed.contents.tensor
    if tensor.device_type != CUDA or tensor.device_id != 0:
        raise RuntimeError("from_dlpack: only arrays of the CPU and of cuda:0 can be taken")
    if tensor.code not in _KINDS or tensor.lanes != 1:
        raise RuntimeError(f"from_dlpack: jitgrad has no dtype of code {tensor.code} and {tensor.bits} bits")
    kind = _KINDS[tensor.code]
    dtype = np.dtype(np.bool_ if kind == "b" else f"{kind}{tensor.bits // 8}")
    shape = tuple(tensor.shape[:tensor.ndim])
    strides = tuple([s * dtype.itemsize for s in tensor.strides[:tensor.ndim]]) if tensor.strides else None
    address = (tensor.data or 0) + tensor.byte_offset
    _rename(capsule, _TAKEN)
    owner = _Taken(lambda: managed.contents.deleter(managed) if managed.contents.deleter else None)
    return contiguous(address, shape, dtype, strides, owner)


def take_interface(interface: dict[str, Any], owner: Any) -> DeviceArray:
    """What `__cuda_array_interface__` describes; our stream waits for the one that it names."""
    dtype = np.dtype(interface["typestr"])
    if interface.get("mask") is not None:
        raise RuntimeError("an array with a mask cannot be taken")
    stream = interface.get("stream")
    if stream is not None:
        here = driver.current()
        event = here.event(False)
        here.record(event, here.foreign_stream(stream))
        here.wait(event, streams.current().handle)
        here.release_event(event)
    return contiguous(interface["data"][0], tuple(interface["shape"]), dtype, interface.get("strides"), owner)
