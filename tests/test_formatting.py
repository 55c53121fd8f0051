"""The text of tensors: literal texts, and PyTorch's own printing of the same arrays where PyTorch is installed."""
from __future__ import annotations

import dataclasses
import math
import random
from collections.abc import Iterator
from typing import Any

import drawn
import numpy as np
import pytest

from jitgrad.tensors.formatting import (
    PrintOptions,
    format_tensor,
    format_value,
    get_printoptions,
    printoptions,
    set_printoptions,
)
from jitgrad.types.dtype import ALL, bool_, dtype, float32, float64, get_default_dtype, int32, int64, set_default_dtype

inf, nan = math.inf, math.nan


@pytest.fixture(autouse=True)
def default_settings() -> Iterator[None]:
    """Every test starts from, and leaves, PyTorch's defaults."""
    set_printoptions(profile="default")
    set_default_dtype(float32)
    yield
    set_printoptions(profile="default")
    set_default_dtype(float32)


@pytest.fixture
def torch() -> Iterator[Any]:
    """PyTorch as the oracle, with default settings before and after."""
    module = pytest.importorskip("torch")
    module.set_printoptions(profile="default")
    yield module
    module.set_printoptions(profile="default")
    module.set_default_dtype(module.float32)


# (values, dtype, options, text without suffixes)
LITERALS: list[tuple[Any, dtype, dict[str, Any], str]] = [
    # notation of floats
    ([1.0, 2.0, 3.0], float32, {}, "tensor([1., 2., 3.])"),
    ([1.0, 10.0, -3.0], float32, {}, "tensor([ 1., 10., -3.])"),
    ([0.1, 2.0], float32, {}, "tensor([0.1000, 2.0000])"),
    ([1e-5, 1.0], float32, {}, "tensor([1.0000e-05, 1.0000e+00])"),
    ([1.0, 1000.5], float32, {}, "tensor([1.0000e+00, 1.0005e+03])"),
    ([1.0, 1000.0], float32, {}, "tensor([   1., 1000.])"),
    ([1.0, 1001.0], float32, {}, "tensor([1.0000e+00, 1.0010e+03])"),
    ([1e8], float32, {}, "tensor([100000000.])"),
    ([2e8], float32, {}, "tensor([2.0000e+08])"),
    (1e-4, float64, {}, "tensor(0.0001, dtype=torch.float64)"),
    (1e-4, float32, {}, "tensor(1.0000e-04)"),      # the nearest float32 lies below 1e-4
    ([0.5], float64, {}, "tensor([0.5000], dtype=torch.float64)"),
    ([0.5, 1234.5], float32, {"sci_mode": False}, "tensor([   0.5000, 1234.5000])"),
    ([1.0, -2.0], float32, {"sci_mode": True}, "tensor([ 1.0000e+00, -2.0000e+00])"),
    ([0.0, 0.0], float32, {"sci_mode": True}, "tensor([0., 0.])"),
    ([1.23456789, 2.0], float64, {"precision": 6}, "tensor([1.234568, 2.000000], dtype=torch.float64)"),
    # zeros and non-finite values: no part in the width
    ([0.0, -0.0], float32, {}, "tensor([0., -0.])"),
    ([1.0, nan, inf, -inf], float32, {}, "tensor([1., nan, inf, -inf])"),
    ([1.5, nan, -inf, 0.0], float32, {}, "tensor([1.5000,    nan,   -inf, 0.0000])"),
    ([1e-6, nan, -1.0], float32, {}, "tensor([ 1.0000e-06,         nan, -1.0000e+00])"),
    ([nan, inf], float32, {}, "tensor([nan, inf])"),
    # other dtypes
    ([True, False], bool_, {}, "tensor([ True, False])"),
    ([1, -20, 300], int64, {}, "tensor([  1, -20, 300])"),
    ([1, 2], int32, {}, "tensor([1, 2], dtype=torch.int32)"),
    # 0-d and empty
    (3.0, float32, {}, "tensor(3.)"),
    (3.14159, float32, {}, "tensor(3.1416)"),
    (7, int64, {}, "tensor(7)"),
    (True, bool_, {}, "tensor(True)"),
    ([], float32, {}, "tensor([])"),
    (np.zeros((0, 3)), float32, {}, "tensor([], size=(0, 3))"),
    ([], int64, {}, "tensor([], dtype=torch.int64)"),
    (np.zeros((2, 0, 3)), float64, {}, "tensor([], size=(2, 0, 3), dtype=torch.float64)"),
    # nesting
    ([[1, 2], [3, 4]], int64, {}, "tensor([[1, 2],\n        [3, 4]])"),
    (np.arange(8).reshape(2, 2, 2), int64, {},
     "tensor([[[0, 1],\n         [2, 3]],\n\n        [[4, 5],\n         [6, 7]]])"),
    (np.arange(4).reshape(2, 2, 1, 1), int64, {},
     "tensor([[[[0]],\n\n         [[1]]],\n\n\n        [[[2]],\n\n         [[3]]]])"),
    # long rows
    (np.arange(30), int64, {},
     "tensor([ 0,  1,  2,  3,  4,  5,  6,  7,  8,  9, 10, 11, 12, 13, 14, 15, 16, 17,\n"
     "        18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29])"),
    ([1, 2, 3], int64, {"linewidth": 5}, "tensor([1,\n        2,\n        3])"),
    # summary
    (np.arange(1001), int64, {}, "tensor([   0,    1,    2,  ...,  998,  999, 1000])"),
    (np.arange(10), int64, {"threshold": 5, "edgeitems": 2}, "tensor([0, 1,  ..., 8, 9])"),
    (np.arange(49).reshape(7, 7), float32, {"threshold": 48},
     "tensor([[ 0.,  1.,  2.,  ...,  4.,  5.,  6.],\n"
     "        [ 7.,  8.,  9.,  ..., 11., 12., 13.],\n"
     "        [14., 15., 16.,  ..., 18., 19., 20.],\n"
     "        ...,\n"
     "        [28., 29., 30.,  ..., 32., 33., 34.],\n"
     "        [35., 36., 37.,  ..., 39., 40., 41.],\n"
     "        [42., 43., 44.,  ..., 46., 47., 48.]])"),
    (np.arange(24).reshape(3, 2, 4), int64, {"threshold": 5, "edgeitems": 1},
     "tensor([[[ 0,  ...,  3],\n         [ 4,  ...,  7]],\n\n        ...,\n\n"
     "        [[16,  ..., 19],\n         [20,  ..., 23]]])"),
    ([1, 1, 1, 123456, 1, 1, 1], int64, {"threshold": 5}, "tensor([1, 1, 1,  ..., 1, 1, 1])"),
    (np.ones((2, 3)), float32, {"threshold": 0, "edgeitems": 0}, "tensor([...], size=(2, 3))"),
    ([1.0], float32, {"edgeitems": 0}, "tensor([1.], size=(1,))"),
    (2.5, float32, {"threshold": 0, "edgeitems": 0}, "tensor(2.5000, size=())"),
    (np.arange(1002), int64, {"profile": "short"}, "tensor([   0,    1,  ..., 1000, 1001])"),
    ([0.12345], float32, {"profile": "short"}, "tensor([0.12])"),
]


@pytest.mark.parametrize("values, kind, options, text", LITERALS)
def test_literal_texts(values: Any, kind: dtype, options: dict[str, Any], text: str) -> None:
    with printoptions(**options):
        assert format_tensor(np.asarray(values, kind.np), kind) == text


def test_literal_texts_are_those_of_pytorch(torch: Any) -> None:
    for values, kind, options, text in LITERALS:
        torch.set_printoptions(profile="default")
        torch.set_printoptions(**options)
        assert str(torch.tensor(np.asarray(values, kind.np))) == text


def test_profile_full_shows_every_item() -> None:
    set_printoptions(profile="full")
    text = format_tensor(np.arange(5000), int64)
    assert "..." not in text and text.count(",") == 4999


def test_infinite_linewidth_never_breaks_a_line() -> None:
    set_printoptions(linewidth=inf)
    assert "\n" not in format_tensor(np.arange(1000), int64, suffixes=["requires_grad=True"])


def test_suffixes_follow_size_and_dtype() -> None:
    assert (format_tensor(np.ones(2), float64, suffixes=["requires_grad=True"])
            == "tensor([1., 1.], dtype=torch.float64, requires_grad=True)")
    assert (format_tensor(np.zeros((0, 2)), float64, suffixes=["grad_fn=<MulBackward0>"])
            == "tensor([], size=(0, 2), dtype=torch.float64, grad_fn=<MulBackward0>)")
    assert (format_tensor(np.ones((0, 2), np.int32), int32, device="cuda:0")
            == "tensor([], device='cuda:0', size=(0, 2), dtype=torch.int32)")


def test_a_suffix_that_does_not_fit_goes_to_a_new_line() -> None:
    row = np.full(7, 1.5, np.float32)
    inner = ", ".join(["1.5000"] * 7)
    # 63 columns with the bracket, counted as 65, and ", requires_grad=True" has 20
    with printoptions(linewidth=84):
        assert format_tensor(row, float32, suffixes=["requires_grad=True"]) == (
            f"tensor([{inner}],\n       requires_grad=True)")
    with printoptions(linewidth=85):
        assert format_tensor(row, float32, suffixes=["requires_grad=True"]) == f"tensor([{inner}], requires_grad=True)"
    assert format_tensor(row.astype(np.float64), float64, suffixes=["grad_fn=<AddBackward0>"]) == (
        f"tensor([{inner}],\n       dtype=torch.float64, grad_fn=<AddBackward0>)")


def test_columns_after_a_break_are_counted_exactly() -> None:
    row = np.full(5, 1.5)
    start = f"tensor([{', '.join(['1.5000'] * 5)}],\n       dtype=torch.float64,"
    # indent 7, "dtype=torch.float64" 19, ", grad_fn=<AddBackward0>" 24: 50 columns
    with printoptions(linewidth=50):
        assert format_tensor(row, float64, suffixes=["grad_fn=<AddBackward0>"]) == f"{start} grad_fn=<AddBackward0>)"
    with printoptions(linewidth=49):
        assert format_tensor(row, float64, suffixes=["grad_fn=<AddBackward0>"]) == (
            f"{start}\n       grad_fn=<AddBackward0>)")


def test_prefix_of_a_subclass_sets_the_indentation() -> None:
    text = format_tensor(np.eye(2, dtype=np.float32), float32, prefix="Weight")
    assert text == "Weight([[1., 0.],\n        [0., 1.]])"


def test_default_dtype_is_not_shown() -> None:
    set_default_dtype(float64)
    assert format_tensor(np.ones(1), float64) == "tensor([1.])"
    assert format_tensor(np.ones(0), float64) == "tensor([])"
    assert format_tensor(np.ones(1, np.float32), float32) == "tensor([1.], dtype=torch.float32)"


def test_options_are_kept_except_sci_mode() -> None:
    set_printoptions(precision=2, sci_mode=True)
    before = get_printoptions()
    assert before == PrintOptions(precision=2, sci_mode=True)
    set_printoptions(linewidth=100)
    assert get_printoptions() == PrintOptions(precision=2, linewidth=100, sci_mode=None)
    set_printoptions(profile="short", edgeitems=5)
    assert get_printoptions() == PrintOptions(precision=2, edgeitems=5)
    assert before == PrintOptions(precision=2, sci_mode=True)


def test_printoptions_restores_after_an_error() -> None:
    set_printoptions(precision=3, sci_mode=False)
    with pytest.raises(KeyError), printoptions(precision=1, profile="full"):
        assert get_printoptions() == PrintOptions(precision=1, threshold=inf)
        raise KeyError
    assert get_printoptions() == PrintOptions(precision=3, sci_mode=False)


@pytest.mark.parametrize("options, error, message", [
    ({"profile": "tiny"}, ValueError, "unknown profile 'tiny', use one of default, short, full"),
    ({"precision": "4"}, TypeError, "precision must be an integer, got '4'"),
    ({"precision": -1}, ValueError, "precision must not be negative, got -1"),
    ({"edgeitems": 2.5}, TypeError, "edgeitems must be an integer, got 2.5"),
    ({"threshold": "many"}, TypeError, "threshold must be a number, got 'many'"),
    ({"linewidth": [80]}, TypeError, r"linewidth must be a number, got \[80\]"),
])
def test_bad_options_are_refused_and_change_nothing(options: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        set_printoptions(**{"precision": 2, **options})
    assert get_printoptions() == PrintOptions()


def test_format_of_a_0d_tensor_is_that_of_its_item() -> None:
    def text() -> str:
        raise AssertionError("the tensor's text is not needed")

    assert format_value(np.asarray(np.float32(1.5)), ".2f", text) == "1.50"
    assert format_value(np.asarray(np.float32(0.1)), "", text) == "0.10000000149011612"
    assert format_value(np.asarray(3), ">4d", text) == "   3"
    assert format_value(np.asarray(True), "", text) == "True"
    with pytest.raises(ValueError, match="Unknown format code 'd'"):
        format_value(np.asarray(1.5), "d", text)


def test_format_of_other_tensors_takes_no_spec() -> None:
    ones = np.ones(2)
    assert format_value(ones, "", lambda: "tensor([1., 1.])") == "tensor([1., 1.])"
    with pytest.raises(TypeError, match=r"unsupported format string passed to Tensor.__format__.*'\.2f'.*\(2,\)"):
        format_value(ones, ".2f", lambda: "")
    scalar = np.asarray(1.5)
    assert format_value(scalar, "", lambda: "Parameter", type_name="Parameter") == "Parameter"
    with pytest.raises(TypeError, match="unsupported format string passed to Parameter.__format__"):
        format_value(scalar, ".2f", lambda: "", type_name="Parameter")


def random_options(pick: random.Random) -> dict[str, Any]:
    """Any of the printing options, each in some of the cases."""
    choices: dict[str, list[Any]] = {
        "profile": ["default", "short", "full"],
        "precision": [0, 1, 2, 4, 8],
        "threshold": [0, 1, 5, 20, 100, 1000, inf, nan],
        "edgeitems": [0, 1, 2, 4],
        "linewidth": [0, 10, 40, 61, 79.5, 80, 120],
        "sci_mode": [True, False],
    }
    return {name: pick.choice(values) for name, values in choices.items() if pick.random() < 0.3}


def random_shape(pick: random.Random) -> tuple[int, ...]:
    if pick.random() < 0.1:
        return pick.choice([(pick.randint(995, 1100),), (40, 40), (2, 3, 5, 40), (7, 2, 9, 8), (1, 1200)])
    lengths = (1, 2, 3, 5, 6, 7, 12) if pick.random() < 0.9 else (0, 1, 4)
    return tuple(pick.choice(lengths) for _ in range(pick.randint(0, 4)))


def random_array(pick: random.Random, rng: np.random.Generator, shape: tuple[int, ...], kind: dtype) -> np.ndarray:
    """Values that lie on both sides of every rule: whole or not, spread or not, large, small, zero, non-finite."""
    if kind is bool_:
        return np.asarray(rng.random(shape) < pick.choice([0.0, 0.5, 1.0]))
    if kind.category == 1:
        held = np.iinfo(kind.np)
        top = min(pick.choice([1, 10, 5000, held.max]), held.max)
        return np.asarray(rng.integers(pick.choice([0, max(-top, held.min)]), top, shape, kind.np, endpoint=True))
    normal = rng.standard_normal(shape)
    values = pick.choice([
        lambda: np.round(normal * 10.0 ** pick.randint(0, 9)),
        lambda: normal * 10.0 ** rng.uniform(-10, 10, shape),
        lambda: normal * 10.0 ** rng.uniform(-1, 1, shape),
        lambda: normal * 10.0 ** pick.uniform(-10, 10),
        lambda: rng.choice([1e-4, 1e8, 1.0, 1000.0, 0.1, 1e5, 99999.99999, 0.99995, -0.00005, 1e-3], shape),
        lambda: rng.choice([1e-310, 1e300, 1e-40, 3e38, 5e-324, 0.0], shape),
        lambda: np.zeros(shape),
    ])()
    if pick.random() < 0.4:
        special = rng.choice([0.0, -0.0, inf, -inf, nan], shape)
        values = np.where(rng.random(shape) < pick.choice([0.1, 0.6, 1.0]), special, values)
    with np.errstate(over="ignore", under="ignore"):
        return np.asarray(values, kind.np)


@pytest.mark.parametrize("seed", range(4))
def test_random_tensors_print_as_in_pytorch(torch: Any, seed: int) -> None:
    seed = drawn.seed(seed)
    pick, rng = random.Random(seed), np.random.default_rng(seed)
    for case in range(150):
        set_default_dtype(pick.choice([float32, float32, float64]))
        torch.set_default_dtype(getattr(torch, get_default_dtype().name))
        kind = pick.choice(ALL)
        array = random_array(pick, rng, random_shape(pick), kind)
        tensor = torch.tensor(array)
        if array.ndim > 1 and pick.random() < 0.3:      # printing does not depend on strides
            array, tensor = array.T, tensor.permute(*reversed(range(array.ndim)))
        suffixes = []
        if kind.is_floating_point and pick.random() < 0.6:
            tensor.requires_grad_()
            suffixes = ["requires_grad=True"]
            if pick.random() < 0.5:
                tensor = tensor * 1
                suffixes = [f"grad_fn=<{type(tensor.grad_fn).__name__}>"]
        options = random_options(pick)
        torch.set_printoptions(profile="default")
        torch.set_printoptions(**options)
        with printoptions(**{"profile": "default", **options}):
            assert dataclasses.asdict(get_printoptions()) == pytest.approx(
                torch._tensor_str.get_printoptions(), nan_ok=True)
            text = format_tensor(array, kind, suffixes=suffixes)
        assert text == str(tensor), f"seed {seed}, case {case}: {kind}, shape {array.shape}, {options}"


def test_signed_nans_and_denormals_raise_no_warning(torch: Any) -> None:
    bits = np.array([0x7F800001, 0xFFC00000, 0x7FC00000, 0x00000001, 0x80000001], np.uint32)
    values = bits.view(np.float32)
    assert format_tensor(values, float32) == str(torch.from_numpy(values))
