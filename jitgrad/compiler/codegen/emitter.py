"""What the emitters of all targets have in common: operands, amounts, and the assignment that an entry of the body is.

Input: parts of a `loop_nest.LoopNest`.  Output: expressions and lines over the kernel vocabulary.
"""
from __future__ import annotations

from typing import Generic, Protocol, TypeVar

from jitgrad.compiler.ir.loop_nest import (
    Access,
    Amount,
    Compute,
    Integer,
    Load,
    LoopNest,
    Operand_,
    Position,
    Read,
    Reduce,
    Result,
    Var,
)


class Fragments(Protocol):
    """How a target writes an element and a run-time number."""

    def number(self, slot: int, code: str) -> str: ...
    def load(self, code: str, pointer: str, position: str) -> str: ...
    def store(self, code: str, pointer: str, position: str, value: str) -> str: ...


class ByAddress:
    """Elements by the address of an array and a position."""

    def load(self, code: str, pointer: str, position: str) -> str:
        return f"load_{code}({pointer}, {position})"

    def store(self, code: str, pointer: str, position: str, value: str) -> str:
        return f"store_{code}({pointer}, {position}, {value})"


T = TypeVar("T", bound=Fragments)


class Emitter(Generic[T]):
    """Collects the lines of one kernel."""

    def __init__(self, kernel: LoopNest, target: T) -> None:
        self.k = kernel
        self.t = target
        self.lines: list[str] = []
        self.indent = 1

    def line(self, text: str) -> None:
        self.lines.append("    " * self.indent + text)

    @staticmethod
    def operand(x: Operand_) -> str:
        return f"v{x}" if type(x) is int else str(x)

    @staticmethod
    def amount(x: Amount) -> str:
        return f"n{x.slot}" if isinstance(x, Var) else str(x)

    def term(self, coef: Amount, loop: int) -> str:
        return f"i{loop}" if coef == 1 else f"i{loop} * {self.amount(coef)}"

    def position(self, access: Access) -> str:
        """Where an element lies, as an expression."""
        raise NotImplementedError

    def displaced(self, access: Access, position: str) -> str:
        """The position with the part that is computed."""
        terms = [f"{self.operand(x)} * {self.amount(stride)}" for x, stride in access.computed]
        return " + ".join([*([] if position == "0" and terms else [position]), *terms])

    def result(self, reduction: int) -> str:
        """What is in an accumulator that is complete, in the reduction's dtype."""
        return f"a{reduction}"

    def entry(self, number: int) -> None:
        """The assignment of one variable."""
        e = self.k.body[number]
        if isinstance(e, Load):
            a = e.access
            self.line(f"v{number} = {self.t.load(a.code, f'p{a.slot}', self.position(a))}")
        elif isinstance(e, Read):
            integer = isinstance(self.k.slots[e.slot], Integer)
            self.line(f"v{number} = " + (f"to_{e.code}(n{e.slot})" if integer else self.t.number(e.slot, e.code)))
        elif isinstance(e, Position):
            terms = [self.term(c, k) for k, c in enumerate(e.coefs) if c != 0]
            terms += [self.amount(e.start)] if e.start != 0 or not terms else []
            self.line(f"v{number} = to_i8({' + '.join(terms)})")
        elif isinstance(e, Result):
            self.line(f"v{number} = {self.result(e.reduction)}")
        else:
            self.line(f"v{number} = {self.computed(e)}")

    def computed(self, e: Compute) -> str:
        operands = dict(zip(e.names, [self.operand(x) for x in e.operands], strict=True))
        text = e.template.format(**operands)
        return f"to_i4({text})" if e.code == "i4" else text     # int32 arithmetic is int64, as in Numba

    def combined(self, r: Reduce, acc: str, x: str) -> str:
        text = r.combine.format(acc=acc, x=x)
        return f"to_i4({text})" if r.code == "i4" else text
