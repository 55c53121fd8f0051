"""Activation functions of nn.functional, and softmax."""
from __future__ import annotations

import math
from typing import Any

from jitgrad import ops
from jitgrad.graph.node import Node
from jitgrad.operators.declaration.declare import OPERATORS, function, operator
from jitgrad.operators.declaration.inplace import inplace_method
from jitgrad.operators.declaration.out import CAST, EXACT
from jitgrad.operators.operands import cast, normal_dim, number_node
from jitgrad.operators.provenance import warn_user
from jitgrad.operators.reduction import largest
from jitgrad.operators.templates.template import no_template
from jitgrad.tensors.tensor import Tensor
from jitgrad.types.dtype import as_dtype, dtype

F = ("functional",)


def _number(value: float, x: Node) -> Node:
    return number_node(value, x.type.dtype)


def _floating(called: str, x: Any) -> Node:
    if x.type.dtype.category < 2:
        raise NotImplementedError(f"\"{called}_kernel_impl\" not implemented for '{x.type.dtype.title}': it "
                                  "takes floating-point tensors")
    return x


# -- softmax ---------------------------------------------------------------------------------------------------------

def _softmax_operands(called: str, x: Node, dim: int | None, dtype: dtype | None) -> tuple[Node, tuple[int, ...]]:
    if dtype is not None:
        x = cast(x, as_dtype(dtype))
    _floating(called, x)
    if dim is None:
        no_template()
        warn_user(f"Implicit dimension choice for {called} has been deprecated. Change the call to include dim=X as an "
                  "argument.")
        dim = 0 if x.type.ndim in (0, 1, 3) else 1
    return x, (normal_dim(dim, x.type.ndim),) if x.type.ndim else ()


@operator("SoftmaxBackward0", saves=("result",), out=EXACT)
def softmax(input: Node, dim: int | None, dtype: dtype | None = None) -> Node:
    """exp(input), divided by its sum along `dim`."""
    x, dims = _softmax_operands("softmax", input, dim, dtype)
    e = ops.exp(x - largest(x, dims))
    return e / ops.sum(e, axes=dims)


@operator("LogSoftmaxBackward0", saves=("result",), out=EXACT)
def log_softmax(input: Node, dim: int | None, dtype: dtype | None = None) -> Node:
    """log(softmax(input)) along `dim`, without overflow."""
    x, dims = _softmax_operands("log_softmax", input, dim, dtype)
    below = x - largest(x, dims)
    return below - ops.log(ops.sum(ops.exp(below), axes=dims))


@function(name="softmax.functional", places=())
def functional_softmax(input: Tensor, dim: int | None = None, _stacklevel: int = 3, dtype: dtype | None = None) -> Tensor:
    """torch.softmax with the arguments of nn.functional."""
    return softmax(input, dim, dtype)


@function(name="log_softmax.functional", places=())
def functional_log_softmax(input: Tensor, dim: int | None = None, _stacklevel: int = 3, dtype: dtype | None = None) -> Tensor:
    """torch.log_softmax with the arguments of nn.functional."""
    return log_softmax(input, dim, dtype)


@function(places=F)
def softmin(input: Tensor, dim: int | None = None, _stacklevel: int = 3, dtype: dtype | None = None) -> Tensor:
    """softmax of -input."""
    return softmax(OPERATORS["neg"].call(input), dim, dtype)


# -- with a parameter or none ----------------------------------------------------------------------------------------

def _elu(x: Node, *numbers: float) -> Node:
    """numbers: scale, factor, rate and slope."""
    return ops.elu(x, *[_number(v, x) for v in numbers])


@operator("LeakyReluBackward0", places=F, inplace=True)
def leaky_relu(input: Node, negative_slope: float = 0.01) -> Node:
    """input where it is positive, negative_slope * input elsewhere."""
    return ops.leaky_relu(_floating("leaky_relu", input), _number(negative_slope, input))


@operator("EluBackward0", places=F, inplace=True, saves=("input",))
def elu(input: Node, alpha: float = 1.0) -> Node:
    """input where it is positive, alpha * (exp(input) - 1) elsewhere."""
    return _elu(_floating("elu", input), 1.0, alpha, 1.0, alpha)


@operator("EluBackward0", places=(*F, "torch"), inplace=True, saves=("input",))
def selu(input: Node) -> Node:
    """elu with the fixed scale and alpha of self-normalizing networks (Klambauer et al. 2017)."""
    scale, alpha = 1.0507009873554804934193349852946, 1.6732632423543772848170429916717
    return _elu(_floating("selu", input), scale, scale * alpha, 1.0, scale * alpha)


@operator("CeluBackward0", places=(*F, "torch"), inplace=True, saves=("input",))
def celu(input: Node, alpha: float = 1.0) -> Node:
    """input where it is positive, alpha * (exp(input / alpha) - 1) elsewhere."""
    return _elu(_floating("celu", input), 1.0, alpha, 1 / alpha, 1.0)


@operator("GeluBackward0", places=F, out=EXACT, saves=("input",))
def gelu(input: Node, approximate: str = "none") -> Node:
    """input times the normal distribution function at it; approximate="tanh": by a tanh."""
    x = _floating("gelu", input)
    if approximate == "none":
        return x * (0.5 * (1 + ops.erf(x * (1 / math.sqrt(2)))))
    if approximate == "tanh":
        return 0.5 * x * (1 + ops.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * (x * x * x))))
    raise RuntimeError("approximate argument must be either none or tanh.")


@operator("SiluBackward0", places=F, inplace=True, saves=("input",))
def silu(input: Node) -> Node:
    """input * sigmoid(input)."""
    return _floating("silu", input) * ops.sigmoid(input)


@operator("MishBackward0", places=F, inplace=True, saves=("input",))
def mish(input: Node) -> Node:
    """input * tanh(softplus(input))."""
    return _floating("mish", input) * ops.tanh(ops.softplus(input))


@operator("SoftplusBackward0", places=F, out=EXACT, saves=("input",))
def softplus(input: Node, beta: float = 1.0, threshold: float = 20.0) -> Node:
    """log(1 + exp(beta * input)) / beta, and input itself where beta * input > threshold."""
    x = _floating("softplus", input)
    b = _number(beta, x)
    scaled = x * b
    return ops.where(ops.gt(scaled, _number(threshold, x)), x, ops.softplus(scaled) / b)


@operator("LogSigmoidBackward0", places=F, out=EXACT, saves=("input",))
def logsigmoid(input: Node) -> Node:
    """log(sigmoid(input)), without overflow."""
    return -ops.softplus(-_floating("log_sigmoid", input))


@operator("HardtanhBackward0", places=F, inplace=True, saves=("input",))
def hardtanh(input: Node, min_val: float = -1.0, max_val: float = 1.0) -> Node:
    """input kept between min_val and max_val; no gradient at or beyond them."""
    if min_val > max_val:
        raise ValueError("min_val cannot be greater than max_val")
    lo, hi = _number(min_val, input), _number(max_val, input)
    return ops.where(ops.le(input, lo), lo, ops.where(ops.ge(input, hi), hi, ops.piece(input, backward=None)))


@operator("HardtanhBackward0", places=F, inplace=True, saves=("input",))
def relu6(input: Node) -> Node:
    """input kept between 0 and 6; no gradient at or beyond them."""
    zero, six = ops.number(0, input), ops.number(6, input)
    return ops.where(ops.le(input, zero), zero, ops.where(ops.ge(input, six), six, ops.piece(input, backward=None)))


@operator("HardsigmoidBackward0", places=F, inplace=True, saves=("input",))
def hardsigmoid(input: Node) -> Node:
    """(input + 3) / 6, kept between 0 and 1."""
    x = _floating("hardsigmoid", input)
    line = ops.piece(x, backward="hardsigmoid_backward") / 6 + 0.5
    return ops.where(x <= -3, ops.number(0, x), ops.where(x >= 3, ops.number(1, x), line))


@operator("HardswishBackward0", places=F, inplace=True, saves=("input",))
def hardswish(input: Node) -> Node:
    """input * hardsigmoid(input)."""
    return ops.hardswish(_floating("hardswish", input))


@operator("ThresholdBackward0", places=(*F, "torch"), inplace=True, out=CAST, saves=("input",))
def threshold(input: Node, threshold: float, value: float) -> Node:
    """input where it is above the threshold, value elsewhere."""
    return ops.where(ops.le(input, _number(threshold, input)), _number(value, input), ops.piece(input, backward=None))


@function(places=F)
def softsign(input: Tensor) -> Tensor:
    """input / (1 + |input|)."""
    return OPERATORS["div"].call(input, OPERATORS["add"].call(OPERATORS["abs"].call(input), 1))


@function(places=F)
def tanhshrink(input: Tensor) -> Tensor:
    """input - tanh(input)."""
    return OPERATORS["sub"].call(input, OPERATORS["tanh"].call(input))


def with_inplace(name: str) -> Any:
    """nn.functional's form of an activation: with an `inplace` argument, by position or by name after the others."""
    op = OPERATORS[name]
    written, plain, most = inplace_method(op), op.call, op.schemas[0].positional
    schema = op.schemas[0].extended("inplace", "bool", False)

    def call(*args: Any, **kwargs: Any) -> Tensor:
        if kwargs or len(args) > most:
            bound, _ = schema.bind(args, kwargs)
            args = bound[:-1]
            if bound[-1]:
                return written(*args)
        return plain(*args)

    call.__name__ = call.__qualname__ = name
    call.__doc__ = op.call.__doc__
    call.__module__ = "jitgrad.nn.functional"
    call.__signature__ = schema.signature()         # type: ignore[attr-defined]
    return call


INPLACE = ("relu", "leaky_relu", "elu", "selu", "celu", "silu", "mish", "hardtanh", "relu6", "hardsigmoid", "hardswish",
           "threshold")
