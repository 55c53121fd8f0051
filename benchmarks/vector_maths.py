"""Mathematical functions over a vector, per element, beside PyTorch's loops."""
from __future__ import annotations

from collections.abc import Callable
from time import perf_counter
from typing import Any

import numpy as np

import jitgrad

from .calls import Timed
from .tools import PEERS, library

N = 100_000
UNIT = (-0.99, 0.99)
POSITIVE = (0.01, 10.0)
WIDE = (-5.0, 5.0)
DOMAINS = {
    "exp": WIDE, "exp2": WIDE, "expm1": WIDE, "log": POSITIVE, "log2": POSITIVE, "log10": POSITIVE, "log1p": POSITIVE,
    "sin": WIDE, "cos": WIDE, "tan": WIDE, "asin": UNIT, "acos": UNIT, "atan": WIDE, "atan2": WIDE, "sinh": WIDE, "cosh": WIDE,
    "tanh": WIDE, "sigmoid": WIDE, "softplus": WIDE, "pow": POSITIVE, "erf": WIDE, "erfc": WIDE, "rsqrt": POSITIVE,
    "lgamma": POSITIVE, "digamma": POSITIVE, "sqrt": POSITIVE,
}


class PerElement(Timed):
    """The function's values alone, in a compiled loop (jitgrad) or eagerly (PyTorch); nanoseconds are 1e9 times this.  `add`
    is what moving the vector costs by itself."""

    params = (["compile", *[name for name in PEERS if name == "torch"]], ["add", *DOMAINS], ["float64", "float32"])
    param_names = ("tool", "function", "dtype")

    def prepare(self, tool: str, function: str, dtype: str) -> Callable[[], Any]:
        """Arguments spread evenly over the function's domain."""
        xp = library(tool)
        x = xp.tensor(np.random.default_rng(0).uniform(*DOMAINS.get(function, WIDE), N), dtype=getattr(xp, dtype))

        def value(x: Any) -> Any:
            if function == "add":
                return x + 1.0
            if function in ("atan2", "pow"):
                return getattr(xp, function)(x, x + 0.5)
            place = xp.nn.functional if function == "softplus" else xp
            return getattr(place, function)(x)

        if tool == "torch":
            def eager() -> Any:
                with xp.no_grad():
                    return value(x)
            return eager
        compiled = jitgrad.compile(value)
        return lambda: compiled(x)._array()         # computed, without the cost of an export

    def setup(self, *params: Any) -> None:
        """The clock counts one element."""
        if self.call is None:
            super().setup(*params)
            self.timer = lambda: perf_counter() / (self.calls * N)

    def time_element(self, *_: Any) -> None:
        """Seconds per element."""
        self.run()
