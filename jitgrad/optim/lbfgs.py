"""L-BFGS (Liu and Nocedal 1989), with a line search for the strong Wolfe conditions if it is asked for."""
from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from jitgrad.graph.recording import in_grad_mode
from jitgrad.optim.line_search import Point, strong_wolfe
from jitgrad.optim.optimizer import Optimizer, checked, number
from jitgrad.tensors.tensor import from_array

LEAST_CURVATURE = 1e-10         # of a pair that is taken up


class LBFGS(Optimizer):
    """Quasi-Newton steps from the last `history_size` changes of the parameters and the gradient.

    `step(closure)` takes up to max_iter of them, with at most max_eval evaluations (max_iter * 5 // 4), and ends when the largest
    element of the gradient is within tolerance_grad, or a step or the change of the loss within tolerance_change.
    line_search_fn: None, steps of the length lr, or "strong_wolfe".  It takes one group, and all parameters in one dtype."""

    def __init__(self, params: Iterable[Any], lr: Any = 1, max_iter: int = 20, max_eval: int | None = None,
                 tolerance_grad: float = 1e-7,
                 tolerance_change: float = 1e-9, history_size: int = 100, line_search_fn: str | None = None) -> None:
        checked("learning rate", lr)
        super().__init__(params, {
            "lr": lr, "max_iter": max_iter, "max_eval": max_iter * 5 // 4 if max_eval is None else max_eval,
            "tolerance_grad": tolerance_grad, "tolerance_change": tolerance_change, "history_size": history_size,
            "line_search_fn": line_search_fn})
        if len(self.param_groups) != 1:
            raise ValueError("LBFGS doesn't support per-parameter options (parameter groups)")

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Minimise; the loss at the start is returned.  closure: computes the loss and gradients anew."""
        if closure is None:
            raise TypeError("LBFGS.step() missing 1 required positional argument: 'closure'")
        group = self.param_groups[0]
        params, lr, most = group["params"], number(group["lr"]), group["max_iter"]
        search, least = group["line_search_fn"], group["tolerance_change"]
        state = self.state[params[0]]
        state.setdefault("func_evals", 0)
        state.setdefault("n_iter", 0)

        def gradient() -> np.ndarray:
            return np.concatenate([np.zeros(p.numel(), p.dtype.np) if p._grad is None else p._grad._array().ravel() for p in params])

        def put(flat: np.ndarray) -> None:
            at = 0
            for p in params:
                p._replace(np.array(flat[at:at + p.numel()].reshape(p.shape)))
                at += p.numel()

        def evaluated() -> tuple[float, np.ndarray]:
            return number(in_grad_mode(True, closure)), gradient()

        first = in_grad_mode(True, closure)
        loss, g = number(first), gradient()
        evaluations = 1
        state["func_evals"] += 1
        if most < 1 or not _largest(g) > group["tolerance_grad"]:
            return first
        memory = _Memory(state)
        before = loss
        for i in range(1, most + 1):
            state["n_iter"] += 1
            if state["n_iter"] == 1:
                d = memory.start(g)
                t = min(1.0, 1.0 / float(np.abs(g).sum())) * lr
            else:
                d = memory.direction(g, group["history_size"])
                t = lr
            memory.before, memory.d, memory.t = g, d, t
            before, slope = loss, float(g @ d)
            if slope > -least:
                break
            x = np.concatenate([p._array().ravel() for p in params])
            used = 0
            if search is None:
                put(x + t * d)
                if i != most:       # the last is evaluated by the next call
                    loss, g = evaluated()
                    used = 1
            elif search == "strong_wolfe":
                def at(t: float, x: np.ndarray = x, d: np.ndarray = d) -> Point:
                    put(x + t * d)
                    f, slope = evaluated()
                    return Point(t, f, slope, float(slope @ d))

                found, used = strong_wolfe(at, Point(0.0, loss, g, slope), t, _largest(d), 1e-9,
                                           group["max_eval"] - evaluations)
                loss, g, t = found.f, found.g, found.t
                memory.t = t
                put(x + t * d)
            else:
                raise RuntimeError("only 'strong_wolfe' is supported")
            evaluations += used
            state["func_evals"] += used
            if (evaluations >= group["max_eval"] or _largest(g) <= group["tolerance_grad"] or _largest(d * t) <= least
                    or abs(loss - before) < least):
                break
        memory.keep(state, before)
        return first


def _largest(x: np.ndarray) -> float:
    return float(np.abs(x).max(initial=0))


class _Memory:
    """What is known of the curvature: pairs of changes of the gradient and of the parameters, and the reciprocals of their products.

    d, t, before: the last direction, its length, and the gradient that it was taken from."""

    def __init__(self, state: dict[str, Any]) -> None:
        def array(value: Any) -> Any:
            return None if value is None else value._array()

        self.changes = [array(v) for v in state.get("old_dirs", ())]
        self.steps = [array(v) for v in state.get("old_stps", ())]
        self.rho = [float(r) for r in state.get("ro", ())]
        self.scale = float(state.get("H_diag", 1.0))
        self.d, self.before = array(state.get("d")), array(state.get("prev_flat_grad"))
        self.t: float = state.get("t", 1.0)

    def start(self, g: np.ndarray) -> np.ndarray:
        """The first direction: down."""
        self.changes, self.steps, self.rho, self.scale = [], [], [], 1.0
        return -g

    def direction(self, g: np.ndarray, size: int) -> np.ndarray:
        """The next direction, after the last pair is taken up: two loops (algorithm 7.4 in Nocedal and Wright 2006)."""
        y, s = g - self.before, self.d * self.t
        product = float(y @ s)
        if product > LEAST_CURVATURE:
            if len(self.changes) == size:
                del self.changes[0], self.steps[0], self.rho[0]
            self.changes.append(y)
            self.steps.append(s)
            self.rho.append(1.0 / product)
            self.scale = product / float(y @ y)
        q = -g
        weights = []
        for y, s, rho in zip(reversed(self.changes), reversed(self.steps), reversed(self.rho), strict=True):
            weights.append(float(s @ q) * rho)
            q = q - weights[-1] * y
        q = q * self.scale
        for y, s, rho, weight in zip(self.changes, self.steps, self.rho, reversed(weights), strict=True):
            q = q + s * (weight - float(y @ q) * rho)
        return q

    def keep(self, state: dict[str, Any], loss: float) -> None:
        """Put it into an optimizer's state, as PyTorch names it."""
        tensors = [from_array(a) for a in (self.d, self.before)]
        state.update(d=tensors[0], t=self.t, old_dirs=[from_array(a) for a in self.changes],
                     old_stps=[from_array(a) for a in self.steps],
                     ro=[from_array(np.asarray(r, self.d.dtype)) for r in self.rho], H_diag=from_array(np.asarray(self.scale,
                                                                                                                  self.d.dtype)),
                     prev_flat_grad=tensors[1], prev_loss=loss)
