"""Leaving and entering the world of tensors: dtypes, Python numbers, NumPy arrays, sizes; and overwriting in place."""
from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any, TypeGuard

import numpy as np

from jitgrad import tracing
from jitgrad.graph.node import Node
from jitgrad.graph.recording import grad_mode, input_node
from jitgrad.memory.cuda.arrays import NOT_ON_THE_HOST
from jitgrad.operators.declaration.declare import OPERATORS, finish_composite, function, operator
from jitgrad.operators.indexing.getitem import broadcast_value, value_node
from jitgrad.operators.operands import Number, cast, normal_dim
from jitgrad.operators.templates.template import no_template
from jitgrad.operators.views.layout import is_contiguous, layout
from jitgrad.requests import execute
from jitgrad.tensors.steps import NO_GRAD, apply_step
from jitgrad.tensors.storage import base_depth
from jitgrad.tensors.tensor import Size, Tensor, from_array, wrap
from jitgrad.types.array import array_type, broadcast_shapes
from jitgrad.types.device import device, placement
from jitgrad.types.dtype import as_dtype, bool_, dtype, float32, float64, int8, int16, int32, int64, refuse_complex, uint8

# -- dtypes ----------------------------------------------------------------------------------------------------------

@operator("ToCopyBackward0", name="to.dtype", places=())
def _converted(input: Node, to: dtype) -> Node:
    return cast(input, to)


def to_dtype(input: Tensor, to: Any) -> Tensor:
    """The tensor in another dtype; itself if it has it."""
    to = as_dtype(to)
    return input if input._node.type.dtype is to else _converted(input, to)


def to(input: Tensor, *args: Any, dtype: Any = None, device: Any = None, non_blocking: bool = False, copy: bool = False,
       memory_format: Any = None, other: Any = None) -> Tensor:
    """to(dtype), to(device), to(device, dtype) or to(other): the tensor itself where nothing changes, unless `copy`."""
    if args:
        first, rest = args[0], args[1:]
        if isinstance(first, Tensor):
            dtype, device = first.dtype, first._node.spec.type.device
        elif isinstance(first, (str, _device)) or type(first) is int:
            device = first
            if rest and rest[0] is not None and not (isinstance(rest[0], bool)):
                dtype, rest = rest[0], rest[1:]
        elif first is not None:
            dtype = first
        if len(rest) > 1:
            copy = rest[1]
    if isinstance(other, Tensor):
        dtype, device = other.dtype, other._node.spec.type.device
    where = input._node.spec.type.device if device is None else placement(device, "to")
    result = moved(input if dtype is None else to_dtype(input, dtype), where)
    return OPERATORS["clone"].call(result) if copy and result is input else result


_device = device


def type_name(input: Tensor, dtype: Any = None, non_blocking: bool = False) -> Any:
    """type(): the legacy name, such as 'torch.FloatTensor'; with a dtype or such a name, the tensor in it."""
    if dtype is None:
        return input._node.spec.type.legacy
    return to_dtype(input, getattr(dtype, "dtype", dtype))         # FloatTensor and its kin have one


def type_as(input: Tensor, other: Tensor) -> Tensor:
    """The tensor in the dtype of another."""
    return to_dtype(input, other.dtype)


def _to_method(name: str, target: dtype) -> None:
    def method(self: Tensor, memory_format: Any = None) -> Tensor:
        return to_dtype(self, target)

    method.__doc__ = f"The tensor as {target!r}; itself if it is."
    function(name=name, places=("method",), kind=None)(method)


for _name, _target in (("float", float32), ("double", float64), ("int", int32), ("long", int64), ("bool", bool_),
                       ("byte", uint8), ("char", int8), ("short", int16)):
    _to_method(_name, _target)


def _refused_method(name: str) -> None:
    def method(self: Tensor) -> Tensor:
        raise TypeError(f"{name}(): jitgrad has no such dtype; it has float32, float64, int8, int16, int32, int64, uint8 and bool")

    method.__doc__ = "Raises: there is no such dtype."
    function(name=name, places=("method",), kind=None)(method)


for _name in ("half", "bfloat16", "cfloat", "cdouble"):
    _refused_method(_name)


def cpu(input: Tensor, memory_format: Any = None) -> Tensor:
    """The tensor on the CPU; itself if it is there."""
    return moved(input, "cpu")


def cuda(input: Tensor, device: Any = None, non_blocking: bool = False, memory_format: Any = None) -> Tensor:
    """The tensor on the CUDA device; itself if it is there."""
    if device is not None and _device(device).type != "cuda":
        raise RuntimeError(f"Invalid device, must be cuda device: {_device(device)}")
    return moved(input, placement("cuda" if device is None else device, "cuda"))


# How a tensor that requires a gradient moves to another device: see autograd/moving.py.
moving: list[Any] = []


def moved(input: Tensor, where: str) -> Tensor:
    """The tensor on a device, named as array types have it; itself if it is there."""
    if input._node.spec.type.device == where:
        return input
    if grad_mode.enabled and input.requires_grad:
        return moving[0](input, where)
    return copied(input, where)


def copied(input: Tensor, where: str) -> Tensor:
    """A copy on another device, without history."""
    node = input._to_look()
    type_ = array_type(node.spec.type.shape, node.spec.type.dtype, where)
    return wrap(input_node(execute.value(node), type_))


# -- Python numbers and NumPy ----------------------------------------------------------------------------------------
# An operator that is given a tensor for a number or a dimension reads it here, and is to be asked again: no_template().

def item(input: Tensor) -> Any:
    """The only element as a Python number.  Raises RuntimeError for several or none."""
    no_template()
    array = input._array()
    if array.size != 1:
        raise RuntimeError(f"a Tensor with {array.size} elements cannot be converted to Scalar")
    return array.item()


def tolist(input: Tensor) -> Any:
    """Nested lists of Python numbers; a number for a 0-d tensor."""
    return input._array().tolist()


def numpy(input: Tensor, *, force: bool = False) -> np.ndarray:
    """The values as an array: a read-only snapshot.  RuntimeError where gradients are recorded, unless `force`."""
    node = input._node if input._storage is None else input._current()
    if node.spec.type.device != "cpu":
        if not force:
            raise TypeError(NOT_ON_THE_HOST)
        return execute.value(node)
    if input.requires_grad and not force:
        raise RuntimeError("Can't call numpy() on Tensor that requires grad. Use tensor.detach().numpy() instead.")
    array = node.value
    if type(array) is not np.ndarray or tracing.traces:
        array = execute.value(node)
    array = array.view()
    array.setflags(write=False)
    return array


def __array__(self: Tensor, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
    """What NumPy functions read."""
    array = numpy(self)
    if dtype is not None and array.dtype != dtype:
        return array.astype(dtype)
    return array.copy() if copy else array


def __array_wrap__(self: Tensor, array: np.ndarray, context: Any = None, return_scalar: bool = False) -> Tensor:
    """What NumPy functions give back: tensors."""
    return from_array(np.array(array))


def _number(self: Tensor) -> Any:
    no_template()
    array = self._array()
    if array.size != 1:
        raise ValueError("only one element tensors can be converted to Python scalars")
    if grad_mode.enabled and self.requires_grad:
        warnings.warn("Converting a tensor with requires_grad=True to a scalar may lead to unexpected behavior.\n"
                      "Consider using tensor.detach() first.", UserWarning, stacklevel=3)
    return array.item()


def __float__(self: Tensor) -> float:
    return float(_number(self))


def __int__(self: Tensor) -> int:
    return int(_number(self))


def __complex__(self: Tensor) -> complex:
    return complex(_number(self))


def __bool__(self: Tensor) -> bool:
    no_template()
    array = self._array()
    if array.size != 1:
        raise RuntimeError(f"Boolean value of Tensor with {'more than one value' if array.size else 'no values'} is "
                           "ambiguous")
    return bool(array.item())


def __index__(self: Tensor) -> int:
    if self._node.type.dtype.category == 2 or self._node.type.size != 1:
        raise TypeError("only integer tensors of a single element can be converted to an index")
    no_template()
    return int(self._array().item())


def __len__(self: Tensor) -> int:
    shape = self._node.type.shape
    if not shape:
        raise TypeError("len() of a 0-d tensor")
    return shape[0]


def __iter__(self: Tensor) -> Iterator[Tensor]:
    if not self._node.type.shape:
        raise TypeError("iteration over a 0-d tensor")
    return iter(OPERATORS["unbind"].call(self, 0))


def __contains__(self: Tensor, element: Any) -> bool:
    if not isinstance(element, (Tensor, *Number)):
        raise RuntimeError("Tensor.__contains__ only supports Tensor or scalar, but you passed in a "
                           f"{type(element).__name__}.")
    other = element._array() if isinstance(element, Tensor) else element
    return bool((self._array() == other).any())


def __hash__(self: Tensor) -> int:
    return id(self)


# -- sizes -----------------------------------------------------------------------------------------------------------

def size(input: Tensor, dim: int | None = None) -> Any:
    """The shape, or the length of one dimension."""
    shape = input._node.type.shape
    return Size(shape) if dim is None else shape[normal_dim(dim, len(shape))]


def dim(input: Tensor) -> int:
    """The number of dimensions."""
    return input._node.type.ndim


def numel(input: Tensor) -> int:
    """The number of elements."""
    return input._node.type.size


def element_size(input: Tensor) -> int:
    """Bytes per element."""
    return input._node.type.dtype.itemsize


def stride(input: Tensor, dim: int | None = None) -> Any:
    """Elements between neighbours along each dimension, or along one."""
    strides = layout(input)[0]
    return strides if dim is None else strides[normal_dim(dim, len(strides))]


def storage_offset(input: Tensor) -> int:
    """Where the first element lies in the storage, in elements."""
    return layout(input)[1]


def data_ptr(input: Tensor) -> int:
    """The address of the first element at this moment.  Values are immutable underneath: a write changes it."""
    node = input._node if input._storage is None else input._storage.node
    array = execute.stored(node)
    start = array.ctypes.data if isinstance(array, np.ndarray) else array.address
    return start + layout(input)[1] * element_size(input)


def is_tensor(obj: Any) -> TypeGuard[Tensor]:
    """Whether an object is a Tensor."""
    return isinstance(obj, Tensor)


def is_floating_point(input: Tensor) -> bool:
    """Whether the dtype is float32 or float64."""
    return input.dtype.is_floating_point


def is_complex(input: Tensor) -> bool:
    """False: there are no complex tensors."""
    return False


def is_signed(input: Tensor) -> bool:
    """Whether the dtype has negative numbers."""
    return input.dtype.is_signed


def is_same_size(input: Tensor, other: Tensor) -> bool:
    """Whether two tensors have the same shape."""
    return input.shape == other.shape


def is_nonzero(input: Tensor) -> bool:
    """Whether the only element is not 0."""
    if input.numel() != 1:
        raise RuntimeError(f"Boolean value of Tensor with {'more than one value' if input.numel() else 'no values'} is ambiguous")
    return bool(input._array().any())


def is_inference(input: Tensor) -> bool:
    """False: tensors of inference_mode are not marked."""
    return False


def get_device(input: Tensor) -> int:
    """The number of the CUDA device; -1: the CPU."""
    return -1 if input._node.spec.type.device == "cpu" else 0


# -- overwriting -----------------------------------------------------------------------------------------------------

def copy_(self: Tensor, src: Tensor, non_blocking: bool = False) -> Tensor:
    """Write the values of src, broadcast and converted, to this tensor."""
    if isinstance(src, Number):
        return fill_(self, src)
    if not isinstance(src, Tensor):
        refuse_complex(src)
        raise TypeError(f"copy_(): argument 'other' (position 1) must be Tensor, not {type(src).__name__}")
    src = moved(src, self._node.spec.type.device)
    node, source = self._current(), src._current()
    shape = node.type.shape
    value = value_node(src, node)
    try:
        value = broadcast_value(value, shape)
    except RuntimeError:
        broadcast_shapes(shape, source.type.shape)
        raise RuntimeError(f"copy_: output with shape {list(shape)} doesn't match the broadcast shape "
                           f"{list(source.type.shape)}") from None
    self._write(finish_composite(value, "CopyBackwards", (node, source), ()), "CopyBackwards")
    return self


def fill_(self: Tensor, value: Any) -> Tensor:
    """Write a number, or a 0-d tensor's value, to every element."""
    if isinstance(value, Tensor) and value.ndim:
        raise RuntimeError(f"fill_ only supports 0-dimension value tensor but got tensor with {value.ndim} dimensions.")
    node = self._current()
    inputs = (node, value._current()) if isinstance(value, Tensor) else (node,)
    name = f"FillBackward{len(inputs) + 1}"
    self._write(finish_composite(broadcast_value(value_node(value, node), node.type.shape), name, inputs, ()), name)
    return self


def zero_(self: Tensor) -> Tensor:
    """Write 0 to every element."""
    node = self._current()
    if not self._chain and type(node.value) is np.ndarray and not node.requires_grad:
        self._replace(np.zeros(node.type.shape, node.type.dtype.np))
        return self
    self._write(input_node(np.zeros(node.type.shape, node.type.dtype.np), node.type), "ZeroBackward0")
    return self


def detach_(self: Tensor) -> Tensor:
    """Cut this tensor off from the graph.  Raises RuntimeError for views."""
    if base_depth(self._chain) < len(self._chain):
        raise RuntimeError("Can't detach views in-place. Use detach() instead. If you are using "
                           "DistributedDataParallel (DDP) for training, and gradient_as_bucket_view is set as True, "
                           "gradients are views of DDP buckets, and hence detach_() cannot be called on these "
                           "gradients. To fix this error, please refer to the Optimizer.zero_grad() function in "
                           "torch/optim/optimizer.py as the solution.")
    node = self._current()
    if node.requires_grad:
        self._leaf = None
        self._rebase(apply_step(node, NO_GRAD))
    return self


METHODS = (to, type_as, cpu, cuda, item, tolist, numpy, __array__, __array_wrap__, __float__, __int__, __complex__,
           __bool__, __index__, __len__, __iter__, __contains__, __hash__, size, dim, numel, element_size, stride,
           storage_offset, data_ptr, is_contiguous, is_floating_point, is_complex, is_signed, is_same_size, get_device, is_nonzero,
           is_inference,
           copy_, fill_, zero_, detach_)
for _function in (numel, is_floating_point, is_complex, is_signed, is_same_size, is_nonzero, is_inference):
    function(kind=None)(_function)
