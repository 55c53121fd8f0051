"""The text of a tensor, character for character as PyTorch prints it.

Input: a NumPy array, its dtype, and ready-made suffixes such as "requires_grad=True".  Output: "tensor([1., 2.])".
No tensor class is known here.

How a text comes about: a long array is first reduced to the items that will be shown (`_shown`); these items alone
decide on the notation and the column width (`_cells`); then they are laid out (`_layout`) and suffixes are appended.
"""
from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from numbers import Real
from operator import index

import numpy as np

from jitgrad.types.dtype import bool_, dtype, get_default_dtype, int64


@dataclass(frozen=True, slots=True)
class PrintOptions:
    """The settings in force for printing tensors; see `set_printoptions` for their meaning."""

    precision: int = 4
    threshold: float = 1000
    edgeitems: int = 3
    linewidth: float = 80
    sci_mode: bool | None = None


_PROFILES = {
    "default": PrintOptions(),
    "short": PrintOptions(precision=2, edgeitems=2),
    "full": PrintOptions(threshold=math.inf),
}

_options = PrintOptions()


def get_printoptions() -> PrintOptions:
    """The settings in force (immutable: later changes do not show in it)."""
    return _options


def set_printoptions(
    precision: int | None = None,
    threshold: float | None = None,
    edgeitems: int | None = None,
    linewidth: float | None = None,
    profile: str | None = None,
    sci_mode: bool | None = None,
) -> None:
    """Change how tensors are printed; what is None stays as it is, except `sci_mode`.

    precision: digits after the point of a floating-point item.
    threshold: tensors with more items than this are shown without their middle.
    edgeitems: how many items then remain at each end of each dimension.
    linewidth: columns after which a line is broken.
    profile: "default", "short" or "full"; sets the four above, before those that are given too.
    sci_mode: scientific notation always (True), never (False), or as the values ask for (None).  As in PyTorch, every
        call sets it: a call that leaves it out returns to None.

    Raises TypeError or ValueError, and changes nothing, for a value that could not be printed with, and ValueError for
    an unknown profile (which PyTorch ignores).
    """
    global _options
    if profile is not None and profile not in _PROFILES:
        raise ValueError(f"set_printoptions: unknown profile {profile!r}, use one of {', '.join(_PROFILES)}")
    base = _options if profile is None else _PROFILES[profile]
    _options = replace(
        base,
        precision=base.precision if precision is None else _count("precision", precision),
        threshold=base.threshold if threshold is None else _number("threshold", threshold),
        edgeitems=base.edgeitems if edgeitems is None else _count("edgeitems", edgeitems),
        linewidth=base.linewidth if linewidth is None else _number("linewidth", linewidth),
        sci_mode=sci_mode,
    )


@contextmanager
def printoptions(
    precision: int | None = None,
    threshold: float | None = None,
    edgeitems: int | None = None,
    linewidth: float | None = None,
    profile: str | None = None,
    sci_mode: bool | None = None,
) -> Iterator[None]:
    """Within the block, `set_printoptions` with these arguments; afterwards what was in force before."""
    global _options
    before = _options
    set_printoptions(precision, threshold, edgeitems, linewidth, profile, sci_mode)
    try:
        yield
    finally:
        _options = before


def format_tensor(
    values: np.ndarray,
    dtype: dtype,
    *,
    suffixes: Sequence[str] = (),
    device: str | None = None,
    prefix: str = "tensor",
) -> str:
    """The text PyTorch prints for a tensor with these values.

    values: an array of any shape, of type `dtype.np`.
    suffixes: ready text such as "requires_grad=True" or "grad_fn=<AddBackward0>", placed last.
    device: the device's name if it is to be shown (PyTorch shows all but the CPU), placed first.
    prefix: the name before the parenthesis: "tensor", or a subclass's own.

    The size is shown for empty tensors that are not 1-d, and where `edgeitems` is 0; the dtype unless a reader would
    infer it from the items: the default floating-point dtype always, int64 and bool where there are items.
    """
    empty = values.size == 0
    notes = [] if device is None else [f"device='{device}'"]
    if (empty and values.ndim != 1) or (not empty and _options.edgeitems == 0):
        notes.append(f"size={values.shape}")
    if dtype is not get_default_dtype() and (empty or dtype not in (int64, bool_)):
        notes.append(f"dtype={dtype!r}")
    notes.extend(suffixes)
    indent = len(prefix) + 1
    return _with_notes(f"{prefix}({_body(values, dtype, indent)}", notes, indent) + ")"


def format_value(values: np.ndarray, spec: str, text: Callable[[], str], *, type_name: str = "Tensor") -> str:
    """What `format(tensor, spec)` gives.

    A 0-d plain tensor is formatted as its item, by Python's rules for int, float or bool.  Any other (with dimensions,
    or of a subclass, such as a Parameter, whose name is `type_name`) gives `text()`, the tensor's str, and takes no
    format.  Raises TypeError for a `spec` there, and Python's ValueError for one that the item does not take.
    """
    if values.ndim == 0 and type_name == "Tensor":
        return format(values.item(), spec)
    if spec:
        raise TypeError(f"unsupported format string passed to {type_name}.__format__: {spec!r} for shape "
                        f"{values.shape}; only a 0-d Tensor takes one, format .item() or .tolist() instead")
    return text()


def _count(name: str, value: int) -> int:
    """`value` as a non-negative int, for the option `name`."""
    try:
        number = index(value)
    except TypeError:
        raise TypeError(f"set_printoptions: {name} must be an integer, got {value!r}") from None
    if number < 0:
        raise ValueError(f"set_printoptions: {name} must not be negative, got {value!r}")
    return number


def _number(name: str, value: float) -> float:
    """`value` if it is a real number, for the option `name`."""
    if not isinstance(value, Real):
        raise TypeError(f"set_printoptions: {name} must be a number, got {value!r}")
    return value


def _body(values: np.ndarray, dtype: dtype, indent: int) -> str:
    """The bracketed items of `values`, to start at column `indent`."""
    if values.size == 0:
        return "[]"
    shown, cut = _shown(values)
    if shown.size == 0:
        return "[...]"
    cells, width = _cells(shown.ravel().tolist(), dtype)
    return _layout(cells, width, shown.shape, cut, indent)


def _shown(values: np.ndarray) -> tuple[np.ndarray, tuple[bool, ...]]:
    """The part of `values` that is printed, and for each axis whether its middle was taken out.

    With `edgeitems` 0 nothing remains of an array (with dimensions) above the threshold.
    """
    if values.ndim == 0 or not values.size > _options.threshold:
        return values, (False,) * values.ndim
    edge = _options.edgeitems
    cut = tuple(length > 2 * edge for length in values.shape)
    kept = [[*range(edge), *range(length - edge, length)] if is_cut else range(length)
            for length, is_cut in zip(values.shape, cut, strict=True)]
    return values[np.ix_(*kept)], cut


def _cells(items: list[float], dtype: dtype) -> tuple[list[str], int]:
    """The text of each item, padded to a common width, and that width.

    Zeros and non-finite values do not count for the width (PyTorch's rule), so their text may be wider.  float32 items
    come as Python floats: PyTorch too measures and formats them in double precision.
    """
    if not dtype.is_floating_point:
        cells = [str(item) for item in items]
        width = max(map(len, cells))
    else:
        numbers = [item for item in items if item and math.isfinite(item)]
        notation = _notation(numbers)
        cells = [notation(item) for item in items]
        width = max((len(cell) for item, cell in zip(items, cells, strict=True) if item and math.isfinite(item)),
                    default=1)
    return [cell.rjust(width) for cell in cells], width


def _notation(numbers: list[float]) -> Callable[[float], str]:
    """How to write an item, given the finite nonzero ones among all: scientific, whole ("1."), or with decimals."""
    scientific = f"{{:.{_options.precision}e}}".format
    decimals = f"{{:.{_options.precision}f}}".format
    if not numbers:
        return _whole
    if _options.sci_mode is None:
        magnitudes = [abs(number) for number in numbers]
        low, high = min(magnitudes), max(magnitudes)
        if high / low > 1e3 or high > 1e8 or low < 1e-4:
            return scientific
    elif _options.sci_mode:
        return scientific
    return _whole if all(number.is_integer() for number in numbers) else decimals


def _whole(item: float) -> str:
    """A float without decimals: its point tells it from an int, but "nan" and "inf" have none."""
    return f"{item:.0f}." if math.isfinite(item) else f"{item:.0f}"


def _layout(cells: list[str], width: int, shape: tuple[int, ...], cut: tuple[bool, ...], indent: int) -> str:
    """Nested brackets around `cells` (row-major over `shape`), the first bracket at column `indent`.

    Rows are broken at `linewidth`; matrices are separated by a blank line, blocks of matrices by two, and so on.
    """
    if not shape:
        return cells[0]
    middle = _options.edgeitems
    if len(shape) == 1:
        if cut[0]:
            cells = [*cells[:middle], " ...", *cells[middle:]]
        per_line = max(1, int(min(len(cells), (_options.linewidth - indent) / (width + 2))))
        parts = [", ".join(cells[start:start + per_line]) for start in range(0, len(cells), per_line)]
        newlines = "\n"
    else:
        step = len(cells) // shape[0]
        parts = [_layout(cells[start:start + step], width, shape[1:], cut[1:], indent + 1)
                 for start in range(0, len(cells), step)]
        if cut[0]:
            parts.insert(middle, "...")
        newlines = "\n" * (len(shape) - 1)
    return "[" + f",{newlines}{' ' * (indent + 1)}".join(parts) + "]"


def _with_notes(text: str, notes: Sequence[str], indent: int) -> str:
    """`text` with each note after a comma, on a new line at column `indent` where it would pass `linewidth`.

    The column is counted as PyTorch counts it: two more than there are on the text's last line, exact after a break.
    """
    column = len(text) - text.rfind("\n") + 1
    for note in notes:
        if column + len(note) + 2 > _options.linewidth:
            text += f",\n{' ' * indent}{note}"
            column = indent + len(note)
        else:
            text += f", {note}"
            column += len(note) + 2
    return text
