"""Loss functions of nn.functional, of differences and of probabilities."""
from __future__ import annotations

from typing import Any

import numpy as np

from jitgrad import ops, tracing
from jitgrad.graph.node import Node
from jitgrad.graph.recording import input_node, scalar_node
from jitgrad.operators.declaration.declare import OPERATORS, function, operator
from jitgrad.operators.functional.activation import log_softmax
from jitgrad.operators.operands import cast, number_node, promoted, within
from jitgrad.operators.provenance import warn_user
from jitgrad.operators.templates.template import holds, no_template
from jitgrad.requests import execute
from jitgrad.tensors.tensor import Tensor
from jitgrad.types.array import array_type
from jitgrad.types.dtype import bool_, int64, uint8

F = ("functional",)


def _mode(size_average: bool | None, reduce: bool | None, reduction: str) -> str:
    """The reduction, from the old arguments too."""
    if size_average is not None or reduce is not None:
        if reduce is False:
            return "none"
        return "sum" if size_average is False else "mean"
    if reduction not in ("none", "mean", "sum"):
        raise ValueError(f"{reduction} is not a valid value for reduction")
    return reduction


def _reduced(loss: Node, mode: str) -> Node:
    if mode == "none":
        return loss
    axes = tuple(range(loss.type.ndim))
    total = ops.squeeze(ops.sum(loss, axes=axes), dims=axes)
    return total if mode == "sum" else total / scalar_node(float(loss.type.size), loss.type.dtype)


def _warn_sizes(called: str, input: Any, target: Any) -> None:
    for v, at in ((input, "'input' (position 1)"), (target, "'target' (position 2)")):
        if type(v) is not Node and not isinstance(v, Tensor):
            raise TypeError(f"{called}(): argument {at} must be Tensor, not {type(v).__name__}")
    a, b = [v.type.shape if type(v) is Node else tuple(v.shape) for v in (input, target)]
    if a != b:
        no_template()
        warn_user(f"Using a target size (torch.Size({list(b)})) that is different to the input size "
                  f"(torch.Size({list(a)})). This will likely lead to incorrect results due to broadcasting. "
                  "Please ensure they have the same size.")


def _weighted(loss: Node, weight: Node | None) -> Node:
    return loss if weight is None else loss * cast(weight, loss.type.dtype)


# -- differences -----------------------------------------------------------------------------------------------------

def _expanded(called: str, input: Any, target: Any) -> tuple[Tensor, Tensor]:
    """Both in their common shape (with a warning if they differ), which makes them equals in promotion: PyTorch's way."""
    _warn_sizes(called, input, target)
    return (input, target) if input.shape == target.shape else OPERATORS["broadcast_tensors"].call(input, target)


def _difference(kernel: str, input: Node, target: Node) -> Node:
    """input - target, promoted.  kernel: PyTorch's, which its error for integers names."""
    a, b = promoted(kernel, input, target)
    if a.type.dtype.category < 2:
        raise NotImplementedError(f"\"{kernel}\" not implemented for '{a.type.dtype.title}': it takes floating-point tensors")
    return a - b


def _weighted_mean(loss: Tensor, weight: Tensor, mode: str, total: bool) -> Tensor:
    """The reduction of a weighted loss.  total: a mean is over the sum of the weights."""
    if weight.shape != loss.shape:
        raise ValueError("Weights and input must have the same size.")
    loss = OPERATORS["mul"].call(loss, weight)
    if mode == "mean" and total:
        return OPERATORS["div"].call(OPERATORS["sum"].call(loss), OPERATORS["sum"].call(weight))
    return loss if mode == "none" else OPERATORS[mode].call(loss)


@operator("MseLossBackward0", name="mse_loss.plain", places=(), saves=("input", "target"))
def _mse_loss(input: Node, target: Node, mode: str) -> Node:
    return _reduced(ops.square(_difference("mse_cpu", input, target)), mode)


@function(places=F)
def mse_loss(input: Tensor, target: Tensor, size_average: bool | None = None, reduce: bool | None = None,
             reduction: str = "mean", weight: Tensor | None = None) -> Tensor:
    """The squared differences: their mean, their sum, or each; weighted by `weight`, as the mean is then."""
    mode = _mode(size_average, reduce, reduction)
    input, target = _expanded("mse_loss", input, target)
    if weight is None:
        return _mse_loss(input, target, mode)
    return _weighted_mean(OPERATORS["pow"].call(OPERATORS["sub"].call(input, target), 2), weight, mode, True)


@function(places=F)
def l1_loss(input: Tensor, target: Tensor, size_average: bool | None = None, reduce: bool | None = None,
            reduction: str = "mean", weight: Tensor | None = None) -> Tensor:
    """The absolute differences: their mean, their sum, or each; weighted by `weight`, as the mean is then."""
    mode = _mode(size_average, reduce, reduction)
    input, target = _expanded("l1_loss", input, target)
    loss: Tensor = OPERATORS["abs"].call(OPERATORS["sub"].call(input, target))
    if weight is not None:
        return _weighted_mean(loss, weight, mode, True)
    return loss if mode == "none" else OPERATORS[mode].call(loss)


def _split(difference: Node, distance: Node, scale: Node) -> tuple[Node, Node]:
    """Where the loss is linear, from `scale` on, and the differences where it is a square: 0 elsewhere, of which the square's
    derivatives are finite."""
    far = ops.ge(distance, scale)
    return far, ops.where(far, ops.number(0, difference), difference)


@operator("SmoothL1LossBackward0", name="smooth_l1_loss.plain", places=(), saves=("input", "target"))
def _smooth_l1_loss(input: Node, target: Node, mode: str, beta: float) -> Node:
    difference = _difference("smooth_l1_cpu", input, target)
    distance, scale = ops.abs(difference), number_node(beta, difference.type.dtype)
    far, near = _split(difference, distance, scale)
    return _reduced(ops.where(far, distance - 0.5 * scale, 0.5 * ops.square(near) / scale), mode)


@function(places=F)
def smooth_l1_loss(input: Tensor, target: Tensor, size_average: bool | None = None, reduce: bool | None = None,
                   reduction: str = "mean", beta: float = 1.0) -> Tensor:
    """Squared differences over 2 beta where they are below beta, else the absolute ones less beta / 2."""
    mode = _mode(size_average, reduce, reduction)
    if beta < 0:
        raise RuntimeError("smooth_l1_loss does not support negative values for beta.")
    if beta == 0:
        return l1_loss(input, target, reduction=mode)
    return _smooth_l1_loss(*_expanded("smooth_l1_loss", input, target), mode, beta)


@operator("HuberLossBackward0", name="huber_loss.plain", places=(), saves=("input", "target"))
def _huber_loss(input: Node, target: Node, mode: str, delta: float) -> Node:
    difference = _difference("huber_cpu", input, target)
    to = input.type.dtype
    if difference.type.dtype.category > to.category:
        raise RuntimeError(f"result type {difference.type.dtype.title} can't be cast to the desired output type {to.title}")
    distance, scale = ops.abs(difference), number_node(delta, difference.type.dtype)
    far, near = _split(difference, distance, scale)
    return _reduced(cast(ops.where(far, scale * (distance - 0.5 * scale), 0.5 * ops.square(near)), to), mode)


@function(places=F)
def huber_loss(input: Tensor, target: Tensor, reduction: str = "mean", delta: float = 1.0,
               weight: Tensor | None = None) -> Tensor:
    """Half the squared differences where they are within delta, else delta times (the absolute ones less delta / 2)."""
    mode = _mode(None, None, reduction)
    if delta <= 0:
        raise RuntimeError("huber_loss does not support non-positive values for delta.")
    input, target = _expanded("huber_loss", input, target)
    if weight is None:
        return _huber_loss(input, target, mode, delta)
    return _weighted_mean(_huber_loss(input, target, "none", delta), weight, mode, False)


# -- binary cross-entropy --------------------------------------------------------------------------------------------

def _same_size(called: str, input: Node, target: Node) -> None:
    if input.type.shape != target.type.shape:
        raise ValueError(f"Using a target size (torch.Size({list(target.type.shape)})) that is different to the "
                         f"input size (torch.Size({list(input.type.shape)})) is deprecated. Please ensure they have "
                         f"the same size for {called}().")


@operator("BinaryCrossEntropyBackward0", places=F, saves=("input", "target"), edges=("input", "target"))
def binary_cross_entropy(input: Node, target: Node, weight: Node | None = None, size_average: bool | None = None,
                         reduce: bool | None = None, reduction: str = "mean") -> Node:
    """-(target log(input) + (1 - target) log(1 - input)), of probabilities in [0, 1]."""
    mode = _mode(size_average, reduce, reduction)
    _same_size("binary_cross_entropy", input, target)
    to = input.type.dtype
    if target.type.dtype is not to:
        raise RuntimeError(f"Found dtype {target.type.dtype.title} but expected {to.title}")
    if to.category < 2:
        raise NotImplementedError(f"\"binary_cross_entropy\" not implemented for '{to.title}'")
    if input.value is not None:
        no_template()
    if input.value is not None and not np.all((input.value >= 0) & (input.value <= 1)):
        raise RuntimeError("all elements of input should be between 0 and 1")
    return _reduced(_weighted(ops.binary_cross_entropy(input, target), weight), mode)


@operator("BinaryCrossEntropyWithLogitsBackward0", places=(*F, "torch"), saves=("input", "target"),
          edges=("input", "target"))
def binary_cross_entropy_with_logits(input: Node, target: Node, weight: Node | None = None,
                                     size_average: bool | None = None, reduce: bool | None = None,
                                     reduction: str = "mean", pos_weight: Node | None = None) -> Node:
    """binary_cross_entropy of sigmoid(input), without overflow; pos_weight multiplies the positive part."""
    mode = _mode(size_average, reduce, reduction)
    if input.type.shape != target.type.shape:
        raise ValueError(f"Target size (torch.Size({list(target.type.shape)})) must be the same as input size "
                         f"(torch.Size({list(input.type.shape)}))")
    if input.type.dtype.category < 2:
        raise NotImplementedError(f"\"log_sigmoid_cpu\" not implemented for '{input.type.dtype.title}'")
    for n in (target, pos_weight):
        if n is not None and n.type.dtype is bool_:
            raise RuntimeError("Subtraction, the `-` operator, with a bool tensor is not supported. If you are trying to invert a "
                               "mask, use the `~` or `logical_not()` operator instead.")
    to = target.type.dtype          # PyTorch computes in place of it
    if to.category < 2:
        raise RuntimeError(f"result type {input.type.dtype.title} can't be cast to the desired output type {to.title}")
    x, t = promoted("binary_cross_entropy_with_logits", input, target)
    wrong = ops.softplus(-x)
    if pos_weight is not None:
        wrong = (1 + (cast(pos_weight, x.type.dtype) - 1) * t) * wrong
    return _reduced(_weighted(cast((1 - t) * x + wrong, to), weight), mode)


# -- likelihoods of classes ------------------------------------------------------------------------------------------

def _class_dim(ndim: int) -> int:
    return 1 if ndim > 1 else 0


def _check_classes(target: Node, classes: int, ignore_index: int) -> None:
    """Raise for a class that does not exist, if the targets are known."""
    value = target.value
    holds(target, within(0, classes))
    trace = tracing.current()
    if trace is not None and trace.positions(target, 0, classes, ignore_index):
        return
    if trace is not None and value is not None:
        value = execute.value(target)          # which notes that it is looked at
    if isinstance(value, np.ndarray) and value.size and (value.min() < 0 or value.max() >= classes):
        wrong = value[((value < 0) | (value >= classes)) & (value != ignore_index)]
        if wrong.size:
            raise IndexError(f"Target {int(wrong.flat[0])} is out of bounds.")


@operator(lambda a: "NllLossBackward0" if a["input"].type.ndim <= 2 else "NllLoss2DBackward0", places=F,
          edges=("input",), saves=("input", "target"))
def nll_loss(input: Node, target: Node, weight: Node | None = None, size_average: bool | None = None,
             ignore_index: int = -100, reduce: bool | None = None, reduction: str = "mean") -> Node:
    """Minus the element of the target class, from log-probabilities (N, C, ...) and classes (N, ...).

    weight: a factor a class.  ignore_index: targets that count for nothing.  The mean is weighted."""
    mode = _mode(size_average, reduce, reduction)
    ndim, d = input.type.ndim, _class_dim(input.type.ndim)
    if not ndim:
        raise ValueError("nll_loss: input must have a dimension of classes, got a 0-d tensor")
    expected = input.type.shape[:d] + input.type.shape[d + 1:]
    if target.type.ndim and expected and target.type.shape[0] != expected[0]:
        raise ValueError(f"Expected input batch_size ({expected[0]}) to match target batch_size "
                         f"({target.type.shape[0]}).")
    if target.type.shape != expected:
        raise RuntimeError(f"nll_loss: expected target size {list(expected)}, got {list(target.type.shape)}")
    if target.type.dtype not in (int64, uint8):
        raise RuntimeError(f"expected target dtype to be Long or Byte, but got {target.type.dtype.title}")
    target = cast(target, int64)
    _check_classes(target, input.type.shape[d], ignore_index)
    counted = ops.ne(target, number_node(ignore_index, int64))
    classes = ops.where(counted, target, ops.number(0, target))
    at = ops.unsqueeze(classes, dims=(d,))
    if input.type.shape[d]:
        # Shaped like one class of the input: take_along itself would not tell that the other dimensions agree.
        first = ops.slice(input, full=tuple([i != d for i in range(ndim)]), sizes=(0, 1, 1))
        at = ops.expand_like(at, first)
    picked = ops.squeeze(ops.take_along(ops.piece(input, backward=None), at, dim=d), dims=(d,))
    factor = cast(counted, input.type.dtype)
    if weight is not None:
        if weight.type.shape != (input.type.shape[d],):
            raise RuntimeError("weight tensor should be defined either for all "
                               f"{input.type.shape[d]} classes or no classes but got weight tensor of shape: "
                               f"{list(weight.type.shape)}")
        factor = factor * ops.index(cast(weight, input.type.dtype), classes, axes=(0,))
    loss = ops.where(counted, -picked * factor if weight is not None else -picked, ops.number(0, picked))
    if mode != "mean":
        return _reduced(loss, mode)
    return _reduced(loss, "sum") / _reduced(factor, "sum")


@function(places=F)
def cross_entropy(input: Tensor, target: Tensor, weight: Tensor | None = None, size_average: bool | None = None,
                  ignore_index: int = -100, reduce: bool | None = None, reduction: str = "mean",
                  label_smoothing: float = 0.0) -> Tensor:
    """nll_loss of log_softmax(input): targets are classes, or probabilities of input's shape."""
    mode = _mode(size_average, reduce, reduction)
    d = _class_dim(input.ndim)
    if not 0.0 <= label_smoothing <= 1.0:
        raise RuntimeError(f"label_smoothing must be between 0.0 and 1.0. Got: {label_smoothing}")
    logarithms = log_softmax(input, d)
    if tuple(target.shape) == tuple(input.shape) and target.dtype.category == 2:
        return _soft_cross_entropy(logarithms, target, weight, mode, label_smoothing, d)
    loss = nll_loss(logarithms, target, weight, None, ignore_index, None, mode)
    if not label_smoothing:
        return loss
    return (1 - label_smoothing) * loss + (label_smoothing / input.shape[d]) * _uniform_loss(
        logarithms, target, weight, ignore_index, mode, d)


def _uniform_loss(logarithms: Tensor, target: Tensor, weight: Tensor | None, ignore_index: int, mode: str,
                  d: int) -> Tensor:
    """The cross-entropy of the uniform distribution, times the number of classes."""
    counted: Tensor = OPERATORS["ne"].call(target, ignore_index)
    weights = 1 if weight is None else weight.reshape(_along(weight, d, logarithms.ndim))
    loss = OPERATORS["where"].call(counted, -(logarithms * weights).sum(d), 0.0)
    if mode == "none":
        return loss
    if mode == "sum":
        return loss.sum()
    factor = counted.to(logarithms.dtype)
    if weight is not None:
        factor = factor * weight[OPERATORS["where"].call(counted, target, 0)]
    return loss.sum() / factor.sum()


def _along(weight: Tensor, d: int, ndim: int) -> tuple[int, ...]:
    return tuple([weight.shape[0] if i == d else 1 for i in range(ndim)])


def _soft_cross_entropy(logarithms: Tensor, target: Tensor, weight: Tensor | None, mode: str, smoothing: float,
                        d: int) -> Tensor:
    if smoothing:
        target = target * (1 - smoothing) + smoothing / logarithms.shape[d]
    loss = logarithms * target
    if weight is not None:
        loss = loss * weight.reshape(_along(weight, d, logarithms.ndim))
    if mode == "none":
        return -loss.sum(d)
    total = -loss.sum()
    return total if mode == "sum" else total / (logarithms.numel() // logarithms.shape[d])


@operator(places=F)
def one_hot(input: Node, num_classes: int = -1) -> Node:
    """A new last dimension that is 1 at the class and 0 elsewhere, int64.  -1: as many as the largest class needs."""
    if input.type.dtype is not int64:
        raise RuntimeError("one_hot is only applicable to index tensor of type LongTensor.")
    value = execute.on_host(input, "one_hot")
    if not value.size and num_classes <= 0:
        raise RuntimeError("Can not infer total number of classes from empty input.")
    if value.size and value.min() < 0:
        raise RuntimeError("Class values must be non-negative.")
    if num_classes == -1:
        num_classes = int(value.max()) + 1
    elif value.size and value.max() >= num_classes:
        raise RuntimeError("Class values must be smaller than num_classes.")
    numbers = input_node(np.arange(num_classes), array_type((num_classes,), int64, input.type.device))
    return cast(ops.eq(ops.unsqueeze(input, dims=(input.type.ndim,)), numbers), int64)
