"""What of a kernel's source is particular to the CPU: the header, loops over ranges, typed loads and stores by address.

Used by emit.py, which writes everything that targets have in common.  The vocabulary is that of numba_cpu/vocabulary.
"""
from __future__ import annotations

import re
from collections.abc import Sequence

from jitgrad.compiler.codegen.emitter import ByAddress

# Elements that are summed on their own before they join the total: bounds the rounding error.  In registers there are some
# tens of sums side by side; in memory one, so that in float32 fewer elements are as many as a sum should have.
BLOCK = 1024
ROWS = {"f4": 64, "f8": 1024}

# How many vectors LLVM is to take in one iteration of an innermost loop.
#
# Over a row, two: its own choice is up to four, and a row that is shorter (of 10 float64, say) would be left to the scalar
# remainder, at 1.5 to 2 times the time; one makes long rows wait for each addition and each formula.
#
# In a flat loop with formulas of vecmath, or random numbers, LLVM takes one, not knowing that they become long chains of
# dependent operations (they are inlined later): four run side by side take 0.7 to 0.8 of the time.  But code grows, and with
# it the time to compile, so only loops with few formulas get that: by their number.
ROW = 2
FLAT = {1: 4, 2: 4, 3: 4, 4: 2, 5: 2}
_FORMULA = re.compile(r"\b(?:exp|exp2|expm1|log|log2|log10|log1p|sin|cos|tan|asin|acos|atan|sinh|cosh|tanh|asinh|acosh|atanh|"
                      r"sigmoid|softplus0|erf|erfc|lgamma|digamma|rsqrt|atan2|pow|"
                      r"random_word|random_bits|random_uniform_f4|random_uniform_f8|random_normal_f4|random_normal_f8)\(")


def interleaving(depth: int, body: Sequence[str]) -> int:
    """The number for the innermost loop, number `depth` of its nest, with these lines; 0: LLVM's own choice."""
    return ROW if depth else FLAT.get(sum([len(_FORMULA.findall(line)) for line in body]), 0)


class CpuTarget(ByAddress):
    """Text fragments.  All methods return lines or expressions."""

    header = "def kernel(lo, hi, args):"

    def pointer(self, slot: int) -> str:
        return f"p{slot} = arg_i8(args, {slot})"

    def integer(self, slot: int) -> str:
        return f"n{slot} = arg_i8(args, {slot})"

    def number(self, slot: int, code: str) -> str:
        return f"arg_{code}(args, {slot})"

    def load_accumulator(self, code: str, pointer: str, position: str) -> str:
        return f"accload_{code}({pointer}, {position})"

    def store_accumulator(self, code: str, pointer: str, position: str, value: str) -> str:
        return f"accstore_{code}({pointer}, {position}, {value})"

    def loop(self, variable: str, start: str, stop: str) -> str:
        return f"for {variable} in range({start}, {stop}):" if start != "0" else f"for {variable} in range({stop}):"

    def interleave(self, count: int) -> str:
        return f"interleave({count})"

    def blocks(self, variable: str, start: str, stop: str, size: int = BLOCK) -> str:
        return f"for {variable} in range({start}, {stop}, {size}):"

    def block_end(self, variable: str, stop: str, size: int = BLOCK) -> str:
        return f"minimum({variable} + {size}, {stop})"


CPU = CpuTarget()
