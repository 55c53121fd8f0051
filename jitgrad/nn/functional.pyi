"""Made by `python -m jitgrad.stubs`: do not edit."""
import builtins
from collections.abc import Sequence
from typing import Any
from jitgrad.tensors.tensor import Tensor
from jitgrad.types.dtype import dtype

def avg_pool2d(input: Tensor, kernel_size: builtins.int | Sequence[builtins.int], stride: builtins.int | Sequence[builtins.int] | None = None, padding: builtins.int | Sequence[builtins.int] = 0, ceil_mode: builtins.bool = False, count_include_pad: builtins.bool = True, divisor_override: builtins.int | None = None, *, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> Tensor:
    """The mean of each window; count_include_pad: padded zeros count; divisor_override: what the sum is divided by."""
def batch_norm(input: Tensor, running_mean: Tensor | None, running_var: Tensor | None, weight: Tensor | None = None, bias: Tensor | None = None, training: builtins.bool = False, momentum: builtins.float = 0.1, eps: builtins.float = 1e-05) -> Tensor:
    """Each feature (dimension 1) to mean 0 and variance 1 over the batch, then times weight plus bias (Ioffe and Szegedy 2015)."""
def binary_cross_entropy(input: Tensor, target: Tensor, weight: Tensor | None = None, size_average: builtins.bool | None = None, reduce: builtins.bool | None = None, reduction: builtins.str = 'mean') -> Tensor:
    """-(target log(input) + (1 - target) log(1 - input)), of probabilities in [0, 1]."""
def binary_cross_entropy_with_logits(input: Tensor, target: Tensor, weight: Tensor | None = None, size_average: builtins.bool | None = None, reduce: builtins.bool | None = None, reduction: builtins.str = 'mean', pos_weight: Tensor | None = None) -> Tensor:
    """binary_cross_entropy of sigmoid(input), without overflow; pos_weight multiplies the positive part."""
def celu(input: Tensor, alpha: builtins.float = 1.0, inplace: builtins.bool = False) -> Tensor:
    """input where it is positive, alpha * (exp(input / alpha) - 1) elsewhere."""
def conv1d(input: Tensor, weight: Tensor, bias: Tensor | None = None, stride: builtins.int | Sequence[builtins.int] = 1, padding: builtins.int | Sequence[builtins.int] | builtins.str = 0, dilation: builtins.int | Sequence[builtins.int] = 1, groups: builtins.int = 1) -> Tensor:
    """The cross-correlation of (batch, channels, length) with (out_channels, channels / groups, kernel)."""
def conv2d(input: Tensor, weight: Tensor, bias: Tensor | None = None, stride: builtins.int | Sequence[builtins.int] = 1, padding: builtins.int | Sequence[builtins.int] | builtins.str = 0, dilation: builtins.int | Sequence[builtins.int] = 1, groups: builtins.int = 1) -> Tensor:
    """The cross-correlation of (batch, channels, height, width) with (out_channels, channels / groups, kernel height, width)."""
def cosine_embedding_loss(input1: Tensor, input2: Tensor, target: Tensor, margin: builtins.float = 0.0, size_average: builtins.bool | None = None, reduce: builtins.bool | None = None, reduction: builtins.str = 'mean') -> Tensor:
    """1 - cos(input1, input2) where the target is 1, max(0, cos - margin) where it is -1."""
def cosine_similarity(x1: Tensor, x2: Tensor, dim: builtins.int = 1, eps: builtins.float = 1e-08, *, axis: builtins.int = 1) -> Tensor:
    """The cosine of the angle between vectors along dim; norms are kept above eps."""
def cross_entropy(input: Tensor, target: Tensor, weight: Tensor | None = None, size_average: builtins.bool | None = None, ignore_index: builtins.int = -100, reduce: builtins.bool | None = None, reduction: builtins.str = 'mean', label_smoothing: builtins.float = 0.0) -> Tensor:
    """nll_loss of log_softmax(input): targets are classes, or probabilities of input's shape."""
def dropout(input: Tensor, p: builtins.float = 0.5, training: builtins.bool = True, inplace: builtins.bool = False) -> Tensor:
    """Each element is zero with probability p, others are divided by 1 - p, while training (Srivastava et al. 2014)."""
def elu(input: Tensor, alpha: builtins.float = 1.0, inplace: builtins.bool = False) -> Tensor:
    """input where it is positive, alpha * (exp(input) - 1) elsewhere."""
def embedding(input: Tensor, weight: Tensor, padding_idx: builtins.int | None = None, max_norm: builtins.float | None = None, norm_type: builtins.float = 2.0, scale_grad_by_freq: builtins.bool = False, sparse: builtins.bool = False) -> Tensor:
    """weight[input]; the row padding_idx gets no gradient."""
def gaussian_nll_loss(input: Tensor, target: Tensor, var: Tensor | builtins.float, full: builtins.bool = False, eps: builtins.float = 1e-06, reduction: builtins.str = 'mean') -> Tensor:
    """-log of the density of a normal distribution of this mean (input) and variance, which is kept above eps."""
def gelu(input: Tensor, approximate: builtins.str = 'none', *, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> Tensor:
    """input times the normal distribution function at it; approximate="tanh": by a tanh."""
def hardsigmoid(input: Tensor, inplace: builtins.bool = False) -> Tensor:
    """(input + 3) / 6, kept between 0 and 1."""
def hardswish(input: Tensor, inplace: builtins.bool = False) -> Tensor:
    """input * hardsigmoid(input)."""
def hardtanh(input: Tensor, min_val: builtins.float = -1.0, max_val: builtins.float = 1.0, inplace: builtins.bool = False) -> Tensor:
    """input kept between min_val and max_val; no gradient at or beyond them."""
def hinge_embedding_loss(input: Tensor, target: Tensor, margin: builtins.float = 1.0, size_average: builtins.bool | None = None, reduce: builtins.bool | None = None, reduction: builtins.str = 'mean') -> Tensor:
    """The input where the target is 1, max(0, margin - input) where it is -1."""
def huber_loss(input: Tensor, target: Tensor, reduction: builtins.str = 'mean', delta: builtins.float = 1.0, weight: Tensor | None = None) -> Tensor:
    """Half the squared differences where they are within delta, else delta times (the absolute ones less delta / 2)."""
def kl_div(input: Tensor, target: Tensor, size_average: builtins.bool | None = None, reduce: builtins.bool | None = None, reduction: builtins.str = 'mean', log_target: builtins.bool = False) -> Tensor:
    """target * (log(target) - input), input being log-probabilities; "batchmean": the sum over the length of the batch."""
def l1_loss(input: Tensor, target: Tensor, size_average: builtins.bool | None = None, reduce: builtins.bool | None = None, reduction: builtins.str = 'mean', weight: Tensor | None = None) -> Tensor:
    """The absolute differences: their mean, their sum, or each; weighted by `weight`, as the mean is then."""
def layer_norm(input: Tensor, normalized_shape: builtins.int | Sequence[builtins.int], weight: Tensor | None = None, bias: Tensor | None = None, eps: builtins.float = 1e-05) -> Tensor:
    """The last dimensions, of normalized_shape, to mean 0 and variance 1, then times weight plus bias (Ba et al. 2016)."""
def leaky_relu(input: Tensor, negative_slope: builtins.float = 0.01, inplace: builtins.bool = False) -> Tensor:
    """input where it is positive, negative_slope * input elsewhere."""
def linear(input: Tensor, weight: Tensor, bias: Tensor | None = None, *, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> Tensor:
    """input @ weight.T + bias, over the last dimension of input."""
def log_softmax(input: Tensor, dim: builtins.int | None = None, _stacklevel: builtins.int = 3, dtype: dtype | None = None, *, axis: builtins.int | None = None) -> Tensor:
    """torch.log_softmax with the arguments of nn.functional."""
def logsigmoid(input: Tensor, *, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> Tensor:
    """log(sigmoid(input)), without overflow."""
def margin_ranking_loss(input1: Tensor, input2: Tensor, target: Tensor, margin: builtins.float = 0, size_average: builtins.bool | None = None, reduce: builtins.bool | None = None, reduction: builtins.str = 'mean') -> Tensor:
    """max(0, -target * (input1 - input2) + margin)."""
def max_pool2d(input: Tensor, kernel_size: builtins.int | Sequence[builtins.int], stride: builtins.int | Sequence[builtins.int] | None = None, padding: builtins.int | Sequence[builtins.int] = 0, dilation: builtins.int | Sequence[builtins.int] = 1, ceil_mode: builtins.bool = False, return_indices: builtins.bool = False) -> Any:
    """The largest of each window (and, with return_indices, where it is among the elements of an image)."""
def mish(input: Tensor, inplace: builtins.bool = False) -> Tensor:
    """input * tanh(softplus(input))."""
def mse_loss(input: Tensor, target: Tensor, size_average: builtins.bool | None = None, reduce: builtins.bool | None = None, reduction: builtins.str = 'mean', weight: Tensor | None = None) -> Tensor:
    """The squared differences: their mean, their sum, or each; weighted by `weight`, as the mean is then."""
def nll_loss(input: Tensor, target: Tensor, weight: Tensor | None = None, size_average: builtins.bool | None = None, ignore_index: builtins.int = -100, reduce: builtins.bool | None = None, reduction: builtins.str = 'mean') -> Tensor:
    """Minus the element of the target class, from log-probabilities (N, C, ...) and classes (N, ...)."""
def normalize(input: Tensor, p: builtins.float = 2.0, dim: builtins.int | Sequence[builtins.int] = 1, eps: builtins.float = 1e-12, *, axis: builtins.int | Sequence[builtins.int] = 1, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> Tensor:
    """The input over its norm of order p along dim, which is kept above eps."""
def one_hot(input: Tensor, num_classes: builtins.int = -1) -> Tensor:
    """A new last dimension that is 1 at the class and 0 elsewhere, int64.  -1: as many as the largest class needs."""
def pad(input: Tensor, pad: builtins.int | Sequence[builtins.int], mode: builtins.str = 'constant', value: builtins.float | None = None) -> Tensor:
    """More elements before and after the last dimensions: pad lists pairs, the last dimension first.  mode: "constant" (`value`, 0),"""
def poisson_nll_loss(input: Tensor, target: Tensor, log_input: builtins.bool = True, full: builtins.bool = False, size_average: builtins.bool | None = None, eps: builtins.float = 1e-08, reduce: builtins.bool | None = None, reduction: builtins.str = 'mean') -> Tensor:
    """-log of the probability of counts, input being their mean or its logarithm; full: with Stirling's term."""
def relu(input: Tensor, inplace: builtins.bool = False) -> Tensor:
    """max(x, 0); derivative 0 at 0, element by element."""
def relu6(input: Tensor, inplace: builtins.bool = False) -> Tensor:
    """input kept between 0 and 6; no gradient at or beyond them."""
def selu(input: Tensor, inplace: builtins.bool = False) -> Tensor:
    """elu with the fixed scale and alpha of self-normalizing networks (Klambauer et al. 2017)."""
def sigmoid(input: Tensor, *, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> Tensor:
    """1 / (1 + e ** -x), element by element."""
def silu(input: Tensor, inplace: builtins.bool = False) -> Tensor:
    """input * sigmoid(input)."""
def smooth_l1_loss(input: Tensor, target: Tensor, size_average: builtins.bool | None = None, reduce: builtins.bool | None = None, reduction: builtins.str = 'mean', beta: builtins.float = 1.0) -> Tensor:
    """Squared differences over 2 beta where they are below beta, else the absolute ones less beta / 2."""
def soft_margin_loss(input: Tensor, target: Tensor, size_average: builtins.bool | None = None, reduce: builtins.bool | None = None, reduction: builtins.str = 'mean') -> Tensor:
    """log(1 + exp(-target * input)), targets being 1 or -1."""
def softmax(input: Tensor, dim: builtins.int | None = None, _stacklevel: builtins.int = 3, dtype: dtype | None = None, *, axis: builtins.int | None = None) -> Tensor:
    """torch.softmax with the arguments of nn.functional."""
def softmin(input: Tensor, dim: builtins.int | None = None, _stacklevel: builtins.int = 3, dtype: dtype | None = None, *, axis: builtins.int | None = None) -> Tensor:
    """softmax of -input."""
def softplus(input: Tensor, beta: builtins.float = 1.0, threshold: builtins.float = 20.0, *, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> Tensor:
    """log(1 + exp(beta * input)) / beta, and input itself where beta * input > threshold."""
def softsign(input: Tensor) -> Tensor:
    """input / (1 + |input|)."""
def tanh(input: Tensor, *, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> Tensor:
    """hyperbolic tangent, element by element."""
def tanhshrink(input: Tensor) -> Tensor:
    """input - tanh(input)."""
def threshold(input: Tensor, threshold: builtins.float, value: builtins.float, inplace: builtins.bool = False, *, out: Tensor | builtins.tuple[Tensor, ...] | None = None) -> Tensor:
    """input where it is above the threshold, value elsewhere."""
def triplet_margin_loss(anchor: Tensor, positive: Tensor, negative: Tensor, margin: builtins.float = 1.0, p: builtins.float = 2.0, eps: builtins.float = 1e-06, swap: builtins.bool = False, size_average: builtins.bool | None = None, reduce: builtins.bool | None = None, reduction: builtins.str = 'mean') -> Tensor:
    """max(0, d(anchor, positive) - d(anchor, negative) + margin), d being the distance of order p along the last dimension."""
