"""Random programs with loops in them: states, sums, reads and writes of parts, steps that differ."""
from __future__ import annotations

from typing import Any

import numpy as np


def program(t: Any, seed: int, *given: int) -> list[Any]:
    """Arrays that PyTorch, or what is compared with it, computes: values and gradients of a loop of some ten to forty steps."""
    rng = np.random.default_rng(seed)
    steps, n = int(rng.integers(9, 40)), int(rng.choice([1, 3, 6]))
    x = t.tensor(rng.normal(size=n), dtype=t.float64, requires_grad=True)
    w = t.tensor(rng.normal(size=(n, n)) / n, dtype=t.float64, requires_grad=True)
    b = t.tensor(rng.normal(), dtype=t.float64, requires_grad=True)
    data = t.tensor(rng.normal(size=(steps + 2, n)), dtype=t.float64, requires_grad=bool(rng.random() < 0.5))
    line = t.tensor(rng.normal(size=2 * steps + 4), dtype=t.float64, requires_grad=True)
    a = line.clone() if rng.random() < 0.7 else line * 1.5
    table = t.zeros(steps, n, dtype=t.float64)
    h, v, total, kept = x, x * 0.5, t.zeros((), dtype=t.float64), []
    kinds = [int(k) for k in rng.integers(0, 30, size=rng.integers(1, 6))] if not given else list(given)
    scales = rng.uniform(0.3, 0.9, size=8)
    turn = int(rng.integers(2, 5))
    for i in range(steps):
        for k in kinds:
            s = float(scales[k % 8])
            if k == 0:
                h = t.tanh(w @ h + data[i])
            elif k == 1:
                h = h * s + t.sin(h) * (0.1 + i / 50)
            elif k == 2:
                h, v = h + 0.1 * v, v - 0.1 * h * b
            elif k == 3:
                total = total + (h * data[i]).sum()
            elif k == 4:
                kept.append(h)
            elif k == 5:
                a[i + 1] = a[i] * s + a[i + 2].clone() * b
            elif k == 6:
                a[1:-1] = (a[:-2] + a[2:]) * 0.4 + a[1:-1] * 0.1
            elif k == 7:
                a[i] += h.sum() * 0.1
            elif k == 8:
                table[i] = h
            elif k == 9:
                h = h * s + table[i - 1] if i else h
            elif k == 10:
                total = total + t.tanh(a[2 * i].clone()) * b
            elif k == 11 and i % turn == 0:
                h = h - 0.1 * v
            elif k == 12:
                for j in range(3):
                    h = h + 0.01 * t.cos(h * (j + 1))
            elif k == 13:
                h = h / (1 + (h * h).sum())
            elif k == 14:
                total = total + a[:i + 1].sum() * 0.01
            elif k == 15:
                a[i:i + 3] = a[i:i + 3] * s
            elif k == 16:
                table[i, 0] = b * i / 10
            elif k == 17:
                v = v * s + data[i] * h
            elif k == 18:
                kept.append(t.exp(-total * total))
            elif k == 19:
                total = total * s + w[i % n, 0]
            elif k == 20:
                h = t.where(h > 0, h * s, h * 0.9)
            elif k == 21:
                total = total + (line[:i + 2] * a[:i + 2].clone()).sum() * 0.01
            elif k == 22:
                a[i + 1:] = a[i + 1:] * s
            elif k == 23:
                v = v * s + line[:i + 1] @ data[:i + 1] * 0.01
            elif k == 24:
                h = h * s + t.softmax(data[:i + 1] @ h, 0) @ data[:i + 1] * 0.1
            elif k == 25:
                a[:i + 1] = (a[:i + 1] + b * t.flip(a[:i + 1], (0,))) * s
            elif k == 26:
                for j in range(i):
                    total = total * s + t.sin(a[j].clone()) * 0.1
            elif k == 27:
                total = total + ((data[i:] * b).T @ t.tanh(data[i:])).mean() * 0.01
            elif k == 28:
                kept.append(line[i:steps + i // 2].sum())
            elif k == 29 and i:
                table[i, :1] = table[:i, :1].sum(0) * 0.01 + b
    loss = (h * h).sum() + (v * v).mean() + total + 0.1 * (a * a).mean() + (table * table).sum()
    if kept:
        loss = loss + (t.stack([k.sum() for k in kept]) ** 2).mean()
    if rng.random() < 0.2 and kept:
        loss = loss + kept[len(kept) // 2].sum()
    beside = x * 1.0
    if rng.random() < 0.3:
        beside.retain_grad()        # which cuts the graph
    elif rng.random() < 0.3:
        beside.register_hook(lambda g: g * 0.5)
    loss = loss + (beside * beside).sum()
    loss.backward()
    return [loss.detach().numpy()] + [np.zeros(1) if p.grad is None else p.grad.numpy() for p in (x, w, b, data, line)]
