"""Random numbers: Philox's published answers, the same bits whoever computes them, generators, and graphs and captures that draw."""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from graphs import normal, reference, request

import jitgrad
from jitgrad import ops
from jitgrad.compiler.build import build
from jitgrad.compiler.ir.steps import LibraryStep
from jitgrad.graph.recording import scalar_node
from jitgrad.memory.threads import get_num_threads, set_num_threads
from jitgrad.ops.philox import philox
from jitgrad.ops.random import AT_PLACE
from jitgrad.ops.random import fill as reference_fill
from jitgrad.random import filling
from jitgrad.types.dtype import BY_CODE, int64

nn = jitgrad.nn
DRAWS = [(op, params) for op in (ops.random_word, ops.random_bits, ops.random_uniform, ops.random_normal)
         for params in ([{"dtype": "f4"}, {"dtype": "f8"}] if op.param_names else [{}])]


# -- the generator -----------------------------------------------------------------------------------------------------

@pytest.mark.parametrize(("counter", "key", "expected"), [     # of the authors' library, Random123
    ([0] * 4, [0] * 2, "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
    ([0xFFFFFFFF] * 4, [0xFFFFFFFF] * 2, "408f276d 41c83b0e a20bc7c6 6d5451fd"),
    ([0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344], [0xA4093822, 0x299F31D0], "d16cfe09 94fdcceb 5001e420 24126ea1")])
def test_known_answers(counter: list[int], key: list[int], expected: str) -> None:
    words = philox(*[np.array([w]) for w in (*counter, *key)])
    assert " ".join([f"{int(w[0]):08x}" for w in words]) == expected


def test_what_is_made_of_the_words() -> None:
    """The first place of seed 0 is the first known answer."""
    def first(name: str, dtype: Any) -> Any:
        array = np.empty(1, dtype)
        reference_fill(name, array, 0, 0)
        return array[0]

    low, high, third, fourth = 0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8
    assert first("random_word", np.int64) == low
    assert int(first("random_bits", np.int64)) % 2**64 == high << 32 | low
    assert first("random_uniform_f4", np.float32) == (low >> 8) / 2**24
    u, v = (high << 32 | low) >> 11, (fourth << 32 | third) >> 11
    assert first("random_uniform_f8", np.float64) == u / 2**53
    normal = np.sqrt(-2 * np.log1p(-u / 2**53)) * np.sin(np.pi * (v / 2**53 - 0.5))
    np.testing.assert_allclose(first("random_normal_f8", np.float64), normal, rtol=1e-14)
    u, v = low >> 8, high >> 8
    normal = np.sqrt(-2 * np.log1p(-u / 2**24)) * np.sin(np.pi * (v / 2**24 - 0.5))
    np.testing.assert_allclose(first("random_normal_f4", np.float32), normal, rtol=1e-6)


def test_numbers_are_spread_as_they_should_be() -> None:
    stats = pytest.importorskip("scipy.stats")
    n = 100_000
    for name in ("f4", "f8"):
        made = {kind: np.empty(n, BY_CODE[name].np) for kind in ("uniform", "normal")}
        for kind, array in made.items():
            reference_fill(f"random_{kind}_{name}", array, 2**40, 77)
        assert made["uniform"].min() >= 0 and made["uniform"].max() < 1
        assert stats.kstest(made["uniform"][:50_000].astype(float), "uniform").pvalue > 1e-3
        assert stats.kstest(made["normal"][:50_000].astype(float), "norm").pvalue > 1e-3
        z = made["normal"].astype(float)
        assert abs(z.mean()) < 5 / n**0.5 and abs((z**2).mean() - 1) < 8 / n**0.5 and abs((z**4).mean() - 3) < 60 / n**0.5
        for lag in (1, 2, 4, 1000):
            assert abs((z[lag:] * z[:-lag]).mean()) < 5 / n**0.5
    bits = np.empty(n, np.int64)
    reference_fill("random_bits", bits, 3, 0)
    ones = (bits[:, None] >> np.arange(64) & 1).mean(0)
    assert (np.abs(ones - 0.5) < 2.5 / n**0.5).all()


# -- the same bits, whoever computes them ------------------------------------------------------------------------------

@pytest.mark.compiled
@pytest.mark.parametrize("shape", [(30, 40), (3, 1, 5), (), (0, 3)])
def test_kernels_give_the_bits_of_the_reference(shape: tuple[int, ...]) -> None:
    x = normal(*shape)
    for donor in (x, ops.permute(x, dims=tuple(range(len(shape)))[::-1])):
        given = donor, scalar_node(-2**63 + 5, int64), scalar_node(2**32 - 20, int64)
        drawn = [op(*given, **params) for op, params in DRAWS]
        part = [ops.slice(d, full=(False,) * len(shape), sizes=tuple([k for n in d.type.shape for k in (n // 3, n // 2, 1)]))
                for d in drawn[2:] if 0 not in shape]
        r = request([*drawn, *part, donor * drawn[3], ops.sum(drawn[5], axes=tuple(range(len(shape))))])
        program = build(r)
        assert not any([isinstance(s, LibraryStep) for s in program.listing().steps])
        for got, want in zip(program.run(r.order)[:-1], reference(r)[:-1], strict=True):
            assert got.dtype == want.dtype and got.shape == want.shape and got.tobytes() == want.tobytes()


@pytest.mark.compiled
@pytest.mark.parametrize("name", AT_PLACE)
def test_arrays_are_filled_alike_by_kernels_and_any_number_of_threads(name: str) -> None:
    code = name.rpartition("_")[2]
    code = code if code in ("f4", "f8") else "i8"
    filler, before = filling.Filler(name, code), get_num_threads()
    try:
        for count, offset in ((1, 0), (7, 2**32 - 3), (1000, -5), (filling.CHUNK * 2 + 77, 2**63 - 1000)):
            wanted = np.empty(count, BY_CODE[code].np)
            with np.errstate(over="ignore"):
                reference_fill(name, wanted, 2**62 + 1, offset)
            for threads in (1, 2):
                set_num_threads(threads)
                got = np.zeros(count, BY_CODE[code].np)
                filler.fill(got, 2**62 + 1, offset)
                assert got.tobytes() == wanted.tobytes()
    finally:
        set_num_threads(before)


def drawn_by(function: Callable[[], Any], seed: int = 5) -> Any:
    jitgrad.manual_seed(seed)
    return function()


def test_numbers_follow_each_other_however_they_are_asked_for(monkeypatch: Any) -> None:
    whole = drawn_by(lambda: jitgrad.randn(5000, dtype=jitgrad.float64))
    monkeypatch.setattr(filling, "CALLS", 3)        # NumPy, then a kernel; small and large
    monkeypatch.setattr(filling, "fillers", {})
    monkeypatch.setattr("jitgrad.random.drawing.fillers", filling.fillers)
    monkeypatch.setattr(filling, "_done", [0, 0])
    shapes = ((3,), (1,), (2, 3), (4,), (86,), (4900,))
    parts = drawn_by(lambda: [jitgrad.randn(*shape, dtype=jitgrad.float64).flatten() for shape in shapes])
    assert jitgrad.equal(jitgrad.cat(parts), whole) and "random_normal_f8" in filling.fillers


# -- generators --------------------------------------------------------------------------------------------------------

def test_the_state_is_the_seed_and_the_offset() -> None:
    g = jitgrad.Generator().manual_seed(2**64 - 2)
    jitgrad.rand(3, generator=g)
    jitgrad.randint(5, (2, 2), generator=g)
    state = g.get_state()
    assert state.dtype is jitgrad.uint8 and state.numpy().tobytes() == (2**64 - 2).to_bytes(8, "little") + (7).to_bytes(8, "little")
    assert g.initial_seed() == g.clone_state().initial_seed() == jitgrad.Generator().manual_seed(-2).initial_seed() == 2**64 - 2
    last = (2**64 - 1).to_bytes(8, "little")
    g.set_state(jitgrad.tensor(list(bytes(8) + last), dtype=jitgrad.uint8))        # the offset goes on from 0
    wrapped = jitgrad.rand(3, generator=g)[1:]
    assert jitgrad.equal(wrapped, jitgrad.rand(2, generator=g.manual_seed(0)))
    with pytest.raises(RuntimeError, match="at most 64 bits"):
        g.manual_seed(2**64)


def test_integers_of_any_range() -> None:
    jitgrad.manual_seed(0)
    for low, high in ((0, 2), (-5, 2**31 - 5), (-5, 2**31), (-2**62, 2**62 - 1), (-2**63, 2**62), (-2**63, 2**63 - 1)):
        drawn = jitgrad.randint(low, high, (20_000,)).numpy()
        assert low <= drawn.min() and drawn.max() < high
        mean = np.mean(drawn / (high - low)) - (low + high - 1) / 2 / (high - low)
        assert abs(mean) < 5 / (12 * 20_000) ** 0.5
    for n in (0, 1, 2, 1000):
        assert sorted(jitgrad.randperm(n).tolist()) == [*range(n)]
    first = np.bincount([jitgrad.randperm(4)[0].item() for _ in range(4000)])
    np.testing.assert_allclose(first / 4000, 0.25, atol=0.04)


# -- in graphs ---------------------------------------------------------------------------------------------------------

def trained(p: float, steps: int, interpreted: bool) -> list[Any]:
    jitgrad.manual_seed(3)
    w = jitgrad.linspace(0.5, 1, 50, dtype=jitgrad.float64).requires_grad_()
    found = []
    for _ in range(steps):
        w.grad = None
        h = nn.functional.dropout(jitgrad.tanh(w * 2), p)
        loss = ((h + 0.1 * jitgrad.randn_like(h)) ** 2).sum()
        if interpreted:
            with jitgrad.interpret():
                loss.backward()
        else:
            loss.backward()
        found += [loss.item(), w.grad.numpy().copy()]
    return found


@pytest.mark.compiled
def test_dropout_is_part_of_the_kernel_and_compiles_once() -> None:
    got, want = trained(0.4, 8, False), trained(0.4, 8, True)
    for a, b in zip(got, want, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12)
    assert len({a for a in got if isinstance(a, float)}) == 8
    before = jitgrad.cache_info().compilations
    trained(0.2, 3, False)              # neither seed nor offset nor p is part of the key
    assert jitgrad.cache_info().compilations == before
    x = jitgrad.ones(100, requires_grad=True)
    y = nn.functional.dropout(x * 1, 0.25)
    text = str(jitgrad.explain(y.sum()))
    assert "random_uniform_f4" in text and y.grad_fn.name() == "MulBackward0"
    y.sum().backward()
    assert jitgrad.equal(x.grad, y.detach()) and set(x.grad.tolist()) == {0.0, (jitgrad.ones(1) / 0.75).item()}
    assert not nn.functional.dropout(x, 1.0).any() and nn.functional.dropout(x, 0.0) is x


@pytest.mark.compiled
def test_a_loop_that_draws_is_a_loop() -> None:
    def total(steps: int) -> tuple[float, Any]:
        jitgrad.manual_seed(2)
        w = jitgrad.linspace(0.5, 1, 20, dtype=jitgrad.float64).requires_grad_()
        h = w
        for _ in range(steps):
            h = nn.functional.dropout(jitgrad.tanh(h * w + 0.1), 0.1)
        loss = (h * h).sum()
        loss.backward()
        return loss.item(), w.grad.numpy()

    found = total(80)
    before = jitgrad.cache_info().compilations
    again = total(80), total(100)[0] != total(90)[0]
    assert jitgrad.cache_info().compilations == before and again[1]
    with jitgrad.interpret():
        want = total(80)
    for a, b in zip((*found, *again[0]), (*want, *want), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-10)


def test_values_do_not_depend_on_when_they_are_asked_for() -> None:
    def numbers(look: bool) -> list[Any]:
        jitgrad.manual_seed(1)
        x = jitgrad.ones(4, requires_grad=True)
        first = jitgrad.rand_like(x * 2)
        if look:
            first.tolist()
        second = jitgrad.randn_like(x * 3)
        third = jitgrad.rand(2)
        return [third.tolist(), second.tolist(), first.tolist()]

    assert numbers(True) == numbers(False)


# -- captured ----------------------------------------------------------------------------------------------------------

def of_all_kinds(x: Any, c: float) -> Any:
    eps = jitgrad.distributions.Normal(x, 1.5).rsample()
    noise = jitgrad.zeros(3, dtype=x.dtype).uniform_(-1, c) + jitgrad.rand(3, dtype=x.dtype) + jitgrad.normal(1.0, 2.0, (3,))
    return (nn.functional.dropout(x, 0.5) * eps + noise).sum() + jitgrad.randint(9, (2,)).sum() + jitgrad.randperm(3)[0]


@pytest.mark.compiled
@pytest.mark.parametrize("make", [
    lambda: jitgrad.ones(3, dtype=jitgrad.float64), lambda: jitgrad.ones(3, dtype=jitgrad.float64, requires_grad=True)])
def test_a_captured_function_draws_as_the_function_does(make: Callable[[], Any]) -> None:
    captured = jitgrad.compile(of_all_kinds, strict=True)
    for seed in (1, 2):
        want = drawn_by(lambda: [of_all_kinds(make(), 1.0 + k % 3) for k in range(12)], seed)
        after = jitgrad.get_rng_state()
        got = drawn_by(lambda: [captured(make(), 1.0 + k % 3) for k in range(12)], seed)
        assert jitgrad.equal(jitgrad.get_rng_state(), after)
        np.testing.assert_allclose([float(v.detach()) for v in got], [float(v.detach()) for v in want], rtol=1e-12)
    assert "replayed" in jitgrad.explain(captured)


@pytest.mark.compiled
def test_a_captured_gradient_draws_as_the_function_does() -> None:
    def loss(x: Any, generator: Any) -> Any:
        return (x * jitgrad.rand(3, dtype=jitgrad.float64, generator=generator)).sum()

    for of in (jitgrad.value_and_grad(loss, strict=True), lambda x, g: (loss(t := jitgrad.tensor(x, requires_grad=True), g).item(), t)):
        g = jitgrad.Generator().manual_seed(8)
        values = [float(of(np.ones(3), g)[0]) for _ in range(6)]
        assert len({*values}) == 6 and g.get_state()[8].item() == 18
        np.testing.assert_allclose(values[-1], jitgrad.rand(18, dtype=jitgrad.float64, generator=g.manual_seed(8))[-3:].sum().item())


# -- under vmap --------------------------------------------------------------------------------------------------------

def test_multinomial_under_vmap() -> None:
    torch = pytest.importorskip("torch")
    for T in (jitgrad, torch):
        weights = T.tensor([[0.0, 1.0, 0.0], [0.0, 0.0, 2.0]])
        drawn = T.func.vmap(lambda w, T=T: T.multinomial(w, 4, replacement=True), randomness="different")(weights)
        assert drawn.tolist() == [[1] * 4, [2] * 4]
        rows = T.func.vmap(lambda w, T=T: T.multinomial(w, 1), randomness="different")(T.stack([weights, weights.flip(0)]))
        assert rows.tolist() == [[[1], [2]], [[2], [1]]]
        many = T.func.vmap(lambda x, T=T: T.multinomial(T.ones(1000), 1), randomness="different")(T.zeros(8))
        assert len({*many.flatten().tolist()}) > 1
        with pytest.raises(RuntimeError, match="randomness"):
            T.func.vmap(lambda w, T=T: T.multinomial(w, 1))(weights)
        same = T.func.vmap(lambda x, T=T: T.multinomial(T.ones(1000), 1), randomness="same")(T.zeros(8))
        assert len({*same.flatten().tolist()}) == 1


def test_samples_of_distributions_under_vmap() -> None:
    found = jitgrad.func.vmap(lambda m: jitgrad.distributions.Normal(m, 1.0, validate_args=False).rsample(),
                              randomness="different")(jitgrad.zeros(6, 3))
    assert found.shape == (6, 3) and len({*found.flatten().tolist()}) == 18
