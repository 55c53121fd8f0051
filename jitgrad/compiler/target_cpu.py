"""What of a kernel's source is particular to the CPU: the header, loops over ranges, typed loads and stores by address.

Used by emit.py, which writes everything that targets have in common.  The vocabulary is that of intrinsics.py.
"""
from __future__ import annotations

# Elements that are summed on their own before they join the total: bounds the rounding error.  In registers there are some
# tens of sums side by side; in memory one, so that in float32 fewer elements are as many as a sum should have.
BLOCK = 1024
ROWS = {"f4": 64, "f8": 1024}


class CpuTarget:
    """Text fragments.  All methods return lines or expressions."""

    header = "def kernel(lo, hi, args):"

    def pointer(self, slot: int) -> str:
        return f"p{slot} = arg_i8(args, {slot})"

    def integer(self, slot: int) -> str:
        return f"n{slot} = arg_i8(args, {slot})"

    def number(self, slot: int, code: str) -> str:
        return f"arg_{code}(args, {slot})"

    def load(self, code: str, pointer: str, position: str) -> str:
        return f"load_{code}({pointer}, {position})"

    def store(self, code: str, pointer: str, position: str, value: str) -> str:
        return f"store_{code}({pointer}, {position}, {value})"

    def load_accumulator(self, code: str, pointer: str, position: str) -> str:
        return f"accload_{code}({pointer}, {position})"

    def store_accumulator(self, code: str, pointer: str, position: str, value: str) -> str:
        return f"accstore_{code}({pointer}, {position}, {value})"

    def loop(self, variable: str, start: str, stop: str) -> str:
        return f"for {variable} in range({start}, {stop}):" if start != "0" else f"for {variable} in range({stop}):"

    def blocks(self, variable: str, start: str, stop: str, size: int = BLOCK) -> str:
        return f"for {variable} in range({start}, {stop}, {size}):"

    def block_end(self, variable: str, stop: str, size: int = BLOCK) -> str:
        return f"minimum({variable} + {size}, {stop})"


CPU = CpuTarget()
