"""Training loops that go on as they have begun: two programs an iteration, and never another value than PyTorch's."""
from __future__ import annotations

import contextlib
import copy
import gc
import threading
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import jitgrad
from jitgrad.compiler.runtime import driver
from jitgrad.optim import fused

SETTINGS = [
    "SGD(params, lr=0.05)", "SGD(params, lr=0.05, weight_decay=0.2)", "SGD(params, lr=0.02, momentum=0.9)",
    "SGD(params, lr=0.02, momentum=0.9, nesterov=True, weight_decay=0.1)", "SGD(params, lr=0.02, momentum=0.5, dampening=0.3)",
    "SGD(params, lr=0.001, maximize=True)", "Adam(params, lr=0.05)", "Adam(params, lr=0.05, amsgrad=True)",
    "Adam(params, lr=0.01, maximize=True, weight_decay=0.1)", "AdamW(params, lr=0.05)"]
FEW = ["SGD(params, lr=0.05)", "SGD(params, lr=0.02, momentum=0.9)", "Adam(params, lr=0.05)"]
PLAIN_STEPS = fused.WARM_UP + 1


class Loop:
    """A small regression in some library: parameters of three shapes, one of which appears twice in the loss."""

    def __init__(self, xp: Any, setting: str, compiled: bool = False, groups: int = 1, dtype: str = "float64") -> None:
        self.xp = xp
        rng = np.random.default_rng(0)
        kind = getattr(xp, dtype)
        self.params = [xp.tensor(rng.normal(size=shape), dtype=kind, requires_grad=True) for shape in ((), (3,), (4, 3))]
        self.x = xp.tensor(rng.normal(size=(5, 4)), dtype=kind)
        self.y = xp.tensor(rng.normal(size=(5,)), dtype=kind)
        parts: Any = self.params
        if groups > 1:
            parts = [{"params": self.params[:1], "weight_decay": 0.05}, {"params": self.params[1:]}]
        self.optimizer = eval(f"xp.optim.{setting}", {"xp": xp, "params": parts})
        self.loss: Callable[..., Any] = _loss
        if compiled and xp is jitgrad:
            self.loss = jitgrad.compile(_loss)
        self.taken = 0
        self.seen: list[Any] = []

    def backward(self) -> Any:
        loss = self.loss(self.xp, self.params, self.x, self.y)
        loss.backward()
        return loss

    def step(self) -> None:
        before = steady_of(self.optimizer)
        self.optimizer.step()
        self.taken += bool(before) and before == steady_of(self.optimizer)

    def iterate(self, count: int) -> None:
        for _ in range(count):
            self.optimizer.zero_grad()
            self.backward()
            self.step()

    def result(self) -> list[Any]:
        """Everything that there is to see at the end."""
        state = self.optimizer.state_dict()["state"]
        return [[p.detach().tolist() for p in self.params], [p.grad.tolist() if p.grad is not None else None for p in self.params],
                {i: {name: np.asarray(v).tolist() if not hasattr(v, "tolist") else v.tolist() for name, v in s.items()
                     if v is not None} for i, s in state.items()}, self.seen]


def _loss(xp: Any, params: Any, x: Any, y: Any) -> Any:
    a, b, w = params
    return ((xp.tanh(x @ w) @ b + a * a - y) ** 2).mean()


def steady_of(optimizer: Any) -> list[Any]:
    """The steady groups, if all are."""
    found = [*optimizer._fused.steady.values()] if hasattr(optimizer, "_fused") else []
    return found if found and len(found) == len(optimizer.param_groups) else []


def flat(x: Any) -> Iterator[float]:
    """All numbers in a nested structure."""
    if isinstance(x, dict):
        x = [v for _, v in sorted(x.items())]
    if isinstance(x, list | tuple):
        for v in x:
            yield from flat(v)
    else:
        yield float("nan") if x is None else float(x)


def agree(a: Any, b: Any, tolerance: float = 1e-10) -> None:
    """Assert that two results are equal but for rounding."""
    np.testing.assert_allclose(list(flat(a)), list(flat(b)), rtol=tolerance, atol=tolerance)


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few iterations are enough."""
    monkeypatch.setattr(fused, "SHORT_WARM_UP", fused.WARM_UP)


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The number of runs of programs made from now on, in its only element."""
    count = [0]
    bind = driver.bind

    def counted(*args: Any) -> Callable[..., None]:
        run = bind(*args)

        def call(*objects: Any) -> None:
            count[0] += 1
            run(*objects)

        return call

    monkeypatch.setattr(driver, "bind", counted)
    jitgrad.clear_cache()
    return count


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("setting", SETTINGS)
def test_as_pytorch(setting, groups, compiled):
    torch = pytest.importorskip("torch")
    ours, theirs = Loop(jitgrad, setting, compiled, groups), Loop(torch, setting, groups=groups)
    ours.iterate(40)
    theirs.iterate(40)
    agree(ours.result(), theirs.result())
    assert ours.taken >= 40 - PLAIN_STEPS - 3


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("setting", FEW)
def test_a_program_for_backward_and_one_for_each_group(setting, groups, compiled, calls):
    loop = Loop(jitgrad, setting, compiled, groups)
    loop.iterate(PLAIN_STEPS + 4)
    info = jitgrad.cache_info()
    assert info.compilations + info.disk_hits <= 3 + groups - 1
    calls[0] = 0
    loop.iterate(30)
    assert calls[0] == 30 * (1 + groups)
    after = jitgrad.cache_info()
    assert (after.compilations, after.disk_hits) == (info.compilations, info.disk_hits)


def test_a_short_loop_compiles_nothing_more(calls):
    loop = Loop(jitgrad, "SGD(params, lr=0.1)")
    loop.iterate(fused.WARM_UP)
    info = jitgrad.cache_info()
    assert info.compilations + info.disk_hits == 1


def test_other_lengths_and_numbers_find_the_program(calls):
    for n in (5, 7, 11):
        loop = Loop(jitgrad, "Adam(params, lr=0.1)" if n < 11 else "Adam(params, lr=0.2, eps=1e-4)")
        loop.x, loop.y = jitgrad.randn(n, 4, dtype=jitgrad.float64), jitgrad.randn(n, dtype=jitgrad.float64)
        loop.iterate(PLAIN_STEPS + 10)
        assert loop.taken > 3
    info = jitgrad.cache_info()
    assert info.compilations + info.disk_hits <= 3


# -- what happens in between -----------------------------------------------------------------------------------------

Event = Callable[[Loop, int], Any]


def _each(before: Event | None = None, between: Event | None = None, after: Event | None = None) -> Event:
    """An iteration with something before backward, between backward and step, and after the step."""
    def iteration(loop: Loop, i: int) -> None:
        loop.optimizer.zero_grad()
        if before is not None:
            before(loop, i)
        loop.backward()
        if between is not None:
            between(loop, i)
        loop.step()
        if after is not None:
            after(loop, i)
    return iteration


def _at(*numbers: int) -> Callable[[Event], Event]:
    """An event in some iterations only."""
    return lambda event: lambda loop, i: event(loop, i) if i in numbers else None


late = _at(14, 15, 20)


def _clip(loop: Loop, i: int) -> None:
    for p in loop.params:
        p.grad.mul_(0.5)


def _replace(loop: Loop, i: int) -> None:
    for p in loop.params:
        p.grad = p.grad * 0.5


def _lr(loop: Loop, i: int) -> None:
    for group in loop.optimizer.param_groups:
        group["lr"] *= 0.9


def _write(loop: Loop, i: int) -> None:
    with loop.xp.no_grad():
        loop.params[1].mul_(0.9)


def _data(loop: Loop, i: int) -> None:
    loop.params[1].data = loop.params[1].data * 0.9


def _add_group(loop: Loop, i: int) -> None:
    p = loop.xp.ones(2, dtype=loop.xp.float64, requires_grad=True)
    loop.params_more = [p]      # type: ignore[attr-defined]
    loop.optimizer.add_param_group({"params": [p]})


def _reload(loop: Loop, i: int) -> None:
    loop.optimizer.load_state_dict(copy.deepcopy(loop.optimizer.state_dict()))


def _look(loop: Loop, i: int) -> None:
    loop.seen.append([{n: v.tolist() for n, v in s.items() if v is not None}
                      for s in loop.optimizer.state_dict()["state"].values()])


def _moment(loop: Loop, i: int) -> None:
    for values in loop.optimizer.state.values():
        for name, v in values.items():
            if name != "step" and v is not None:
                v.mul_(0.5)


def _copied(loop: Loop, i: int) -> None:
    loop.params, loop.optimizer = copy.deepcopy((loop.params, loop.optimizer))


def _accumulate(loop: Loop, i: int) -> None:
    loop.optimizer.zero_grad()
    loop.backward()
    loop.backward()
    loop.step()


def _zeros(loop: Loop, i: int) -> None:
    loop.optimizer.zero_grad(set_to_none=False)
    loop.backward()
    loop.step()


def _two_losses(loop: Loop, i: int) -> None:
    loop.optimizer.zero_grad()
    loop.backward()
    (sum([(p * p).sum() for p in loop.params]) * 0.1).backward()
    loop.step()


def _two_steps(loop: Loop, i: int) -> None:
    loop.optimizer.zero_grad()
    loop.backward()
    loop.step()
    if i % 3 == 0:
        loop.step()


def _no_step(loop: Loop, i: int) -> None:
    loop.optimizer.zero_grad()
    loop.backward()
    if i % 2 or i < 14:
        loop.step()


def _retain(loop: Loop, i: int) -> None:
    loop.optimizer.zero_grad()
    loss = loop.loss(loop.xp, loop.params, loop.x, loop.y)
    loss.backward(retain_graph=i > 14)
    if i > 14:
        loss.backward()
    loop.step()


def _create_graph(loop: Loop, i: int) -> None:
    loop.optimizer.zero_grad()
    loss = loop.loss(loop.xp, loop.params, loop.x, loop.y)
    if i == 15:
        grads = loop.xp.autograd.grad(loss, loop.params, create_graph=True)
        sum([(g * g).sum() for g in grads]).backward()
    else:
        loss.backward()
    loop.step()


def _closure(loop: Loop, i: int) -> None:
    def closure() -> Any:
        loop.optimizer.zero_grad()
        return loop.backward()
    loop.seen.append(loop.optimizer.step(closure).item())


def _frozen(loop: Loop, i: int) -> None:
    loop.params[0].requires_grad_(i not in (14, 15))


def _hook(loop: Loop, i: int) -> None:
    if i == 14:
        loop.params[1].register_hook(lambda g: g * 0.5)


def _post_hook(loop: Loop, i: int) -> None:
    if i == 14:
        loop.params[1].register_post_accumulate_grad_hook(_halve)


def _halve(p: Any) -> None:
    p.grad.mul_(0.5)


def _printed(loop: Loop, i: int) -> None:
    loop.optimizer.zero_grad()
    loss = loop.loss(loop.xp, loop.params, loop.x, loop.y)
    if i % 4 == 0:
        loop.seen.append(loss.item())
    loss.backward()
    loop.seen.append(loss.item())
    loop.step()


def _raises(loop: Loop, i: int) -> None:
    loop.optimizer.zero_grad()
    with contextlib.suppress(ZeroDivisionError):
        loop.backward()
        if i % 5 == 0:
            raise ZeroDivisionError
        loop.step()


def _other_grad(loop: Loop, i: int) -> None:
    loop.params[1].grad = loop.params[1].grad.detach().clone()


def _swapped_grads(loop: Loop, i: int) -> None:
    loop.params[2].grad = None


def _betas(loop: Loop, i: int) -> None:
    for group in loop.optimizer.param_groups:
        if "betas" in group:
            group["betas"] = (0.8, 0.9)
        else:
            group["momentum"] = 0.5


def _tensor_lr(loop: Loop, i: int) -> None:
    loop.optimizer.param_groups[0]["lr"] = loop.xp.tensor(0.01, dtype=loop.xp.float64)


def _equal_tensor_lr(loop: Loop, i: int) -> None:
    group = loop.optimizer.param_groups[0]
    if i == 14:
        group["lr"] = loop.xp.tensor(group["lr"], dtype=loop.xp.float64)


def _written_lr(loop: Loop, i: int) -> None:
    if i == 15:
        loop.optimizer.param_groups[0]["lr"].mul_(0.5)


def _data_batches(loop: Loop, i: int) -> None:
    rng = np.random.default_rng(i)
    n = 3 if i % 6 == 5 else 5
    loop.x = loop.xp.tensor(rng.normal(size=(n, 4)))
    loop.y = loop.xp.tensor(rng.normal(size=(n,)))


EVENTS: dict[str, Event] = {
    "clip": _each(between=_clip), "clip at times": _each(between=late(_clip)), "replaced gradient": _each(between=late(_replace)),
    "lr in between": _each(between=late(_lr)), "lr always in between": _each(between=_lr), "schedule": _each(after=_lr),
    "lr before": _each(before=late(_lr)), "betas": _each(between=late(_betas)), "tensor lr": _each(between=late(_tensor_lr)),
    "written lr": _each(before=_equal_tensor_lr, between=_written_lr),
    "write": _each(between=late(_write)), "write before": _each(before=late(_write)), "data": _each(between=late(_data)),
    "data after": _each(after=late(_data)), "group added": _each(between=_at(15)(_add_group)), "reload": _each(between=late(_reload)),
    "reload after": _each(after=late(_reload)), "look": _each(between=late(_look)), "look always": _each(after=_look),
    "moment": _each(between=late(_moment)), "moment before": _each(before=late(_moment)), "copied": _each(between=late(_copied)),
    "copied after": _each(after=late(_copied)), "accumulate": _accumulate, "zeros": _zeros, "two losses": _two_losses,
    "two steps": _two_steps, "no step": _no_step, "retain": _retain, "create_graph": _create_graph, "closure": _closure,
    "frozen": _each(before=_frozen), "hook": _each(before=_hook), "post hook": _each(before=_post_hook), "printed": _printed,
    "raises": _raises, "copied gradient": _each(between=late(_other_grad)), "gradient gone": _each(between=late(_swapped_grads)),
    "batches": _each(before=_data_batches), "accumulate at times": lambda loop, i: (_accumulate if i in (14, 15) else _each())(loop, i),
    "zeros at times": lambda loop, i: (_zeros if i in (14, 15) else _each())(loop, i)}


@pytest.mark.full
@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("setting", FEW)
@pytest.mark.parametrize("event", EVENTS)
def test_whatever_happens_in_between(event, setting, compiled):
    torch = pytest.importorskip("torch")
    found = []
    for xp in (jitgrad, torch):
        loop = Loop(xp, setting, compiled)
        for i in range(30):
            EVENTS[event](loop, i)
        found.append((loop.result(), loop.taken))
    agree(found[0][0], found[1][0])
    if event not in ("copied after", "copied", "closure"):
        assert found[0][1] >= 3, found[0][1]


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("setting", FEW)
def test_nothing_is_kept(setting, compiled):
    """Neither an optimizer nor parameters nor gradients by the programs, and no gradients by an optimizer."""
    loop = Loop(jitgrad, setting, compiled)
    gc.collect()
    gc.disable()
    try:
        loop.iterate(20)
        assert loop.taken
        gradient = weakref.ref(loop.params[2].grad._node.value)
        loop.optimizer.zero_grad()
        assert gradient() is None
        loss = loop.backward()
        kept = [weakref.ref(loop.optimizer), *map(weakref.ref, steady_of(loop.optimizer))]
        assert len(kept) == 2
        loop.optimizer = None
        assert [r() for r in kept] == [None] * 2
        parameter = weakref.ref(loop.params[2])
        del loop.params[2], loss
        assert parameter() is None
    finally:
        gc.enable()


def _two_optimizers(xp: Any, same_loss: bool) -> list[Any]:
    """Two optimizers over one loss; or in turn, as an adversary: each has its own, and the second's gives the first gradients."""
    rng = np.random.default_rng(1)
    a, b = [xp.tensor(rng.normal(size=3), requires_grad=True) for _ in range(2)]
    first, second = xp.optim.SGD([a], lr=0.05), xp.optim.Adam([b], lr=0.05)
    for _ in range(30):
        if same_loss:
            first.zero_grad()
            second.zero_grad()
            ((a * b - 1) ** 2).sum().backward()
            first.step()
            second.step()
        else:
            first.zero_grad()
            ((a * b.detach() - 1) ** 2).sum().backward()
            first.step()
            second.zero_grad()
            (-((a * b - 1) ** 2).sum() + (b ** 4).sum()).backward()
            second.step()
    return [a.tolist(), b.tolist(), a.grad.tolist(), b.grad.tolist()]


@pytest.mark.parametrize("same_loss", [False, True])
def test_two_optimizers(same_loss):
    torch = pytest.importorskip("torch")
    agree(_two_optimizers(jitgrad, same_loss), _two_optimizers(torch, same_loss))


def test_many_threads_train_models_of_one_structure():
    alone = Loop(jitgrad, "Adam(params, lr=0.05)")
    alone.iterate(60)
    loops = [Loop(jitgrad, "Adam(params, lr=0.05)") for _ in range(4)]
    threads = [threading.Thread(target=loop.iterate, args=(60,)) for loop in loops]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for loop in loops:
        agree(loop.result(), alone.result())


def test_a_step_inside_of_interpret_is_not_a_compiled_one(calls):
    loop = Loop(jitgrad, "SGD(params, lr=0.05)")
    loop.iterate(20)
    loop.optimizer.zero_grad()
    loop.backward()
    calls[0] = 0
    with jitgrad.interpret():
        loop.step()
    assert calls[0] == 0


def test_a_program_that_raises_leaves_nothing():
    index = jitgrad.tensor([0, 1])
    p = jitgrad.tensor([1.0, 2.0, 3.0], requires_grad=True)
    optimizer = jitgrad.optim.SGD([p], lr=0.1, momentum=0.9)
    for _ in range(20):
        optimizer.zero_grad()
        (p[index] ** 2).sum().backward()
        optimizer.step()
    before = p.tolist()
    optimizer.zero_grad()
    with pytest.raises(IndexError):
        (p[jitgrad.tensor([0, 9])] ** 2).sum().backward()
    optimizer.step()
    assert p.tolist() == before


def test_many_threads_train_one_model():
    """Which gradients a step finds is a matter of luck, and so is whether another's step comes between forward and backward;
    nothing else goes wrong."""
    loop = Loop(jitgrad, "SGD(params, lr=1e-3, momentum=0.5)")
    loop.iterate(20)
    errors: list[BaseException] = []

    def work() -> None:
        try:
            for i in range(100):
                loop.optimizer.zero_grad()
                with contextlib.suppress(RuntimeError):     # modified by an inplace operation
                    loop.backward()
                loop.optimizer.step()
                if i % 7 == 0:
                    loop.optimizer.param_groups[0]["lr"] *= 0.999
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors and np.isfinite(loop.backward().item())
