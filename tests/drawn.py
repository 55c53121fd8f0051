"""The seeds of random tests: the same each time, unless `pytest --seed N` draws others."""
from __future__ import annotations

import os

import numpy as np

START = int(os.environ.get("TEST_SEED", "0"))       # set by --seed, for this process and those that tests start


def seed(number: int = 0) -> int:
    """The seed of a test's, or a case's, own number."""
    return START + number


def generator(number: int = 0) -> np.random.Generator:
    """NumPy's generator of that seed."""
    return np.random.default_rng(seed(number))
