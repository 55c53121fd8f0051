"""Attaches the operators to Tensor: methods, in-place methods, Python's operators, properties and text."""
from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from jitgrad.autograd.reverse.grad_fn import tensor_grad_fn
from jitgrad.graph.recording import grad_mode, in_grad_mode
from jitgrad.missing import absent_method
from jitgrad.operators import conversion
from jitgrad.operators.declaration.declare import OPERATORS
from jitgrad.operators.declaration.inplace import inplace_method
from jitgrad.operators.declaration.schema import shown_text
from jitgrad.operators.indexing import getitem
from jitgrad.operators.native.entry_points import entry_point, method
from jitgrad.operators.native.layout import NUMBERS, PLAIN, READS, SCALED, UPDATES, WRITES
from jitgrad.operators.operands import Number
from jitgrad.operators.traced_array import array_tensor
from jitgrad.operators.views.diagonal import fill_diagonal_
from jitgrad.requests import execute
from jitgrad.tensors import writing
from jitgrad.tensors.steps import NO_GRAD, apply_step
from jitgrad.tensors.storage import leaf_node
from jitgrad.tensors.tensor import Tensor
from jitgrad.types.dtype import refuse_complex
from jitgrad.types.memory_layout import strided

_OPERANDS = (Tensor, *Number)


def _binary(name: str, call: Callable[[Any, Any], Any], swap: bool = False, kind: int | None = None) -> None:
    """A Python operator, which leaves operands that it does not know to the other operand.  kind: see register()."""

    def operator(self: Tensor, other: Tensor | float | np.ndarray) -> Tensor:
        if not isinstance(other, _OPERANDS):
            if not isinstance(other, np.ndarray):
                refuse_complex(other)
                return NotImplemented
            other = array_tensor(other)
        return call(other, self) if swap else call(self, other)

    operator.operator = getattr(call, "operator", None)         # type: ignore[attr-defined]  (see inplace_method)
    _attach(name, operator, kind)


def _writing(name: str) -> int:
    """The kind of the operator in place."""
    return SCALED if OPERATORS[name].kind == NUMBERS else UPDATES


def _attach(name: str, function: Callable, kind: int | None = None) -> None:
    function.__name__, function.__qualname__ = name, f"Tensor.{name}"
    setattr(Tensor, name, function if kind is None else method(entry_point(function, name, kind)))


def _attach_operators() -> None:
    call = {name: op.function for name, op in OPERATORS.items()}
    for python, name in (("add", "add"), ("sub", "sub"), ("mul", "mul"), ("truediv", "div"), ("lt", "lt"), ("le", "le"), ("gt", "gt"),
                         ("ge", "ge"), ("eq", "eq"), ("ne", "ne"), ("radd", "add"), ("rmul", "mul"), ("rsub", "rsub")):
        _binary(f"__{python}__", call[name], kind=NUMBERS)
    for python, name in (("pow", "pow"), ("floordiv", "floor_divide"), ("mod", "remainder"), ("and", "bitwise_and"),
                         ("or", "bitwise_or"), ("xor", "bitwise_xor"), ("lshift", "bitwise_left_shift"),
                         ("rshift", "bitwise_right_shift")):
        _binary(f"__{python}__", call[name], kind=OPERATORS[name].kind)
        _binary(f"__r{python}__", call[name], swap=True)
    for python, name in (("add", "add"), ("sub", "sub"), ("mul", "mul"), ("truediv", "div"), ("pow", "pow"),
                         ("floordiv", "floor_divide"), ("mod", "remainder"), ("and", "bitwise_and"),
                         ("or", "bitwise_or"), ("xor", "bitwise_xor"), ("lshift", "bitwise_left_shift"),
                         ("rshift", "bitwise_right_shift")):
        _binary(f"__i{python}__", inplace_method(OPERATORS[name]), kind=_writing(name))
    # As in PyTorch the reciprocal times the other.
    _binary("__rtruediv__", lambda self, other: call["mul"](call["reciprocal"](self), other), kind=NUMBERS)
    for name in ("div", "rdiv", "idiv"):        # Python 2's names, which PyTorch keeps
        setattr(Tensor, f"__{name}__", getattr(Tensor, f"__{name.replace('div', 'truediv')}__"))
    for python, name in (("neg", "neg"), ("abs", "abs"), ("pos", "positive")):
        setattr(Tensor, f"__{python}__", method(OPERATORS[name].call))
    _attach("__invert__", _inverted)
    _attach("__matmul__", _product, PLAIN)
    Tensor.__getitem__ = method(entry_point(getitem.getitem, "__getitem__", READS))               # type: ignore[attr-defined]
    Tensor.__setitem__ = method(entry_point(getitem.setitem, "__setitem__", WRITES))               # type: ignore[attr-defined]


def _attach_methods() -> None:
    for name, op in OPERATORS.items():
        if "method" in op.places:
            setattr(Tensor, name, method(op.call))
            if op.inplace:
                function = inplace_method(op)
                shown = shown_text(op.schemas, out=False)
                setattr(Tensor, f"{name}_", method(entry_point(function, f"{name}_", _writing(name), shown)))
    for function in conversion.METHODS:
        setattr(Tensor, function.__name__, function)
    for name, function in (("type", conversion.type_name), ("ndimension", conversion.dim),
                           ("nelement", conversion.numel), ("where", _where)):
        setattr(Tensor, name, function)
    for function in (writing.write, writing.write_private, writing.replace, writing.rebase):
        setattr(Tensor, f"_{function.__name__}", function)
    for name, function in _PROPERTIES.items():
        setattr(Tensor, name, property(function))
    for name in ("squeeze", "unsqueeze", "t", "transpose", "swapaxes", "swapdims"):
        setattr(Tensor, f"{name}_", _in_place_view(name))
    for name in _ABSENT:
        setattr(Tensor, name, _Absent(name))
    Tensor.__dir__ = _names                     # type: ignore[method-assign]
    Tensor.polygamma = _polygamma               # type: ignore[attr-defined]
    Tensor.fill_diagonal_ = fill_diagonal_      # type: ignore[attr-defined]


def _where(self: Tensor, condition: Tensor, other: Any) -> Tensor:
    """self where condition, other elsewhere."""
    return OPERATORS["where"].call(condition, self, other)


def _product(self: Tensor, other: Tensor) -> Tensor:
    """The matrix product."""
    return OPERATORS["matmul"].function(self, other) if isinstance(other, Tensor) else NotImplemented


def _inverted(self: Tensor) -> Tensor:
    """~self of integers or bools."""
    if self._node.type.dtype.category == 2:
        raise TypeError("~ (operator.invert) is only implemented on integer and Boolean-type tensors")
    return OPERATORS["bitwise_not"].call(self)


def _transposed(self: Tensor) -> Tensor:
    """All dimensions in reverse order."""
    return OPERATORS["T"].call(self)


def _adjoint(self: Tensor) -> Tensor:
    """A matrix transposed."""
    if self.ndim not in (0, 2):
        raise RuntimeError(f"tensor.H is only supported on matrices (2-D tensors). Got {self.ndim}-D tensor.")
    return OPERATORS["T"].call(self)


def _matrix_transposed(self: Tensor) -> Tensor:
    """The last two dimensions exchanged."""
    return OPERATORS["mT"].call(self)


def _in_place_view(name: str) -> Callable[..., Tensor]:
    """The method `name_` of a view: the tensor becomes the view."""
    call, schemas = OPERATORS[name].call, OPERATORS[name].schemas

    def method(self: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        leaf = self._leaf
        if leaf is not None and grad_mode.enabled:
            raise RuntimeError("a leaf Variable that requires grad is being used in an in-place operation.")
        try:
            if leaf is None:
                result = call(self, *args, **kwargs)
            else:                       # it stays one, of its own over the same memory
                result = in_grad_mode(True, functools.partial(call, self.detach(), *args, **kwargs)).detach()
        except TypeError:
            if len(schemas) == 1:
                schemas[0].renamed(f"{name}_").bind((self, *args), kwargs)       # which raises it in this method's name
            raise
        self._node, self._storage, self._chain, self._seen = result._node, result._storage, result._chain, result._seen
        if leaf is not None:
            self._become(leaf_node(execute.value(self._node), self._node, leaf))
        # It counts as a write, of the same values.
        in_grad_mode(False, writing.write, self, apply_step(self._current(), NO_GRAD))
        return self

    method.__name__ = method.__qualname__ = f"{name}_"
    method.__doc__ = f"{name}(), which this tensor becomes."
    return method


def _polygamma(self: Tensor, n: int) -> Tensor:
    """The n-th derivative of digamma."""
    return OPERATORS["polygamma"].call(n, self)


def _imaginary(self: Tensor) -> Tensor:
    """Raises: there are no complex numbers."""
    raise RuntimeError("imag is not implemented for tensors with non-complex dtypes.")


class _Absent:
    """A method that PyTorch's tensors have and these lack: its AttributeError says what to use instead."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __get__(self, instance: Any, owner: type) -> Any:
        raise absent_method(owner.__name__, self.name)


_ABSENT = ("as_strided", "as_strided_", "resize_", "set_", "storage", "untyped_storage", "share_memory_", "pin_memory", "to_sparse",
           "to_dense", "coalesce", "lu", "lu_solve", "matrix_exp", "eig", "symeig", "stft", "istft", "dequantize")


def _names(self: Tensor) -> list[str]:
    """What dir() shows: no names that raise."""
    return sorted({*object.__dir__(self)} - {*_ABSENT})


def _no(self: Tensor) -> bool:
    """False on every tensor of this library."""
    return False


def _yes(self: Tensor) -> bool:
    """True on every tensor of this library."""
    return True


def _itself(self: Tensor) -> Tensor:
    """The tensor: it has no imaginary part."""
    return self


def _layout(self: Tensor) -> Any:
    """torch.strided, the only layout."""
    return strided


def _nbytes(self: Tensor) -> int:
    """Bytes of all elements."""
    return self._node.type.size * self._node.type.dtype.itemsize


_PROPERTIES: dict[str, Callable[[Tensor], Any]] = {
    "T": _transposed, "mT": _matrix_transposed, "H": _adjoint, "mH": _matrix_transposed, "real": _itself, "imag": _imaginary,
    "is_cpu": _yes, "is_mps": _no, "is_xpu": _no, "layout": _layout, "is_cuda": _no,
    "is_sparse": _no, "is_quantized": _no, "is_meta": _no,
    "itemsize": conversion.element_size, "nbytes": _nbytes}


# -- text ------------------------------------------------------------------------------------------------------------

def text(self: Tensor) -> str:
    """The tensor as PyTorch prints it."""
    from jitgrad.tensors.formatting import format_tensor
    node = self._current()
    suffixes = []
    if node.requires_grad:
        fn = tensor_grad_fn(self)
        suffixes.append("requires_grad=True" if fn is None else f"grad_fn=<{type(fn).__name__}>")
    return format_tensor(self._array(), node.type.dtype, suffixes=suffixes)


def formatted(self: Tensor, spec: str) -> str:
    """format(): of a 0-d tensor as of its number."""
    from jitgrad.tensors.formatting import format_value
    return format_value(self._array(), spec, self.__str__, type_name=type(self).__name__)


def attach() -> None:
    """Give Tensor everything that the operators provide."""
    _attach_operators()
    _attach_methods()
    Tensor.__repr__ = text                      # type: ignore[method-assign]
    Tensor.__format__ = formatted               # type: ignore[method-assign]


attach()
