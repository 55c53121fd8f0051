"""Samples put together as a batch."""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from jitgrad.operators.creation import as_tensor, tensor
from jitgrad.operators.declaration.declare import OPERATORS
from jitgrad.tensors.tensor import Tensor
from jitgrad.types.dtype import float64


def default_collate(batch: Sequence[Any]) -> Any:
    """Tensors and arrays stacked, numbers as one tensor, and the same within dicts, lists and tuples; texts as they are."""
    first = batch[0]
    if isinstance(first, Tensor):
        return OPERATORS["stack"].call(list(batch))
    if isinstance(first, np.ndarray):
        return OPERATORS["stack"].call([as_tensor(a) for a in batch])
    if isinstance(first, np.generic):
        return as_tensor(np.array(batch))
    if isinstance(first, float):
        return tensor(list(batch), dtype=float64)
    if isinstance(first, int):
        return tensor(list(batch))
    if isinstance(first, (str, bytes)):
        return batch
    if isinstance(first, Mapping):
        found = {key: default_collate([sample[key] for sample in batch]) for key in first}
        return found if type(first) is dict else type(first)(found)      # type: ignore[call-arg]
    if isinstance(first, tuple) and hasattr(first, "_fields"):
        return type(first)(*[default_collate(column) for column in zip(*batch, strict=True)])
    if isinstance(first, Sequence):
        if any([len(sample) != len(first) for sample in batch]):
            raise RuntimeError("each element in list of batch should be of equal size")
        columns = [default_collate(column) for column in zip(*batch, strict=True)]
        return columns if isinstance(first, tuple) else type(first)(columns)     # type: ignore[call-arg]
    raise TypeError("default_collate: batch must contain tensors, numpy arrays, numbers, dicts or lists; found "
                    f"{type(first)}")


def default_convert(data: Any) -> Any:
    """Arrays as tensors, within dicts, lists and tuples too; all else as it is."""
    if isinstance(data, (np.ndarray, np.generic)):
        return as_tensor(np.asarray(data))
    if isinstance(data, Mapping):
        return {key: default_convert(value) for key, value in data.items()}
    if isinstance(data, tuple) and hasattr(data, "_fields"):
        return type(data)(*[default_convert(value) for value in data])
    if isinstance(data, Sequence) and not isinstance(data, (str, bytes)):
        return [default_convert(value) for value in data]
    return data
