"""On a GPU, against a copy and PyTorch: fused chains, training steps.  Skipped where there is none."""
from __future__ import annotations

from collections.abc import Callable
from time import perf_counter
from typing import Any

import jitgrad

LARGE = 10**8


def _chain(lib: Any, x: Any) -> Any:
    return (lib.tanh(1.5 * x + 0.1) * lib.exp(-(x * x)) + lib.log1p(x * x)).sum()


class Cuda:
    """Workloads on the device, with each library that can use it."""

    params = (["jitgrad", "torch"], ["chain", "mlp"])
    param_names = ("tool", "workload")
    timeout = 600

    def setup(self, tool: str, workload: str) -> None:
        """Skipped without a device, or without PyTorch's."""
        lib: Any = jitgrad
        if tool == "torch":
            try:
                import torch as lib  # type: ignore[no-redef]
            except ImportError as error:
                raise NotImplementedError(str(error)) from error
        if not jitgrad.cuda.is_available() or not lib.cuda.is_available():
            raise NotImplementedError("there is no CUDA device")
        self.lib = lib
        self.run = self._chain() if workload == "chain" else self._mlp()
        for _ in range(10):
            self.run()
        lib.cuda.synchronize()

    def _chain(self) -> Callable[[], Any]:
        x = self.lib.linspace(-2, 2, LARGE, device="cuda", requires_grad=True)

        def run() -> None:
            x.grad = None
            _chain(self.lib, x).backward()

        return run

    def _mlp(self) -> Callable[[], Any]:
        nn = self.lib.nn
        model = nn.Sequential(nn.Linear(32, 128), nn.Tanh(), nn.LayerNorm(128), nn.Linear(128, 10)).to("cuda")
        optimizer = self.lib.optim.Adam(model.parameters(), lr=1e-3)
        x, y = self.lib.randn(64, 32, device="cuda"), self.lib.randint(10, (64,), device="cuda")

        def run() -> None:
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(x), y).backward()
            optimizer.step()

        return run

    def time_step(self, *_: Any) -> None:
        """Seconds of a step, the device's work included."""
        self.run()
        self.lib.cuda.synchronize()

    def track_of_copy(self, tool: str, workload: str) -> float:
        """Bytes that the chain must move in a second, relative to those of a copy on the device."""
        if workload != "chain":
            raise NotImplementedError("of the chain alone")
        x = self.lib.zeros(LARGE, device="cuda")
        chain, copy = [min(_seconds(self.lib, f) for _ in range(20)) for f in (self.run, x.clone)]
        return copy / chain

    track_of_copy.unit = "of a copy's bandwidth"           # type: ignore[attr-defined]


def _seconds(lib: Any, function: Callable[[], Any]) -> float:
    start = perf_counter()
    function()
    lib.cuda.synchronize()
    return perf_counter() - start
