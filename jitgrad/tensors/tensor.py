"""Tensor: a mutable handle on immutable nodes.  Operators, and writing in place, are attached by methods.py."""
from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from jitgrad.graph.node import Extra, Node
from jitgrad.graph.recording import bind, grad_mode, input_node
from jitgrad.ops import REGISTRY
from jitgrad.requests import execute
from jitgrad.tensors.histories import Accumulator, derived
from jitgrad.tensors.steps import NO_GRAD, Step, apply_step, derive, movements
from jitgrad.tensors.storage import (
    ATTACH,
    Detached,
    Storage,
    Version,
    base_depth,
    detached_storages,
    gradient_edge,
    leaf_node,
    recorded,
    stamp,
)
from jitgrad.types.array import array_type, same_type
from jitgrad.types.device import CPU, device
from jitgrad.types.dtype import dtype, from_numpy_dtype

COPY = REGISTRY["copy"]


if TYPE_CHECKING:       # a stub of what methods.py and others attach
    from jitgrad.tensors.attached import Attached  # pyright: ignore[reportMissingModuleSource]
else:
    Attached = object


class Tensor(Attached):
    """A multi-dimensional array that records what is done to it.

    `_node`: the node of the current value, unless `_storage` has been written to since `_seen` (see `_current`).
    `_chain`: the steps from all of the storage's memory to it; the last Detached among them is its base (storage.py).
    `_leaf`: set on tensors for which gradients are accumulated.  All other state has defaults on the class."""

    __slots__ = ("_node", "_storage", "__dict__", "__weakref__")        # machine code reads the first two by offset

    _node: Node
    _storage: Any                       # None, Storage, or storage.Deferred where the node is not made yet
    _chain: tuple[Step, ...] = ()
    _seen: int = 0
    _leaf: Accumulator | None = None
    _grad: Tensor | None = None
    _tracks_version: bool = True        # False for `.data` and its views, whose versions are counted apart
    __array_priority__ = 1000

    # -- the current node --------------------------------------------------------------------------------------------

    def _current(self) -> Node:
        """The node of the value as of now."""
        storage = self._storage
        if storage is None or storage.writes == self._seen:
            return self._node
        if storage.deferred:
            storage.materialise(self)
            return self._node
        return derived(self, grad_mode.enabled)

    def _to_look(self) -> Node:
        """_current(), where only the value matters: that of a view is there where its history is not."""
        storage = self._storage
        if storage is None or storage.writes == self._seen or storage.deferred:
            return self._current()
        return derived(self, False)

    def _cell(self) -> Version:
        """The version counter of the storage, or the one of `.data`."""
        if self._tracks_version:
            return self._storage.cell
        step: Any = self._chain[base_depth(self._chain) - 1]
        return step.cell

    def _ensure_storage(self) -> Storage:
        storage = self._storage
        if storage is None:
            node, _ = self._node, self.__dict__     # for `_seen`, which is stored where nothing is to be made
            storage = Storage(node)
            if self._storage is not None:       # whoever the collector has run meanwhile was first
                stamp(node, self._storage.cell, 0)
                return self._ensure_storage()
            self._storage = storage
        elif storage.deferred:
            self._current()
            return self._ensure_storage()
        elif storage.owner is not None:
            storage.flush()
        return storage

    def _view(self, steps: tuple[Step, ...]) -> Tensor:
        """A tensor that shares this one's storage.  Made without grad mode, it is detached."""
        storage = self._ensure_storage()
        node = self._current()
        seen, cell = storage.writes, self._cell()       # of one moment, whoever writes meanwhile
        version = cell.value
        if not grad_mode.enabled:
            steps = (NO_GRAD, *steps)
            if self.requires_grad:
                node = apply_step(node, NO_GRAD)
                seen = -1               # what it is depends on the mode in which it is asked for
        result = wrap(derive(node, steps))
        if result._node is node:
            result._node = bind(COPY, (node,))
        result._storage = storage
        result._chain = self._chain + steps
        result._seen = seen
        result._tracks_version = self._tracks_version
        stamp(result._node, cell, version)
        return result

    def _detached(self, tracks: bool) -> Tensor:
        """A base of its own over the same memory.  tracks: whether it has the same version counter."""
        storage = self._ensure_storage()
        source = self._node if storage.writes == self._seen else self._to_look()
        writes, cell = storage.writes, storage.cell if self._tracks_version else self._cell()
        version = cell.value            # of one moment, whoever writes meanwhile
        if not tracks:
            cell, version = Version(), 0
        node = apply_step(source, NO_GRAD)
        extra = node.extra = Extra()
        extra.cell, extra.version = cell, version
        result = _new(Tensor)
        result._node = node
        result._storage = storage
        result._chain = (*movements(self._chain), Detached(node, writes, cell))       # type: ignore[assignment]
        result._seen = writes
        if cell is not storage.cell:
            result._tracks_version = False
        if storage.node.inputs:
            storage.release()
            if storage.node.inputs:
                detached_storages.add(storage)
        return result

    # -- what it is --------------------------------------------------------------------------------------------------

    @property
    def shape(self) -> Size:
        """Lengths of the dimensions, as a torch.Size."""
        return Size(self._node.type.shape)

    @property
    def ndim(self) -> int:
        return self._node.type.ndim

    @property
    def dtype(self) -> dtype:
        return self._node.type.dtype

    @property
    def device(self) -> device:
        return CPU

    @property
    def requires_grad(self) -> bool:
        """Whether gradients flow to or through this tensor.  Settable on leaves."""
        storage = self._storage
        if storage is None or storage.writes == self._seen or storage.deferred:
            return self._node.requires_grad
        return self._to_look().requires_grad or (
            bool(self._chain) and storage.base(self._chain, base_depth(self._chain)).requires_grad)

    @requires_grad.setter
    def requires_grad(self, value: bool) -> None:
        self.requires_grad_(value)

    def requires_grad_(self, requires_grad: bool = True) -> Tensor:
        """Start (or stop) recording operations on this tensor, in place.

        Raises RuntimeError for tensors that are not floating-point, and for turning it off on a non-leaf."""
        node = self._current()
        if bool(requires_grad) == node.requires_grad:
            return self
        if requires_grad:
            if node.type.dtype.category != 2:
                raise RuntimeError("only Tensors of floating point dtype can require gradients")
            if self._leaf is None:
                self._leaf = Accumulator(self)
            new = leaf_node(execute.value(node), node, self._leaf)
        else:
            if not self.is_leaf:
                raise RuntimeError("you can only change requires_grad flags of leaf variables. If you want to use a "
                                   "computed variable in a subgraph that doesn't require differentiation use "
                                   "var_no_grad = var.detach().")
            self._leaf = None
            new = input_node(node.value, node.type)
        self._become(new)
        return self

    def _become(self, node: Node) -> None:
        """Take a node of the same value but another history."""
        self._node = node
        storage = self._storage
        if storage is not None:
            stamp(node, self._cell())
            if not self._chain:
                storage.hold(node)
            elif isinstance(step := self._chain[-1], Detached):
                step.node = node

    @property
    def is_leaf(self) -> bool:
        """True for tensors that were not computed from tensors requiring gradients."""
        node = self._current()
        return not node.requires_grad or (node.extra is not None and node.extra.leaf is not None)

    @property
    def grad(self) -> Tensor | None:
        """The accumulated gradient, None before the first backward."""
        if self._grad is None and not self.is_leaf and not self._retains():
            import warnings
            warnings.warn("The .grad attribute of a Tensor that is not a leaf Tensor is being accessed. Its .grad "
                          "attribute won't be populated during autograd.backward(). If you indeed want the .grad field "
                          "to be populated for a non-leaf Tensor, use .retain_grad() on the non-leaf Tensor.",
                          UserWarning, stacklevel=2)
        return self._grad

    @grad.setter
    def grad(self, value: Tensor | None) -> None:
        if value is not None:
            if not isinstance(value, Tensor):
                raise TypeError(f"assigned grad expected to be a Tensor or None but got grad of type {type(value).__name__}")
            if value is self:
                raise RuntimeError("can't assign Variable as its own grad")
            if value.shape != self.shape:
                raise RuntimeError(f"attempting to assign a gradient of size '{list(value.shape)}' to a tensor of size "
                                   f"'{list(self.shape)}'. Please ensure that the gradient and the tensor are the same "
                                   "size")
            if value.dtype is not self.dtype:
                raise RuntimeError(f"attempting to assign a gradient with dtype '{value.dtype.c_type}' to a tensor with grad_dtype "
                                   f"'{self.dtype.title}'. The gradient must match the tensor's grad_dtype (defaults to the tensor's "
                                   "dtype). You can set the tensor's grad_dtype attribute with a specific dtype, or None to allow any "
                                   "dtype. Set grad_dtype with caution. Diverging the dtypes of a tensor and its gradient may break "
                                   "downstream systems that assume they match.")
        self._grad = value

    @grad.deleter
    def grad(self) -> None:
        self._grad = None

    def _retains(self) -> bool:
        extra = gradient_edge(self._current()).extra
        return extra is not None and extra.watch is not None and extra.watch.retains()

    @property
    def _version(self) -> int:
        storage = self._storage
        if storage is None:
            return 0
        if not storage.deferred and storage.owner is not None:
            storage.flush()
        return storage.cell.value if storage.deferred else self._cell().value

    # -- values ------------------------------------------------------------------------------------------------------

    def _array(self) -> np.ndarray:
        """The current value.  The array belongs to the graph and must not be written to."""
        storage = self._storage
        if storage is not None and storage.deferred:
            return storage.value(self)
        return execute.value(self._to_look())

    def detach(self) -> Tensor:
        """A tensor on the same storage, cut off from the graph."""
        storage = self._storage
        return self._detached(True) if storage is None or not storage.deferred else storage.detach(self, True)

    @property
    def data(self) -> Tensor:
        """The value, cut off from the graph; writes to it are not seen by autograd's version check."""
        storage = self._storage
        return self._detached(False) if storage is None or not storage.deferred else storage.detach(self, False)

    @data.setter
    def data(self, value: Tensor) -> None:
        if not isinstance(value, Tensor):
            raise TypeError(f"Variable data has to be a tensor, but got {type(value).__name__}")
        if value._storage is not None and value._storage is self._storage and value._chain and (
                type(value._chain[-1]) is Detached and value._chain[:-1] == movements(self._chain)):
            return                          # x.data += 1: what is assigned is this tensor's own data, written already
        self._ensure_storage()
        node = value._current()
        new = input_node(execute.value(node), node.type)
        if self._leaf is not None:
            new = leaf_node(new.value, new, self._leaf)
        elif (old := self._current()).requires_grad and same_type(old.type, new.type):
            new = recorded(bind, ATTACH, (gradient_edge(old), new))     # the history stays as it was
        cell = self._cell()
        self._node, self._storage, self._chain, self._seen, self._tracks_version = new, Storage(new), (), 0, True
        self._storage.cell = cell           # the version counts on
        stamp(new, cell)

    def __deepcopy__(self, memo: dict) -> Tensor:
        if not self.is_leaf:
            raise RuntimeError("Only Tensors created explicitly by the user (graph leaves) support the deepcopy protocol "
                               "at the moment. If you were attempting to deepcopy a module, use detach() first.")
        found = memo.get(id(self))
        if found is not None:
            return found
        import copy
        result = memo[id(self)] = blank(type(self))
        node = self._current()
        result._node = input_node(execute.value(node), node.type)
        result.__dict__.update(copy.deepcopy({**self._own(), "_grad": self._grad}, memo))
        return result.requires_grad_(node.requires_grad)

    def _own(self) -> dict[str, Any]:
        """The attributes that the user has set."""
        return {name: value for name, value in self.__dict__.items() if name not in Tensor.__annotations__}

    def __copy__(self) -> Tensor:
        """A leaf on the same memory."""
        result = blank(type(self))
        shared = self.detach()
        result._node, result._storage = shared._node, shared._storage
        result.__dict__.update(shared.__dict__ | self._own())
        return result.requires_grad_(self.requires_grad)

    def __reduce_ex__(self, protocol: Any) -> tuple:
        if not self.is_leaf:
            raise RuntimeError("a tensor that is part of a graph cannot be pickled: use detach() first")
        return _rebuild, (type(self), self._array(), self.requires_grad), self._own() or None


def _rebuild(cls: type[Tensor], array: np.ndarray, requires_grad: bool) -> Tensor:
    return from_array(array, cls).requires_grad_(requires_grad)


class Size(tuple[int, ...]):
    """The lengths of a tensor's dimensions: a tuple with `numel()`."""

    __slots__ = ()

    def numel(self) -> int:
        """The number of elements."""
        n = 1
        for length in self:
            n *= length
        return n

    def __repr__(self) -> str:
        return f"torch.Size({list(self)})"

    def __getitem__(self, i: Any) -> Any:
        item = tuple.__getitem__(self, i)
        return Size(item) if isinstance(i, slice) else item

    def __add__(self, other: tuple) -> Size:      # type: ignore[override]
        return Size(tuple(self) + tuple(other))


_T = TypeVar("_T", bound=Tensor)
_new = Tensor.__new__


def blank(cls: type[_T]) -> _T:
    """A tensor that has yet to be given its node."""
    result = _new(cls)
    result._storage = None
    return result


def wrap(node: Node) -> Tensor:
    """A tensor on a node of its own."""
    result = _new(Tensor)
    result._node = node
    result._storage = None
    return result


def from_array(array: np.ndarray, cls: type[Tensor] = Tensor) -> Tensor:
    """A tensor on an array that nobody will write to again (the caller vouches)."""
    result = blank(cls)
    result._node = input_node(array, array_type(array.shape, from_numpy_dtype(array.dtype)))
    return result
