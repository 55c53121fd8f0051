"""Linear, and the activation functions as modules."""
from __future__ import annotations

import math
from typing import Any

from jitgrad.nn import functional as F
from jitgrad.nn import init
from jitgrad.nn.module import Module
from jitgrad.nn.parameter import Parameter
from jitgrad.operators import OPERATORS
from jitgrad.operators.creation import empty
from jitgrad.tensors.tensor import Tensor

__all__ = ["CELU", "ELU", "GELU", "SELU", "Flatten", "Hardsigmoid", "Hardswish", "Hardtanh", "Identity", "LeakyReLU", "Linear",
           "LogSigmoid", "LogSoftmax", "Mish", "ReLU", "ReLU6", "SiLU", "Sigmoid", "Softmax", "Softmin", "Softplus", "Softsign",
           "Tanh", "Tanhshrink", "Threshold"]


class Identity(Module):
    """Its input; any arguments are ignored."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__()

    def forward(self, input: Any) -> Any:
        """The input."""
        return input


class Linear(Module):
    """input @ weight.T + bias: (..., in_features) to (..., out_features).

    Both are drawn uniformly between -1 and 1 over the square root of in_features."""

    bias: Parameter | None

    def __init__(self, in_features: int, out_features: int, bias: bool = True, device: Any = None,
                 dtype: Any = None) -> None:
        super().__init__()
        self.in_features = in_features
        self.out_features = out_features
        self.weight = Parameter(empty((out_features, in_features), device=device, dtype=dtype))
        if bias:
            self.bias = Parameter(empty(out_features, device=device, dtype=dtype))
        else:
            self.register_parameter("bias", None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw new values."""
        init.kaiming_uniform_(self.weight, a=math.sqrt(5))
        if self.bias is not None:
            bound = 1 / math.sqrt(self.in_features) if self.in_features > 0 else 0
            init.uniform_(self.bias, -bound, bound)

    def forward(self, input: Tensor) -> Tensor:
        """The affine map of the last dimension."""
        return F.linear(input, self.weight, self.bias)

    def extra_repr(self) -> str:
        """The arguments."""
        return f"in_features={self.in_features}, out_features={self.out_features}, bias={self.bias is not None}"


class Flatten(Module):
    """Dimensions start_dim to end_dim as one."""

    def __init__(self, start_dim: int = 1, end_dim: int = -1) -> None:
        super().__init__()
        self.start_dim = start_dim
        self.end_dim = end_dim

    def forward(self, input: Tensor) -> Tensor:
        """The same elements in the new shape."""
        return OPERATORS["flatten"].call(input, self.start_dim, self.end_dim)

    def extra_repr(self) -> str:
        """The arguments."""
        return f"start_dim={self.start_dim}, end_dim={self.end_dim}"


class _Activation(Module):
    """An operator of nn.functional applied to the input.

    `function`: its name; `shown`: which of the arguments, kept as attributes, the text shows, and are passed on."""

    function: str
    shown: tuple[str, ...] = ()

    def _arguments(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.shown}

    def forward(self, input: Tensor) -> Tensor:
        """The function of each element."""
        return getattr(F, self.function)(input, **self._arguments())

    def extra_repr(self) -> str:
        """The arguments."""
        return ", ".join(f"{name}={value!r}" for name, value in self._arguments().items())


class _InplaceActivation(_Activation):
    """An activation that can overwrite its input."""

    def __init__(self, inplace: bool = False) -> None:
        super().__init__()
        self.inplace = inplace

    def forward(self, input: Tensor) -> Tensor:
        """The function of each element, written to the input if `inplace`."""
        return getattr(F, self.function)(input, **self._arguments(), inplace=self.inplace)

    def extra_repr(self) -> str:
        """The arguments."""
        return ", ".join(filter(None, [super().extra_repr(), "inplace=True" if self.inplace else ""]))


class Tanh(_Activation):
    """tanh."""
    function = "tanh"


class Sigmoid(_Activation):
    """1 / (1 + exp(-x))."""
    function = "sigmoid"


class LogSigmoid(_Activation):
    """log(sigmoid(x))."""
    function = "logsigmoid"


class Softsign(_Activation):
    """x / (1 + |x|)."""
    function = "softsign"


class Tanhshrink(_Activation):
    """x - tanh(x)."""
    function = "tanhshrink"


class ReLU(_InplaceActivation):
    """max(x, 0)."""
    function = "relu"


class ReLU6(_InplaceActivation):
    """x kept between 0 and 6."""
    function = "relu6"


class SELU(_InplaceActivation):
    """The scaled exponential linear unit (Klambauer et al. 2017)."""
    function = "selu"


class SiLU(_InplaceActivation):
    """x * sigmoid(x)."""
    function = "silu"


class Mish(_InplaceActivation):
    """x * tanh(softplus(x))."""
    function = "mish"


class Hardswish(_InplaceActivation):
    """x * hardsigmoid(x)."""
    function = "hardswish"

    def extra_repr(self) -> str:
        """Nothing."""
        return ""


class Hardsigmoid(Hardswish):
    """(x + 3) / 6, kept between 0 and 1."""
    function = "hardsigmoid"


class LeakyReLU(_InplaceActivation):
    """x where it is positive, negative_slope * x elsewhere."""
    function = "leaky_relu"
    shown = ("negative_slope",)

    def __init__(self, negative_slope: float = 0.01, inplace: bool = False) -> None:
        super().__init__(inplace)
        self.negative_slope = negative_slope


class ELU(_InplaceActivation):
    """x where it is positive, alpha * (exp(x) - 1) elsewhere."""
    function = "elu"
    shown = ("alpha",)

    def __init__(self, alpha: float = 1.0, inplace: bool = False) -> None:
        super().__init__(inplace)
        self.alpha = alpha


class CELU(ELU):
    """x where it is positive, alpha * (exp(x / alpha) - 1) elsewhere."""
    function = "celu"


class Hardtanh(_InplaceActivation):
    """x kept between min_val and max_val."""
    function = "hardtanh"
    shown = ("min_val", "max_val")

    def __init__(self, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False) -> None:
        super().__init__(inplace)
        self.min_val = min_val
        self.max_val = max_val


class Threshold(_InplaceActivation):
    """x where it is above the threshold, value elsewhere."""
    function = "threshold"
    shown = ("threshold", "value")

    def __init__(self, threshold: float, value: float, inplace: bool = False) -> None:
        super().__init__(inplace)
        self.threshold = threshold
        self.value = value


class GELU(_Activation):
    """x times the normal distribution function at it; approximate="tanh": by a tanh."""
    function = "gelu"
    shown = ("approximate",)

    def __init__(self, approximate: str = "none") -> None:
        super().__init__()
        self.approximate = approximate


class Softplus(_Activation):
    """log(1 + exp(beta * x)) / beta; x itself where beta * x > threshold."""
    function = "softplus"
    shown = ("beta", "threshold")

    def __init__(self, beta: float = 1.0, threshold: float = 20.0) -> None:
        super().__init__()
        self.beta = beta
        self.threshold = threshold


class Softmax(_Activation):
    """exp(x) over its sum along `dim`."""
    function = "softmax"
    shown = ("dim",)

    def __init__(self, dim: int | None = None) -> None:
        super().__init__()
        self.dim = dim


class LogSoftmax(Softmax):
    """log(softmax(x)) along `dim`."""
    function = "log_softmax"


class Softmin(Softmax):
    """softmax(-x) along `dim`."""
    function = "softmin"
