"""Programs about int8, int16 and uint8 as data; see behaviours.py."""

from __future__ import annotations

from typing import Any

import numpy as np
from behaviours import behaviour, error


def each(t: Any, *texts: str) -> list[Any]:
    """What each text gives, of small integers."""
    found = []
    for text in texts:
        b = t.tensor(np.array([[0, 1, 200], [255, 7, 8]], np.uint8))
        names = {
            "t": t,
            "np": np,
            "b": b,
            "s": b.to(t.int16),
            "c": t.tensor([[1, -2, 3]], dtype=t.int8),
            "x": t.tensor([1.5, 2.5, 3.5]),
        }

        def run(text=text, names=names):
            *lines, last = text.split("; ")
            for line in lines:
                exec(line, names)
            return eval(last, names)

        found.append((text, error(run)))
    return found


@behaviour
def small_integers_are_made(t):
    return each(
        t,
        "b",
        "s",
        "c",
        "b.dtype",
        "t.from_numpy(np.arange(3, dtype=np.uint8))",
        "t.as_tensor(np.arange(3, dtype=np.int16))",
        "t.tensor([1, 2], dtype=t.uint8)",
        "t.zeros(2, dtype=t.uint8)",
        "t.ones(2, 2, dtype=t.int8)",
        "t.full((2,), 7, dtype=t.int16)",
        "t.arange(3, dtype=t.uint8)",
        "t.tensor([300], dtype=t.uint8)",
        "t.empty(2, 0, dtype=t.int8)",
        "t.ByteTensor([1, 2])",
        "t.CharTensor(2).dtype",
        "t.ShortTensor([5])",
        "b.type()",
        "t.iinfo(t.uint8)",
        "t.iinfo(t.int16).min",
        "t.uint8.is_signed",
        "t.int8.itemsize",
        "t.short is t.int16",
        "b.numpy()",
        "b.tolist()",
        "b[0, 2].item()",
        "t.zeros_like(b)",
        "t.randint(0, 9, (2,), dtype=t.uint8).dtype",
        "b.clone()",
        "t.tensor(True).to(t.int8)",
        "b.element_size()",
        "isinstance(b, t.ByteTensor)",
        "t.tensor([1], dtype=t.int8, requires_grad=True)",
        "b.requires_grad_()",
        "t.eye(2, dtype=t.int8)",
    )


@behaviour
def small_integers_are_converted(t):
    return each(
        t,
        "b.float()",
        "b.to(t.float64)",
        "b.long()",
        "b.int()",
        "b.bool()",
        "b.byte() is b",
        "b.char()",
        "b.short()",
        "s.byte()",
        "x.byte()",
        "x.to(t.int8)",
        "b.float() / 255",
        "b.type(t.float32)",
        "c.double()",
        "t.tensor([300, -1]).to(t.uint8)",
        "b / 255",
        "b.float().mean()",
        "t.nn.functional.one_hot(b[0, :2].long())",
        "b.type_as(x)",
        "b.to(x)",
        "c.abs().float()",
    )


@behaviour
def small_integers_are_moved(t):
    return each(
        t,
        "b[0]",
        "b[:, 1:]",
        "b[:, ::2]",
        "b.T",
        "b.reshape(3, 2)",
        "b.flatten()",
        "b[None]",
        "b.expand(2, 2, 3)",
        "b.permute(1, 0).contiguous()",
        "t.cat([b, b])",
        "t.stack([c, c])",
        "b.flip(0)",
        "b[t.tensor([1, 0])]",
        "b[b > 5]",
        "b.split(1)[1]",
        "b.repeat(1, 2)",
        "b.roll(1)",
        "b.index_select(1, t.tensor([2]))",
        "b.gather(1, t.tensor([[0], [2]]))",
        "b.unsqueeze(0).shape",
        "b.masked_fill(b > 5, 0)",
        "t.where(b > 5, b, 0)",
        "t.where(b > 5, b, b * 0)",
        "b[0] = 9; b",
        "b[0, 0] = 3; b",
        "b[b > 100] = 100; b",
        "b.fill_(4)",
        "b.zero_()",
        "b.copy_(t.ones(2, 3)); b",
        "x[b[0, :1].long()]",
        "x[t.tensor([1, 0, 1], dtype=t.uint8)]",
        "x[t.tensor([1, 0, 1], dtype=t.int8)]",
        "t.cat([b, x[None]])",
        "b.tril()",
        "t.nn.functional.pad(b, (1, 1))",
        "b.unbind()[1]",
        "list(b[0])",
    )


@behaviour
def small_integers_are_compared_and_added(t):
    return each(
        t,
        "b > 5",
        "b == 255",
        "b == b",
        "(b != 0).sum()",
        "t.equal(b, b.clone())",
        "b + 1",
        "b + b",
        "b * 2",
        "c + b",
        "c - 1",
        "-c",
        "b + x",
        "b * 1.5",
        "b // 2",
        "b % 7",
        "b & 15",
        "b | s",
        "b ^ b",
        "~b",
        "b.sum()",
        "b.sum(0)",
        "b.max()",
        "b.min(1)",
        "b.argmax(1)",
        "b.any()",
        "b.all()",
        "b.prod()",
        "b.mean()",
        "c.abs()",
        "c.sign()",
        "b.clamp(1, 100)",
        "b.sort()[0]",
        "b.unique()",
        "b.cumsum(1)",
        "b.float() @ x",
        "x * b[0]",
        "b.add_(1)",
        "b += 1; b",
        "b.mul_(2)",
        "b.add_(1.5)",
        "t.maximum(b, s)",
        "t.promote_types(t.uint8, t.int8)",
        "t.result_type(b, 1)",
        "t.result_type(b, 1.0)",
        "t.can_cast(t.float32, t.uint8)",
        "b.sqrt()",
        "b.exp().dtype",
        "b ** 2",
        "t.bincount(b[1, 1:])",
        "b.float().std()",
        "b.median()",
    )


@behaviour
def small_integers_in_gradients(t):
    images = t.tensor(np.arange(12, dtype=np.uint8).reshape(4, 3))
    labels = t.tensor(np.array([0, 1, 1, 0], np.uint8))
    w = t.zeros(3, 2, requires_grad=True)
    seen = []
    for _ in range(5):
        w.grad = None
        loss = t.nn.functional.cross_entropy(images.float() / 255 @ w, labels.long())
        loss = loss + (w * (images[0, :, None] > 1)).sum() + (images * w[:, 0]).mean()
        loss.backward()
        seen.append(w.grad)
    with t.no_grad():
        for _ in range(40):
            out = (images + 1).float().mean() + (images[1:] > 5).sum()
    return seen[0], seen[-1], out


@behaviour
def numbers_beside_small_integers_in_gradients(t):
    w, found = t.ones(3, requires_grad=True), []
    for i in range(40):
        whole = (w * 1.5).to(t.int16)
        loss = (whole + i).float().sum() + (w * ((w * 2.5).to(t.int8) * i + 5).float()).sum() + (w * t.where(whole > i, 1.0, 2.0)).sum()
        w.grad = None
        loss.backward()
        found.append((loss.item(), w.grad.tolist()))
    return found


@behaviour
def numbers_that_small_integers_do_not_hold(t):
    u, c = t.tensor([1, 2, 100], dtype=t.uint8), t.tensor([1, 2, 100], dtype=t.int8)
    computed = [(a + 300, a - 300, a * -5, 300 - a, a // 300, a % 300, a & 300, a < 300, a == -1, a.add(-5), a + 2**40) for a in (u, c)]
    stored = [error(lambda f=f: f()) for f in (
        lambda: t.full((2,), 300, dtype=t.uint8), lambda: t.full((2,), -1, dtype=t.uint8), lambda: t.full_like(c, -129),
        lambda: u.clone().fill_(-300), lambda: u.clamp(0, 300), lambda: u.clamp(-1, 5), lambda: t.where(u > 1, u, 300),
        lambda: u.masked_fill(u > 1, -1), lambda: c ** 300, lambda: t.full((2,), float("nan"), dtype=t.int16),
        lambda: t.tensor([1, 2]) + 2**70, lambda: t.tensor([1, 2], dtype=t.int32).clamp(0, 2**40))]
    steady = []
    for i in range(40):
        a = t.tensor([i, 2, 100], dtype=t.int16)
        steady.append(((a + 40000 + i) * (i - 5)).sum().item())
    return computed, stored, steady


@behaviour
def small_integers_are_no_positions(t):
    x, i = t.arange(9.0).reshape(3, 3), t.tensor([0, 2, 1], dtype=t.uint8)
    return [error(lambda f=f: f()) for f in (
        lambda: x.gather(0, i[None]), lambda: x.scatter(0, i[None], 1.0), lambda: t.nn.functional.embedding(i, x),
        lambda: round(t.nn.functional.cross_entropy(x, i).item(), 4), lambda: t.nn.functional.cross_entropy(x, i.short()),
        lambda: x[i.short()])]
