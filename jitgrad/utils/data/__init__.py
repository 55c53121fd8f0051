"""Datasets, samplers and DataLoader, in this process: num_workers other than 0 is refused."""
from __future__ import annotations

from jitgrad.utils.data.collate import default_collate, default_convert
from jitgrad.utils.data.dataset import (
           ChainDataset,
           ConcatDataset,
           Dataset,
           IterableDataset,
           StackDataset,
           Subset,
           TensorDataset,
           random_split,
)
from jitgrad.utils.data.loader import DataLoader
from jitgrad.utils.data.sampler import (
           BatchSampler,
           RandomSampler,
           Sampler,
           SequentialSampler,
           SubsetRandomSampler,
           WeightedRandomSampler,
)

__all__ = ["BatchSampler", "ChainDataset", "ConcatDataset", "DataLoader", "Dataset", "IterableDataset", "RandomSampler", "Sampler",
           "SequentialSampler", "StackDataset", "Subset", "SubsetRandomSampler", "TensorDataset", "WeightedRandomSampler",
           "default_collate", "default_convert", "random_split"]
