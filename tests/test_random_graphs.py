"""Random programs over the public interface: compiled = interpreted = finite differences = PyTorch, and what compiles again.

`--seed N` draws other programs; EXPLORE=20 draws twenty times as many, twice as long."""
from __future__ import annotations

import os

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from random_programs import Outcome, Program, flat, interpreted, programs, run, tolerances, weights

import jitgrad

pytestmark = [pytest.mark.full,
              pytest.mark.filterwarnings("ignore:.*degrees of freedom is <= 0")]      # PyTorch says so of empty results, too
TIMES = int(os.environ.get("EXPLORE", "1"))
LONGER = 2 if TIMES > 1 else 1


def examples(count: int) -> settings:
    """Settings of a test that sees so many programs."""
    return settings(max_examples=TIMES * count,
                    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large])


def tame(program: Program) -> None:
    """Leave out programs whose numbers grow without bound."""
    wide = [array.astype(np.float64) for array in program.arrays()]
    outcome = interpreted(program, wide, look=True)
    assume(outcome.error is not None or np.isfinite(outcome.largest) and outcome.largest < 1e6)
    if outcome.error is None:
        assume(all([np.isfinite(a).all() and abs(a).max(initial=0) < 1e8 for a in flat(outcome)]))


def compare(got: Outcome, want: Outcome, bounds: list[np.ndarray], what: str) -> None:
    pairs = list(zip(flat(got), flat(want), bounds, strict=True))
    for i, (a, b, bound) in enumerate(pairs):
        name = f"value {i}" if i < len(got.values) else f"gradient {i - len(got.values)}"
        assert a.dtype == b.dtype and a.shape == b.shape, f"{what}, {name}: {a.dtype}{a.shape}, not {b.dtype}{b.shape}"
        difference = abs(a - b)
        assert (difference <= bound).all(), f"{what}, {name}:\n{a}\nnot\n{b}\nwithin\n{bound}"


def same_error(a: Outcome, b: Outcome) -> bool:
    """Whether both ended with an error (then one of the same type and kind), False if neither did."""
    assert type(a.error) is type(b.error), f"{a.error!r}, not {b.error!r}"
    if a.error is None:
        return False
    assert ("inplace" in str(a.error)) == ("inplace" in str(b.error)), f"{a.error}\nnot\n{b.error}"
    return True


@examples(120)
@given(programs(size=6 * LONGER))
def test_compiled_is_interpreted(program):
    tame(program)
    want, got = interpreted(program), run(jitgrad, program)
    if not same_error(got, want):
        assert got.facts == want.facts
        compare(got, want, tolerances(program), "compiled")


@examples(70)
@given(programs(exact=True, size=8 * LONGER))
def test_compiled_has_the_same_bits(program):
    tame(program)
    want, got = interpreted(program), run(jitgrad, program)
    for a, b in zip(flat(got), flat(want), strict=True):
        np.testing.assert_array_equal(a, b)


@examples(60)
@given(programs(smooth=True, double=True, size=7 * LONGER))
def test_gradients_are_finite_differences(program):
    tame(program)
    here = interpreted(program)
    assume(here.error is None and here.grads)
    rng = program.rng()
    arrays = program.arrays()
    steps = [rng.uniform(-1, 1, a.shape) if leaf.requires_grad else 0 for a, leaf in zip(arrays, program.leaves, strict=True)]
    steps = [step * (grad is not None) for step, grad in zip(steps, pad(program, here.grads), strict=True)]

    def along(h: float) -> float:
        """The weighted sum of the roots, less what is constant."""
        ahead, behind = [interpreted(program, [a + s * h * step for a, step in zip(arrays, steps, strict=True)])
                         for s in (1, -1)]
        return sum([float((weights(p.shape, "float64") * (p - q)).sum()) for (p, q, fact)
                    in zip(ahead.values, behind.values, here.facts, strict=True) if fact[2]]) / (2 * h)

    coarse, fine = along(2e-4), along(1e-4)
    best = fine + (fine - coarse) / 3
    terms = [g * step for g, step in zip(pad(program, here.grads), steps, strict=True) if g is not None]
    slope = sum([float(t.sum()) for t in terms])
    size = 1 + sum([float(abs(t).sum()) for t in terms]) + sum([float(abs(v).sum()) for v in here.values])
    assert abs(slope - best) <= 1e-7 * size + abs(fine - coarse), f"{slope}, not {best}"


def pad(program: Program, grads: list) -> list:
    """One gradient for each leaf, None for those that want none."""
    left = iter(grads)
    return [next(left) if leaf.requires_grad else None for leaf in program.leaves]


@examples(150)
@given(programs(size=7 * LONGER))
def test_interpreted_is_pytorch(program):
    torch = pytest.importorskip("torch")
    tame(program)
    want, got = run(torch, program), interpreted(program)
    if same_error(got, want):
        return
    for ours, theirs in zip(got.facts, want.facts, strict=True):
        assert ours == theirs
    assert [g is None for g in got.grads] == [w is None for w in want.grads]
    bounds = [4 * np.broadcast_to(b, a.shape) if b.size else b for a, b in zip(flat(got), tolerances(program), strict=True)]
    compare(got, want, bounds, "PyTorch's")


@examples(30)
@given(programs(long=True, size=5 * LONGER))
def test_other_values_and_lengths_compile_nothing(program):
    tame(program)
    for _ in range(3):      # from the third run on, the program returns what the first ones read after their backward
        first = run(jitgrad, program)
    assume(first.error is None)
    lengths = {n: 2 * n + 1 for n in range(6, 10)}
    shapes = [tuple([lengths.get(n, n) for n in leaf.shape]) for leaf in program.leaves]
    others = program.arrays(shapes, seed=1)
    want = interpreted(program, others)
    assume(want.error is None)          # lengths that agreed by chance and now do not
    assume([[n == 1 for n in s] for s in first.shapes] == [[n == 1 for n in s] for s in want.shapes])
    for seed in (3, 4):         # what is read after each backward becomes an output of the program, once
        run(jitgrad, program, program.arrays(seed=seed))
    before = jitgrad.cache_info()
    again, got = run(jitgrad, program, program.arrays(seed=2)), run(jitgrad, program, others)
    after = jitgrad.cache_info()
    assert again.error is None
    assert (after.compilations, after.kernels, after.disk_hits) == (before.compilations, before.kernels, before.disk_hits)
    scale = max([1.0, *[float(abs(a).max(initial=0)) for a in flat(want)]])
    compare(got, want, [np.full_like(a, 1e4 * program.eps * scale, np.float64) for a in flat(want)], "other lengths")
