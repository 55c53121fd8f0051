"""jitgrad.utils.data: the same batches as PyTorch's, where the order is the same; each sample once where it is random."""
from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pytest

import jitgrad


class Point(NamedTuple):
    x: Any
    y: Any


def data(xp: Any) -> Any:
    return xp.utils.data


def as_lists(value: Any) -> Any:
    if hasattr(value, "tolist"):
        return [str(value.dtype), value.tolist()]
    if isinstance(value, dict):
        return {k: as_lists(v) for k, v in value.items()}
    return type(value)(*map(as_lists, value)) if hasattr(value, "_fields") else (
        [type(value), *map(as_lists, value)] if isinstance(value, (list, tuple)) else value)


SAMPLES = {"tensors": lambda xp, i: (xp.ones(2) * i, i), "arrays": lambda xp, i: [np.full(2, i, np.float32), float(i)],
           "dicts": lambda xp, i: {"a": np.float64(i), "b": {"c": xp.tensor(i)}, "s": str(i)}, "named": lambda xp,
           i: Point(i, (i, "z"))}


@pytest.mark.parametrize("kind", SAMPLES)
@pytest.mark.parametrize("options", [{}, {"batch_size": 3}, {"batch_size": 3, "drop_last": True}, {"batch_size": None}])
def test_batches_of_samples(kind: str, options: dict[str, Any]) -> None:
    torch = pytest.importorskip("torch")
    found = []
    for xp in (jitgrad, torch):
        samples = [SAMPLES[kind](xp, i) for i in range(7)]
        loader = data(xp).DataLoader(samples, **options)
        found.append([len(loader), *map(as_lists, loader)])
    assert found[0] == found[1]


@pytest.mark.parametrize("options", [{"batch_size": 4}, {"batch_size": 4, "drop_last": True}, {"batch_sampler": [[0, 3], [5]]},
                                     {"sampler": [6, 1, 2], "batch_size": 2}, {"batch_size": None}])
def test_batches_of_tensors(options: dict[str, Any]) -> None:
    torch = pytest.importorskip("torch")
    found = []
    for xp in (jitgrad, torch):
        dataset = data(xp).TensorDataset(xp.arange(14.0).reshape(7, 2), xp.arange(7))
        loader = data(xp).DataLoader(dataset, **options)
        found.append([len(loader), *map(as_lists, loader), as_lists(dataset[2:4])])
    assert found[0] == found[1]


def test_shuffled() -> None:
    D = jitgrad.utils.data
    dataset = D.TensorDataset(jitgrad.arange(10), jitgrad.arange(10) * 2)
    generator = jitgrad.Generator().manual_seed(3)
    loader = D.DataLoader(dataset, batch_size=4, shuffle=True, generator=generator)
    first, second = [[x.tolist() for x, y in loader if (y == 2 * x).all()] for _ in range(2)]
    assert sorted(sum(first, [])) == list(range(10)) == sorted(sum(second, [])) and first != second
    generator.manual_seed(3)
    assert [x.tolist() for x, _ in loader] == first
    # as one sample at a time
    generator.manual_seed(3)
    assert sum([x.tolist() for x, _ in D.DataLoader([dataset[i] for i in range(10)], 4, True, generator=generator)],
               []) == sum(first, [])


def test_iterable() -> None:
    D = jitgrad.utils.data

    class Count(D.IterableDataset):
        def __iter__(self) -> Any:
            return iter(range(5))

    assert [b.tolist() for b in D.DataLoader(Count(), batch_size=2)] == [[0, 1], [2, 3], [4]]
    assert list(D.DataLoader(Count() + Count(), batch_size=None)) == [0, 1, 2, 3, 4] * 2


def test_datasets_and_samplers() -> None:
    D = jitgrad.utils.data
    joined = D.ConcatDataset([[1, 2], [3]]) + [4]
    assert [joined[i] for i in range(4)] == [1, 2, 3, 4] and joined[-1] == 4
    assert D.StackDataset(a=[1, 2], b=[3, 4])[1] == {"a": 2, "b": 4}
    parts = D.random_split(range(10), [0.7, 0.3])
    assert [len(p) for p in parts] == [7, 3] and sorted([*parts[0], *parts[1]]) == list(range(10))
    assert list(D.WeightedRandomSampler([0.0, 1.0], 5)) == [1] * 5
    assert sorted(D.SubsetRandomSampler([4, 7])) == [4, 7]
    assert len(list(D.RandomSampler(range(3), replacement=True, num_samples=8))) == 8


@pytest.mark.parametrize(("options", "message"), [
    ({"num_workers": 2}, "num_workers must be 0"), ({"sampler": [0], "shuffle": True},
                                                    "sampler option is mutually exclusive with shuffle"),
    ({"batch_sampler": [[0]], "batch_size": 2}, "batch_sampler option is mutually exclusive"),
    ({"batch_size": 0}, "batch_size should be a positive integer value, but got batch_size=0")])
def test_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        jitgrad.utils.data.DataLoader([1, 2], **options)
