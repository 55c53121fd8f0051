"""Parameters that a program updates by itself, in the ways PyTorch code does: without grad mode, through `.data`, through
detach(): values, versions and errors are PyTorch's."""
from __future__ import annotations

from typing import Any

import pytest

import jitgrad


def no_grad(torch, w, g):
    with torch.no_grad():
        w -= 0.5 * g


def no_grad_method(torch, w, g):
    with torch.no_grad():
        w.sub_(0.5 * g).mul_(0.9)


def data(torch, w, g):
    w.data -= 0.5 * g


def data_twice(torch, w, g):
    d = w.data
    d.add_(g, alpha=-0.5)
    d *= 0.9
    w.data.mul_(1.1)


def detached(torch, w, g):
    w.detach().sub_(0.5 * g)


def part(torch, w, g):
    w.data[1:] -= 0.5 * g[1:]
    w.data[0] = 0.25


def zeroed(torch, w, g):
    w.data.zero_()
    w.data += g


def other_dtype(torch, w, g):
    w.data -= (g * 2).to(torch.float32)
    with torch.no_grad():
        w.mul_(2)


UPDATES = {f.__name__: f for f in (no_grad, no_grad_method, data, data_twice, detached, part, zeroed, other_dtype)}


def loop(torch, update, zero):
    """A loop with an update: all that a program can see of it."""
    w = torch.tensor([0.5, -1.0, 2.0], dtype=torch.float64, requires_grad=True)
    b = torch.tensor(0.3, dtype=torch.float64, requires_grad=True)
    x = torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64)
    seen = []
    for _ in range(6):
        loss = ((w * x + b).tanh() ** 2).sum()
        loss.backward()
        for p in (w, b):
            if p.ndim or update is not part:
                update(torch, p, p.grad)
            if zero == "zero_":
                p.grad.zero_()
            elif zero == "None":
                p.grad = None
        seen.append((loss.item(), w.tolist(), b.tolist(), w._version, b._version, w.requires_grad, w.is_leaf,
                     None if w.grad is None else (w.grad.tolist(), w.grad._version)))
    return seen


@pytest.mark.parametrize("zero", ["zero_", "None", "nothing"])
@pytest.mark.parametrize("name", UPDATES)
def test_loops(name, zero):
    torch = pytest.importorskip("torch")
    for a, b in zip(loop(jitgrad, UPDATES[name], zero), loop(torch, UPDATES[name], zero), strict=True):
        assert all(
            pytest.approx(p, rel=1e-6, abs=1e-9) == q for p, q in zip(a[:3], b[:3], strict=True))
        assert a[3:7] == b[3:7]
        assert (a[7] is None) == (b[7] is None)
        if a[7] is not None:
            assert pytest.approx(a[7][0], rel=1e-6, abs=1e-9) == b[7][0] and a[7][1] == b[7][1]


@pytest.mark.parametrize("name", UPDATES)
def test_a_write_after_recording(name):
    """A saved value that was overwritten is an error, unless it was through .data."""
    x = jitgrad.tensor([1.0, 2.0, 3.0], requires_grad=True)
    g = jitgrad.tensor([0.1, 0.2, 0.3])
    loss = (x * x).sum()
    UPDATES[name](jitgrad, x, g)
    if "data" in name or name in ("part", "zeroed"):
        loss.backward()
        assert x.grad.tolist() == [2.0, 4.0, 6.0]       # of the values at the time of recording: see README
    elif name == "other_dtype" or "no_grad" in name or name == "detached":
        with pytest.raises(RuntimeError, match="modified by an inplace operation"):
            loss.backward()


def test_a_leaf_is_not_written_in_grad_mode():
    x = jitgrad.tensor([1.0, 2.0], requires_grad=True)
    for write in (lambda: x.sub_(1.0), lambda: x.zero_(), lambda: x[1:].mul_(2.0), lambda: x.__isub__(1)):
        with pytest.raises(RuntimeError, match="leaf Variable that requires grad"):
            write()
    assert x.tolist() == [1.0, 2.0] and x._version == 0


def test_views_see_an_update():
    x = jitgrad.tensor([1.0, 2.0, 3.0], requires_grad=True)
    with jitgrad.no_grad():
        part = x[1:]
    whole = x.detach()
    x.data -= 1.0
    assert part.tolist() == [1.0, 2.0] and whole.tolist() == [0.0, 1.0, 2.0] and x.tolist() == [0.0, 1.0, 2.0]
    whole.add_(2.0)
    assert part.tolist() == [3.0, 4.0] and x.tolist() == [2.0, 3.0, 4.0]
    assert x.requires_grad and not whole.requires_grad and x.is_leaf
    (x * x).sum().backward()
    assert x.grad.tolist() == [4.0, 6.0, 8.0]


def test_a_result_is_not_broadcast_over_what_is_written():
    x = jitgrad.tensor([1.0, 2.0])
    with pytest.raises(RuntimeError, match="doesn't match the broadcast shape"):
        x.add_(jitgrad.ones(3, 2))
    n = jitgrad.tensor([1, 2])
    with pytest.raises(RuntimeError, match="result type"):
        n.add_(0.5)
    n.add_(jitgrad.tensor([1, 1]))
    assert n.tolist() == [2, 3] and x._version == 0


def test_a_detached_tensor_of_a_leaf_has_a_history_of_its_own_once_it_is_written_with_one() -> None:
    """A state that is detached, then updated in place by parameters: h.detach() and h *= w, as PyTorch has it."""
    w, h = jitgrad.tensor([3.0, 4.0]).requires_grad_(), jitgrad.tensor([1.0, 1.0]).requires_grad_()
    for want, gradient in (([4.0, 5.0], [8.0, 10.0]), ([13.0, 21.0], [112.0, 220.0])):
        h = h.detach()
        h.mul_(w)
        h.add_(1)
        assert h.requires_grad and not h.is_leaf and h.grad_fn is not None
        (h * h).sum().backward()
        assert h.tolist() == want and w.grad.tolist() == gradient
    leaf = jitgrad.tensor([1.0, 2.0]).requires_grad_()
    detached = leaf.detach()
    detached += w * 2
    assert leaf.tolist() == detached.tolist() == [7.0, 10.0] and leaf.is_leaf and leaf.requires_grad
    w.grad = None
    detached.sum().backward()
    assert leaf.grad is None and w.grad.tolist() == [2.0, 2.0]


def test_data_of_a_computed_tensor_is_set_and_its_history_stays() -> None:
    x = jitgrad.tensor([1.0, 2.0]).requires_grad_()
    y = x * 3
    old = y * y
    y.data = y.data * 2
    assert y.tolist() == [6.0, 12.0] and y.requires_grad and not y.is_leaf and type(y.grad_fn).__name__ == "MulBackward0"
    (y * y).sum().backward()
    assert x.grad.tolist() == [36.0, 72.0] and old.tolist() == [9.0, 36.0]
    y.data = jitgrad.tensor([1.0])          # of another shape: there is no gradient that fits
    assert y.tolist() == [1.0]


def test_parts_of_a_leaf_are_written_without_gradients() -> None:
    """Values, versions and what a graph recorded before says of it, as in PyTorch."""
    def run(t: Any) -> list[Any]:
        w, g = t.arange(6, dtype=t.float64).reshape(2, 3).requires_grad_(), t.ones(2, 3, dtype=t.float64)
        found: list[Any] = []
        before = (w * w).sum()
        with t.no_grad():
            w[0, 1] -= 0.5 * g[0, 1]
            row = w[1]
            row *= 2
            found += [row.tolist(), w.tolist(), w._version, row._version, w.requires_grad, row.requires_grad]
            w[:, 2] = row[0]
            row.add_(w[0])
            found += [row.tolist(), w.tolist(), w._version]
            w.t()[0] += 1
            w.view(-1)[4:].fill_(7)
        found += [w.tolist(), w._version, w.is_leaf]
        try:
            before.backward()
        except RuntimeError as error:
            found.append("modified by an inplace operation" in str(error))
        try:
            row.add_(1)
        except RuntimeError as error:
            found.append("created in no_grad mode" in str(error))
        (w * w).sum().backward()
        return [*found, w.grad.tolist()]
    torch = pytest.importorskip("torch")
    assert run(jitgrad) == run(torch)
