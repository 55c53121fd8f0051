"""DataLoader: the batches of a dataset, one after the other."""
from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any

from jitgrad.random import Generator, randperm
from jitgrad.tensors.tensor import Tensor, from_array
from jitgrad.utils.data.collate import default_collate, default_convert
from jitgrad.utils.data.dataset import IterableDataset, TensorDataset
from jitgrad.utils.data.sampler import BatchSampler, RandomSampler, SequentialSampler


class DataLoader:
    """Batches of batch_size, in order or shuffled (or as a sampler has it), made by collate_fn of lists of samples.

    batch_size=None: samples one by one.  Batches of a TensorDataset are taken by one indexing of each tensor.  pin_memory, timeout
    and what else is about workers is accepted for PyTorch's sake and changes nothing.  Raises ValueError for num_workers other than
    0: Python's threads and processes would only slow down what takes microseconds."""

    def __init__(self, dataset: Any, batch_size: int | None = 1, shuffle: bool | None = None, sampler: Iterable[Any] | None = None,
                 batch_sampler: Iterable[list[Any]] | None = None, num_workers: int = 0, collate_fn: Callable[..., Any] | None = None,
                 pin_memory: bool = False, drop_last: bool = False, timeout: float = 0, worker_init_fn: Any = None,
                 multiprocessing_context: Any = None, generator: Generator | None = None, *, prefetch_factor: int | None = None,
                 persistent_workers: bool = False, pin_memory_device: str = "", in_order: bool = True) -> None:
        if num_workers != 0:
            raise ValueError(f"DataLoader: num_workers must be 0, but got {num_workers}: batches are made in this process")
        iterable = isinstance(dataset, IterableDataset)
        if iterable and (shuffle or sampler is not None or batch_sampler is not None):
            raise ValueError("DataLoader with IterableDataset: expected unspecified shuffle, sampler and batch_sampler options, "
                             "but got "
                             f"shuffle={shuffle}, sampler={sampler}, batch_sampler={batch_sampler}")
        if sampler is not None and shuffle:
            raise ValueError("sampler option is mutually exclusive with shuffle")
        if batch_sampler is not None:
            if batch_size != 1 or shuffle or sampler is not None or drop_last:
                raise ValueError("batch_sampler option is mutually exclusive with batch_size, shuffle, sampler, and drop_last")
            batch_size, drop_last = None, False
        elif batch_size is None and drop_last:
            raise ValueError("batch_size=None option disables auto-batching and is mutually exclusive with drop_last")
        self.dataset, self.batch_size, self.drop_last, self.num_workers, self.generator = dataset, batch_size, drop_last, 0, generator
        if sampler is None and not iterable:
            sampler = RandomSampler(dataset, generator=generator) if shuffle else SequentialSampler(dataset)
        self.sampler: Any = sampler
        if batch_sampler is None and batch_size is not None and not iterable:
            batch_sampler = BatchSampler(sampler, batch_size, drop_last)            # type: ignore[arg-type]
        self.batch_sampler: Any = batch_sampler
        batched = batch_size is not None or batch_sampler is not None
        self.collate_fn = collate_fn or (default_collate if batched else default_convert)

    def __iter__(self) -> Iterator[Any]:
        dataset, collate = self.dataset, self.collate_fn
        if isinstance(dataset, IterableDataset):
            return self._of_iterable(iter(dataset))
        if self.batch_sampler is None:
            return (collate(dataset[i]) for i in self.sampler)
        if type(dataset) is TensorDataset and collate is default_collate:
            return self._of_tensors(dataset)
        fetch = getattr(dataset, "__getitems__", None)
        return (collate(fetch(batch) if fetch is not None else [dataset[i] for i in batch]) for batch in self.batch_sampler)

    def _of_iterable(self, samples: Iterator[Any]) -> Iterator[Any]:
        if self.batch_size is None:
            yield from map(self.collate_fn, samples)
            return
        while batch := list(islice(samples, self.batch_size)):
            if self.drop_last and len(batch) < self.batch_size:
                return
            yield self.collate_fn(batch)

    def _of_tensors(self, dataset: TensorDataset) -> Iterator[list[Tensor]]:
        """The same batches as sample by sample: slices where they lie side by side, else one gather each."""
        sampler = self.batch_sampler
        if type(sampler) is BatchSampler and type(sampler.sampler) in (SequentialSampler, RandomSampler):
            n, inner = len(dataset), sampler.sampler
            order = None
            if type(inner) is RandomSampler:
                if inner.replacement or inner._num_samples is not None:
                    yield from self._by_lists(dataset)
                    return
                order = randperm(n, generator=inner.generator)._array()
            for start in range(0, n, sampler.batch_size):
                end = min(start + sampler.batch_size, n)
                if sampler.drop_last and end - start < sampler.batch_size:
                    return
                at: Any = slice(start, end) if order is None else from_array(order[start:end])
                yield [t[at].clone() if order is None else t[at] for t in dataset.tensors]       # type: ignore[attr-defined]
        else:
            yield from self._by_lists(dataset)

    def _by_lists(self, dataset: TensorDataset) -> Iterator[list[Tensor]]:
        for batch in self.batch_sampler:
            yield [t[batch] for t in dataset.tensors]

    def __len__(self) -> int:
        if isinstance(self.dataset, IterableDataset):
            n: int = len(self.dataset)          # type: ignore[arg-type]
            if self.batch_size is None:
                return n
            return n // self.batch_size if self.drop_last else -(-n // self.batch_size)
        return len(self.sampler if self.batch_sampler is None else self.batch_sampler)
