"""RMSprop, Adagrad, L-BFGS and learning rate schedules: PyTorch's steps to 1e-12 over 50 of them."""
from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest

import jitgrad

torch = pytest.importorskip("torch")

SETTINGS = ["RMSprop(p)", "RMSprop(p, lr=0.1, alpha=0.8, eps=1e-3, weight_decay=0.1, momentum=0.5, centered=True)",
            "RMSprop(p, momentum=0.9, maximize=True)", "Adagrad(p)",
            "Adagrad(p, lr=0.1, lr_decay=0.2, weight_decay=0.1, initial_accumulator_value=0.3, maximize=True)"]


def parameters(xp: Any) -> list[Any]:
    return [xp.tensor(v, dtype=xp.float64, requires_grad=True) for v in (0.5, [1.0, -2.0, 3.0], [[0.1, 0.2], [0.3, -0.4]])]


def loss_of(xp: Any, params: list[Any]) -> Any:
    return sum(((p - 0.3) ** 2 * (1 + p**2)).sum() for p in params) + (params[0] - params[1].sum()).cos()


def values(params: list[Any]) -> np.ndarray:
    return np.concatenate([p.detach().numpy().ravel() for p in params])


@pytest.mark.parametrize("setting", SETTINGS)
def test_trajectory(setting: str) -> None:
    found = []
    for xp in (jitgrad, torch):
        p = parameters(xp)
        optimizer = eval(f"xp.optim.{setting}", {"xp": xp, "p": p})
        for i in range(50):
            optimizer.zero_grad()
            loss_of(xp, p if i % 7 else p[:2]).backward()
            if i == 25:         # a copy goes on in the same way
                again = type(optimizer)(p)
                again.load_state_dict(copy.deepcopy(optimizer.state_dict()))
                optimizer = again
            optimizer.step()
        state = optimizer.state_dict()
        found.append((values(p), repr(optimizer), state["param_groups"], {k: list(s) for k, s in state["state"].items()},
                      [v.numpy() for s in state["state"].values() for v in s.values()]))
    (ours, *text, state), (theirs, *text2, state2) = found
    np.testing.assert_allclose(ours, theirs, rtol=1e-12, atol=1e-12)
    assert repr(text) == repr(text2)
    for a, b in zip(state, state2, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("setting", ["LBFGS(p, lr=0.1)", "LBFGS(p, max_iter=7, history_size=3, line_search_fn='strong_wolfe')",
                                     "LBFGS(p, lr=3, max_iter=4, line_search_fn='strong_wolfe')",
                                     "LBFGS(p, lr=30, max_iter=5, max_eval=4, line_search_fn='strong_wolfe')"])
def test_lbfgs(setting: str) -> None:
    found = []
    for xp in (jitgrad, torch):
        p = parameters(xp)
        optimizer = eval(f"xp.optim.{setting}", {"xp": xp, "p": p})
        losses = []

        def closure(xp: Any = xp, p: Any = p, optimizer: Any = optimizer, losses: list[float] = losses) -> Any:
            optimizer.zero_grad()
            loss = loss_of(xp, p)
            loss.backward()
            losses.append(loss.item())
            return loss

        returned = [optimizer.step(closure).item() for _ in range(5)]
        state = optimizer.state_dict()["state"][0]
        found.append((values(p), losses, returned, state["func_evals"], state["n_iter"], repr(optimizer)))
    for a, b in zip(*found, strict=True):
        if isinstance(a, str):
            assert a == b
        else:
            np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12)


def test_lbfgs_refuses_groups() -> None:
    with pytest.raises(ValueError, match="per-parameter options"):
        jitgrad.optim.LBFGS([{"params": [p]} for p in parameters(jitgrad)])


SCHEDULES = ["LambdaLR(o, lambda t: 0.9**t)", "MultiplicativeLR(o, lambda t: 0.95)", "StepLR(o, 3, 0.5)", "MultiStepLR(o, [2, 5, 5])",
             "ConstantLR(o, 0.25, 4)", "LinearLR(o, 0.2, 0.8, 6)", "ExponentialLR(o, 0.9)", "PolynomialLR(o, 8, 2.0)",
             "CosineAnnealingLR(o, 5, 0.01)", "CosineAnnealingWarmRestarts(o, 3, 2, 0.01)", "OneCycleLR(o, 0.3, 60)",
             "OneCycleLR(o, 0.3, 60, anneal_strategy='linear', three_phase=True)",
             "SequentialLR(o, [S.LinearLR(o, 0.1, 1.0, 4), S.ExponentialLR(o, 0.9)], [4])"]


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_schedule(schedule: str) -> None:
    found = []
    for xp in (jitgrad, torch):
        p = parameters(xp)
        schedulers = xp.optim.lr_scheduler
        o = xp.optim.SGD([{"params": p[:1]}, {"params": p[1:], "lr": 0.02}], lr=0.01, momentum=0.9)
        scheduler = eval(f"S.{schedule}", {"S": schedulers, "o": o})
        rates = []
        for _ in range(50):
            o.zero_grad()
            loss_of(xp, p).backward()
            o.step()
            scheduler.step()
            rates.append([*scheduler.get_last_lr(), o.param_groups[0]["momentum"]])
        found.append((rates, values(p)))
    for a, b in zip(*found, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("given", [{}, {"mode": "max", "threshold_mode": "abs", "cooldown": 2, "min_lr": 0.001, "patience": 1}])
def test_plateau(given: dict[str, Any]) -> None:
    metrics = np.random.default_rng(0).normal(size=60).cumsum()
    found = []
    for xp in (jitgrad, torch):
        o = xp.optim.SGD(parameters(xp), lr=0.1)
        scheduler = xp.optim.lr_scheduler.ReduceLROnPlateau(o, **{"patience": 3, **given})
        rates = []
        for m in metrics:
            scheduler.step(xp.tensor(m))
            rates.append(o.param_groups[0]["lr"])
        found.append(rates)
    assert found[0] == found[1]


def test_schedules_go_on_from_their_state() -> None:
    def schedule() -> Any:
        o = jitgrad.optim.SGD(parameters(jitgrad), lr=0.1)
        return o, jitgrad.optim.lr_scheduler.CosineAnnealingLR(o, 7)

    o, scheduler = schedule()
    o2, scheduler2 = schedule()
    for _ in range(4):
        o.step()
        scheduler.step()
    o2.load_state_dict(o.state_dict())
    scheduler2.load_state_dict(scheduler.state_dict())
    scheduler.step()
    scheduler2.step()
    assert scheduler.get_last_lr() == scheduler2.get_last_lr()
