"""Programs of tensors on a CUDA device, simulated: gradients, writes in place, captured functions, what is copied to and fro."""
from __future__ import annotations

import re
import warnings

import numpy as np
import pytest
from cuda_device import copies, vector
from cuda_programs import PROGRAMS
from document_cells import CELLS
from test_documents import run_cell

import jitgrad
import jitgrad as torch

pytestmark = pytest.mark.usefixtures("cuda_device")


# -- gradients -------------------------------------------------------------------------------------------------------

def test_backward_stays_on_the_device() -> None:
    x, w = vector(), vector()
    for _ in range(4):
        with copies():
            (torch.tanh(x) * w + x[1:].sum()).sum().backward()
    assert x.grad.is_cuda
    a, b = [torch.arange(1.0, 5, requires_grad=True) for _ in range(2)]
    (torch.tanh(a) * b + a[1:].sum()).sum().backward()
    np.testing.assert_allclose(x.grad.cpu(), 4 * a.grad, rtol=1e-6)
    np.testing.assert_allclose(w.grad.cpu(), 4 * b.grad, rtol=1e-6)


class Double(torch.autograd.Function):
    """Twice its argument, by its own derivative."""

    @staticmethod
    def forward(ctx, x):                                                    # noqa: D102
        ctx.save_for_backward(x)
        return 2 * x

    @staticmethod
    def backward(ctx, g):                                                   # noqa: D102
        (x,) = ctx.saved_tensors
        assert x.is_cuda and g.is_cuda
        return 2 * g


def test_hooks_functions_and_higher_order_stay_on_the_device() -> None:
    def gradients(device: str) -> list[list[float]]:
        x = torch.arange(1.0, 4, device=device, requires_grad=True)
        seen = []
        y = x * x
        y.register_hook(lambda g: seen.append(g) or 3 * g)
        y.retain_grad()
        z = Double.apply(y) if device == "cuda" else 2 * y
        (z + y).sum().backward()
        (g,) = torch.autograd.grad((x**3).sum(), x, create_graph=True)
        g.sum().backward(retain_graph=True)
        h = torch.autograd.grad(g, x, torch.ones(3, device=device))[0]
        assert all([t.device.type == device for t in (x.grad, y.grad, g, h, *seen)])
        return [t.tolist() for t in (x.grad, y.grad, g, h, *seen)]

    assert gradients("cuda") == gradients("cpu")
    x = vector()
    for _ in range(3):
        y = x * x
        y.register_hook(lambda g: 2 * g)
        with copies():
            (Double.apply(y) + y).sum().backward()


def test_tensors_move_with_their_history() -> None:
    w = torch.arange(3.0, requires_grad=True)
    there = (w * 2).cuda()
    assert there.grad_fn.name() == "ToCopyBackward0" and there.is_cuda
    back = (there * there).to("cpu", torch.float64)
    (back.float() * w).sum().backward()
    assert w.grad.is_cpu and w.grad.tolist() == [0, 12, 48]
    x = torch.ones(2, requires_grad=True).cuda()
    x.retain_grad()
    x.sum().backward()
    assert not x.is_leaf and x.grad.is_cuda


def test_gradients_accumulate_and_are_cleared() -> None:
    x = vector(3)
    for _ in range(3):
        (x * x).sum().backward()
    assert x.grad.tolist() == [6, 12, 18]
    x.grad.zero_()
    assert x.grad.tolist() == [0, 0, 0]
    x.grad = None
    x.sum().backward(gradient=torch.tensor(2.0, device="cuda"))
    assert x.grad.tolist() == [2, 2, 2]


def test_writes_in_place() -> None:
    x = torch.zeros(4, device="cuda")
    view = x[2:]
    x[1] = 3
    x[2:] += 1
    x.mul_(2)
    x[torch.tensor([0], device="cuda")] = 5.0
    x.add_(torch.ones(4, device="cuda"))
    assert x.tolist() == [6, 7, 3, 3] and view.tolist() == [3, 3] and view.is_cuda
    y = vector(3)
    with torch.no_grad():
        y -= 0.5 * y
    assert y.is_cuda and y.is_leaf and y.tolist() == [0.5, 1, 1.5]
    y.data.zero_()
    assert y.tolist() == [0, 0, 0]
    z = torch.ones(2, device="cuda")
    z.copy_(torch.arange(2.0))
    assert z.is_cuda and z.tolist() == [0, 1]


def test_looks_cost_one_copy() -> None:
    x = torch.ones(3, device="cuda")
    for k in range(5):
        x = x * 1.5
        with copies(out=1):
            assert x.sum().item() == 3 * 1.5 ** (k + 1)
    if (x > 0).all():
        assert float(x[0]) == 1.5**5 and int(x.to(torch.int64)[0]) == 7


def test_a_network_trains_without_copies() -> None:
    for make in (lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9), lambda p: torch.optim.Adam(p, lr=0.01),
                 lambda p: torch.optim.RMSprop(p, lr=0.01)):
        losses: dict[str, list[float]] = {}
        for device in ("cpu", "cuda"):
            torch.manual_seed(0)
            model = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Tanh(), torch.nn.LayerNorm(4), torch.nn.Linear(4, 2)).to(device)
            x, y = torch.randn(6, 3).to(device), torch.tensor([0, 1, 0, 1, 1, 0]).to(device)
            optimizer = make(model.parameters())
            found = losses[device] = []
            for _ in range(5):
                optimizer.zero_grad()
                loss = torch.nn.functional.cross_entropy(model(x), y)
                loss.backward()
                optimizer.step()
                found.append(loss.item())
            assert all([p.device.type == p.grad.device.type == device for p in model.parameters()])
            state = model.state_dict()
            assert all([v.device.type == device for v in state.values()])
        with copies():                  # the last was on the device
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(model(x), y).backward()
            optimizer.step()
        np.testing.assert_allclose(losses["cuda"], losses["cpu"], rtol=1e-4)
    assert all([p.is_cpu for p in model.cpu().parameters()])


def test_captured_functions() -> None:
    f = torch.compile(lambda x: (torch.sin(x) * x).sum())
    for device in ("cuda", "cpu", "cuda"):
        x = torch.arange(4.0, device=device, requires_grad=True)
        for _ in range(3):
            x.grad = None
            loss = f(x)
            loss.backward()
            assert loss.device.type == x.grad.device.type == device
        np.testing.assert_allclose(x.grad.cpu(), np.sin(np.arange(4)) + np.arange(4) * np.cos(np.arange(4)), rtol=1e-5)


def test_interpreted_gives_the_same() -> None:
    x = vector()
    (torch.exp(-x) * x).sum().backward()
    with jitgrad.interpret():
        y = vector()
        (torch.exp(-y) * y).sum().backward()
        assert y.grad.is_cuda
    np.testing.assert_allclose(x.grad.cpu(), y.grad.cpu(), rtol=1e-6)


def test_documents_print_the_same() -> None:
    for name, source in CELLS.items():
        want = run_cell(source, jitgrad, "jitgrad")
        torch.set_default_device("cuda")
        try:
            got = run_cell(source, jitgrad, "jitgrad")
        finally:
            torch.set_default_device(None)
        assert re.sub(r",\s*device='cuda:0'", "", got).split() == want.split(), name


def test_programs_of_two_devices_are_two() -> None:
    from jitgrad.requests import schedule_cache
    schedule_cache.clear()
    for device in ("cuda", "cpu", "cuda", "cpu"):
        x = torch.ones(3, device=device, requires_grad=True)
        (x * 7).sum().backward()
        assert x.grad.device.type == device
    assert len(schedule_cache.known) == 2
    assert "def rows0(" in str(jitgrad.explain((torch.ones(3, device="cuda", requires_grad=True) * 7).sum()))


def arrays_of(value: object) -> list[np.ndarray]:
    """All numbers in a result."""
    if isinstance(value, torch.Tensor):
        return [np.asarray(value.detach().cpu(), float)]
    if isinstance(value, (list, tuple)):
        return [a for v in value for a in arrays_of(v)]
    return [np.asarray(value, float)] if isinstance(value, (int, float, np.ndarray)) else []


@pytest.mark.full
@pytest.mark.parametrize("name", PROGRAMS)
def test_programs_give_what_they_give_on_the_cpu(name: str) -> None:
    compare_with_the_cpu(name)


def compare_with_the_cpu(name: str) -> None:
    """Also of a GPU, if there is one (test_gpu.py)."""
    warnings.simplefilter("ignore", UserWarning)        # anomaly mode tells that it is on
    want, found = [arrays_of(PROGRAMS[name](device)) for device in ("cpu", "cuda")]
    for a, b in zip(want, found, strict=True):
        np.testing.assert_allclose(b, a, rtol=1e-4, atol=1e-5)
