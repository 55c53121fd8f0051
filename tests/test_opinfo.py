"""PyTorch's own database of operators: its samples, and corners in their place, in both libraries.

For each operator that this library has, as a function, a method and in place: values, dtypes, which tensors require a
gradient, first and second derivatives; for contiguous operands and others; interpreted, and one sample compiled.
"""
from __future__ import annotations

import contextlib
import itertools
import warnings
from collections.abc import Callable
from types import FunctionType
from typing import Any

import numpy as np
import pytest
from oracle import torch

import jitgrad
from jitgrad.errors import LinAlgError
from jitgrad.operators import FUNCTIONAL

pytestmark = pytest.mark.full

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    database = pytest.importorskip("torch.testing._internal.common_methods_invocations", exc_type=ImportError).op_db
    from torch.testing._internal.opinfo.core import SampleInput

# Names of the database; behind @ the variants, where not all.
NAMES = """
abs neg exp expm1 log log2 log10 log1p sqrt rsqrt square reciprocal sin cos tan asin acos atan sinh cosh tanh asinh acosh atanh sigmoid
erf erfc logit floor ceil round@ trunc sign nan_to_num isnan isinf isfinite logical_not
add sub mul div pow atan2 maximum minimum fmod remainder floor_divide logaddexp hypot copysign heaviside fmax fmin true_divide rsub
__radd__ __rsub__ __rmul__ __rdiv__ __rpow__ __rmod__
eq ne lt le gt ge logical_and logical_or logical_xor bitwise_and bitwise_or bitwise_xor bitwise_not isclose
where clamp clamp_min clamp_max lerp addcmul addcdiv masked_fill frac exp2 lgamma digamma
sum mean prod amax amin max min argmax argmin var std logsumexp cumsum cumprod norm@,fro,inf all any sort topk argsort count_nonzero
reshape view flatten permute transpose t movedim expand broadcast_to squeeze unsqueeze cat stack hstack vstack split chunk unbind flip
roll tile repeat repeat_interleave clone unflatten view_as expand_as
__getitem__ narrow select index_select gather scatter scatter_add index_put take_along_dim masked_select diagonal diag triu tril trace
zeros_like ones_like full_like eye
matmul mm bmm mv dot einsum tensordot outer addmm@ __rmatmul__
linalg.det linalg.slogdet linalg.inv linalg.solve linalg.cholesky linalg.qr linalg.eigh linalg.norm@ linalg.vector_norm
softmax log_softmax
nn.functional.relu nn.functional.leaky_relu nn.functional.elu nn.functional.gelu nn.functional.silu@ nn.functional.softplus
nn.functional.celu nn.functional.selu nn.functional.mish nn.functional.hardtanh nn.functional.relu6 nn.functional.hardsigmoid
nn.functional.hardswish nn.functional.threshold nn.functional.logsigmoid nn.functional.softsign nn.functional.tanhshrink
nn.functional.softmin nn.functional.cross_entropy nn.functional.nll_loss nn.functional.mse_loss nn.functional.l1_loss
nn.functional.smooth_l1_loss nn.functional.huber_loss nn.functional.binary_cross_entropy
nn.functional.binary_cross_entropy_with_logits nn.functional.layer_norm nn.functional.batch_norm@ nn.functional.linear
nn.functional.conv1d nn.functional.conv2d nn.functional.max_pool2d nn.functional.avg_pool2d nn.functional.embedding
nn.functional.pad@constant,reflect,replicate nn.functional.normalize nn.functional.cosine_similarity nn.functional.one_hot
""".split()
DTYPES = {torch.float32: jitgrad.float32, torch.float64: jitgrad.float64, torch.int32: jitgrad.int32,
          torch.int64: jitgrad.int64, torch.bool: jitgrad.bool}
SAMPLES = 4             # of each dtype, evenly spaced among those that there are
# What stands in place of the numbers of a sample: kinks, ties and poles; and what is not finite.
KINKS = [0.0, -0.0, 1.0, -1.0, 2.0, -2.0, 0.5, -0.5, 3.0, 0.25, -3.0, 1.5, 0.0, 1.0, 1.0, 2.0, 2.0, 6.0, -6.0]
INFINITE = [0.0, -0.0, 1.0, -1.0, np.inf, -np.inf, np.nan, 2.0, 0.5, -0.5, 1e-30, 1e30, 0.0]

NO_DERIVATIVE_IN_PLACE = {"asinh", "acosh", "atanh"}       # in PyTorch
TIES = {"sort", "argsort", "topk"}         # which of equal elements comes first is PyTorch's own secret
OTHER_CORNERS = {
    **dict.fromkeys(TIES, "ties"), "linalg.eigh": "vectors of equal values",
    "linalg.cholesky": "PyTorch finds some singular matrices positive definite, or not",
    "linalg.det": "the derivatives of a matrix of rank n - 2 are 0 or 1e-16",
    "linalg.inv": "a matrix is singular for one of two libraries",
    "lgamma": "at poles PyTorch's polygamma is some 1e32", "digamma": "as above",
    "prod": "PyTorch gives the length-1 product no second derivative where there is a 0, and zeros where there is none",
    "nn.functional.batch_norm": "a variance of -eps",
}
OTHER_INFINITE = {
    **OTHER_CORNERS, "nn.functional.max_pool2d": "of several nans in a window PyTorch names the last", "cumprod": "0 * inf",
    **dict.fromkeys([f"linalg.{name}" for name in ("solve", "qr", "norm", "slogdet")], "a decomposition of what is not finite"),
    **dict.fromkeys(("pow", "hypot", "copysign"), "which of inf - inf and inf comes out depends on the order of the terms"),
    "norm": "cancellation in the second derivative",
    **dict.fromkeys([f"nn.functional.{name}" for name in ("elu", "celu", "selu", "hardtanh", "relu6", "hardsigmoid")],
                    "PyTorch's gradient at nan is one thing in its vectorised loop and another in the rest"),
    "nn.functional.hardswish": "-inf * 0", "nn.functional.mish": "inf * 0 in the second derivative",
    "nn.functional.cross_entropy": "inf or nan where probabilities are not finite",
    "nn.functional.binary_cross_entropy_with_logits": "as above",
}


def _operators() -> list[Any]:
    """Those of the database that have a name here."""
    found = []
    for name, some, variants in [word.partition("@") for word in NAMES]:
        for info in database:
            variant = info.variant_test_name
            if info.name == name and (not some or variant in variants.split(",")) and _kinds(info):
                found.append(pytest.param(info, id=f"{name}-{variant}" if variant else name))
    return found


def _found(library: Any, name: str, kind: str) -> Callable | None:
    """An operator of a library: as a function, also one with `out=`, a method or in place."""
    short = name.replace("nn.functional.", "")
    tensor = library.Tensor
    if kind in ("function", "out"):
        if name == "where":
            return lambda x, condition, other: library.where(condition, x, other)
        if name.startswith("nn."):
            return FUNCTIONAL.get(short) if library is jitgrad else getattr(torch.nn.functional, short)
        module, _, short = name.partition(".")
        if module in ("linalg", "special"):
            return getattr(getattr(library, module), short, None)
        return None if "." in name or name.startswith("__") else vars(library).get(name)
    return None if "." in name else getattr(tensor, name if kind == "method" else f"{name}_", None)


def _kinds(info: Any) -> list[str]:
    kinds = [k for k in ("function", "method", "inplace", "out") if _found(torch, info.name, k) and _found(jitgrad, info.name, k)]
    return [k for k in kinds if (k != "inplace" or (not info.name.startswith("__") and info.name not in NO_DERIVATIVE_IN_PLACE))
            and (k != "out" or info.supports_out and info.name != "where")]


# -- operands --------------------------------------------------------------------------------------------------------


class Unsupported(Exception):
    """A sample asks for a dtype that this library refuses."""


def _converted(value: Any, library: Any, known: dict[int, Any]) -> Any:
    """An argument in a library: tensors of the same values, layout and need for a gradient, each once."""
    if isinstance(value, torch.Tensor):
        if value.dtype not in DTYPES:
            raise Unsupported
        if id(value) not in known:
            made = _laid_out(np.array(value.detach().numpy()), value.is_contiguous(), library)
            known[id(value)] = made.requires_grad_() if value.requires_grad else made
        return known[id(value)]
    if isinstance(value, torch.dtype):
        if value not in DTYPES:
            raise Unsupported
        return value if library is torch else DTYPES[value]
    if isinstance(value, (list, tuple)):
        parts = [_converted(v, library, known) for v in value]
        return parts if isinstance(value, list) else tuple(parts)
    if isinstance(value, slice):
        return slice(*[_converted(v, library, known) for v in (value.start, value.stop, value.step)])
    if isinstance(value, dict):
        return {k: _converted(v, library, known) for k, v in value.items()}
    return str(value) if isinstance(value, torch.device) else value


def _laid_out(array: np.ndarray, contiguous: bool, library: Any) -> Any:
    if contiguous or not array.ndim:
        return library.tensor(array)
    if array.ndim > 1:
        return library.tensor(np.ascontiguousarray(np.swapaxes(array, 0, -1))).transpose(0, -1).detach()
    spread = np.zeros(2 * array.size, array.dtype)
    spread[::2] = array
    return library.tensor(spread)[::2].detach()


def _cornered(sample: Any, numbers: list[float]) -> Any:
    """The sample with other numbers in its tensors."""
    count = itertools.count(1)

    def other(value: Any) -> Any:
        if isinstance(value, torch.Tensor) and value.dtype.is_floating_point:
            k, n = next(count), len(numbers)
            chosen = [numbers[(i * (2 * k - 1) + (k - 1) * (1 + i // n)) % n] for i in range(value.numel())]
            made = torch.tensor(np.array(chosen).reshape(tuple(value.shape)), dtype=value.dtype)
            return made.requires_grad_(value.requires_grad)
        if type(value) in (list, tuple):
            return type(value)([other(v) for v in value])
        return {k: other(v) for k, v in value.items()} if isinstance(value, dict) else value

    return SampleInput(other(sample.input), args=other(sample.args), kwargs=other(sample.kwargs),
                       output_process_fn_grad=sample.output_process_fn_grad)


_samples_of: dict[tuple[str, str, Any], list[Any]] = {}


def _samples(info: Any, dtype: Any) -> list[Any]:
    """Some of the samples, the same ones each time."""
    key = info.name, info.variant_test_name, dtype
    if key not in _samples_of:
        torch.manual_seed(0)
        asks = dtype.is_floating_point and info.supports_autograd
        found = list(info.sample_inputs("cpu", dtype, requires_grad=asks)) if dtype in info.dtypes else []
        _samples_of[key] = found[::-(-len(found) // SAMPLES)] if found else []
    return _samples_of[key]


# -- both libraries --------------------------------------------------------------------------------------------------

def _tensors(value: Any) -> list[Any]:
    if isinstance(value, (torch.Tensor, jitgrad.Tensor)):
        return [value]
    if isinstance(value, dict):
        value = list(value.values())
    return [t for v in value for t in _tensors(v)] if isinstance(value, (list, tuple)) else []


def _plain(tensor: Any) -> Any:
    if tensor is None:
        return None
    array = tensor.detach()
    return str(tensor.dtype), np.array((array + 0 if isinstance(array, torch.Tensor) else array).numpy())


def _outcome(library: Any, info: Any, kind: str, sample: Any) -> list[tuple[str, Any]]:
    """What can be seen of an operator on a sample, stage by stage; an exception ends it."""
    known: dict[int, Any] = {}
    first, args, kwargs = [_converted(v, library, known) for v in (sample.input, sample.args, sample.kwargs)]
    leaves = [t for t in dict.fromkeys(_tensors([first, args, kwargs])) if t.requires_grad]
    function = _found(library, info.name, kind)
    assert function is not None
    stages: list[tuple[str, Any]] = []
    # What is determined of a result: eigenvectors up to their signs.  It is written for torch.
    given = sample.output_process_fn_grad
    determined = FunctionType(given.__code__, {**given.__globals__, "torch": library}, closure=given.__closure__)
    try:
        if kind == "out":
            with library.no_grad():
                result = function(first, *args, **kwargs)
                outs = [library.zeros_like(t) for t in _tensors(result)]
                function(first, *args, **kwargs, out=outs[0] if isinstance(result, library.Tensor) else tuple(outs))
            return [("values", [_plain(t) for t in _tensors(determined(tuple(outs)))])]
        result = function(first.clone() if kind == "inplace" else first, *args, **kwargs)
        level = _tensors(determined(result))
        if not level:
            return [("result", result)]
        stages += [("values", [_plain(t) for t in level]), ("require a gradient", [t.requires_grad for t in level])]
        some = any([t.numel() for t in level]) and any([t.numel() for t in leaves])
        for order in ("first", "second"):
            level = [t for t in level if t is not None and t.requires_grad]
            if not level or not some:
                break
            weights = [library.tensor(np.cos(np.arange(t.numel()) + len(leaves)).reshape(tuple(t.shape))).to(t.dtype).requires_grad_()
                       for t in level]
            level = list(library.autograd.grad(level, leaves, weights, create_graph=True, allow_unused=True))
            stages += [(f"{order} derivatives", [_plain(g) for g in level]),
                       (f"{order} derivatives require a gradient",
                        [g is not None and g.requires_grad and g.numel() > 0 for g in level])]
            leaves = [*leaves, *weights]
    except Exception as error:          # the other library must raise it too
        stages.append(("error", error))
    return stages


def _same(ours: Any, theirs: Any, float32: float, float64: float) -> bool:
    if ours is None or theirs is None or not isinstance(theirs, tuple):
        return ours is theirs if ours is None or theirs is None else ours == theirs
    tolerance = {"float32": float32, "float64": float64}.get(theirs[1].dtype.name, 0)
    return ours[0] == theirs[0] and ours[1].shape == theirs[1].shape and np.allclose(
        ours[1], theirs[1], rtol=tolerance, atol=tolerance, equal_nan=True)


def _compare(info: Any, kind: str, sample: Any, compiled: bool = False) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            with contextlib.nullcontext() if compiled else jitgrad.interpret():
                ours = _outcome(jitgrad, info, kind, sample)
        except Unsupported:
            return
        theirs = _outcome(torch, info, kind, sample)
    if theirs[-1][0] == "error" and ("contiguous" in str(theirs[-1][1]) or "view size" in str(theirs[-1][1])):
        return                  # PyTorch's kernel wants another layout
    for (stage, a), (expected, b) in zip(ours, theirs, strict=False):
        what = f"{info.name} ({kind}) of {sample}, {stage}: {a!r}, PyTorch: {expected}: {b!r}"
        assert stage == expected, what
        if stage == "error":
            assert type(a) is type(b) or isinstance(a, LinAlgError) and isinstance(b, torch.linalg.LinAlgError), what
        elif isinstance(a, list):
            near = (2e-5, 1e-10) if stage == "values" else (5e-4, 1e-8)
            assert len(a) == len(b) and all([_same(p, q, *near) for p, q in zip(a, b, strict=True)]), what
    assert len(ours) == len(theirs), f"{info.name} ({kind}) of {sample}: {ours}, PyTorch: {theirs}"


# -- tests -----------------------------------------------------------------------------------------------------------

operators = pytest.mark.parametrize("info", _operators())


@operators
def test_samples(info: Any) -> None:
    for dtype in (torch.float64, torch.float32, torch.int64):
        for i, sample in enumerate([] if dtype is torch.int64 and info.name in TIES else _samples(info, dtype)):
            kinds = _kinds(info)
            for kind in kinds if dtype is torch.float64 else kinds[:1]:
                _compare(info, kind, sample)
            if i % 3 == 0:
                _compare(info, kinds[0], sample.noncontiguous())


@operators
def test_kinks(info: Any) -> None:
    if info.name not in OTHER_CORNERS:
        for sample in _samples(info, torch.float64):
            _compare(info, _kinds(info)[0], _cornered(sample, KINKS))


@operators
def test_infinities(info: Any) -> None:
    if info.name not in OTHER_INFINITE:
        for sample in _samples(info, torch.float64):
            _compare(info, _kinds(info)[0], _cornered(sample, INFINITE))


@operators
def test_compiled(info: Any) -> None:
    found = _samples(info, torch.float32) or _samples(info, torch.int64)
    _compare(info, _kinds(info)[0], found[len(found) // 2], compiled=True)
