"""From a kernel's source text to LLVM IR, directly.

A kernel is written in a small part of Python, so small that its translation takes a fraction of the time of a compiler
for all of Python: assignments to names, calls of the vocabulary, arithmetic, comparisons, `a if c else b` (which computes
both), `for` over `range`, `if`.
Numba compiles the same text to the same effect (intrinsics.py), in 50 ms and more for a kernel, after half a second of
import and another of first use; tests compare the two.

Input: the source.  Output: the text of a module that defines `void name(int64 lo, int64 hi, int64 args)`.
Invariant: types are as Numba infers them: an operation on int32 gives int64, the vocabulary promotes nothing.

A name that is assigned once is the value itself; one that is assigned again (an accumulator) is a stack slot, which LLVM
turns into a register.  Sample, for `for i0 in range(lo, hi):`:

    head:  %i0 = phi i64 [ %lo, %before ], [ %next, %latch ]
           br i1 (%i0 < %hi), label %body, label %after
    body:  ...
           %next = add nsw i64 %i0, 1
           br label %head, !llvm.loop (loops.py)
"""
from __future__ import annotations

import ast
import math
from collections.abc import Sequence
from typing import Any

import llvmlite.binding as llvm
from llvmlite import ir

from jitgrad.compiler.irvalue import I8, Value
from jitgrad.compiler.loops import FLAT, ROW, annotate_loops
from jitgrad.compiler.objectcode import wide_vectors
from jitgrad.compiler.vecmath import lanes
from jitgrad.compiler.vocabulary import FORMULAS, IR, OPERATIONS
from jitgrad.errors import InternalError

_KIND = {type: code for code, type in IR.items()}
_OPERATORS: dict[type, str] = {ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/"}
_COMPARISONS: dict[type, str] = {ast.Eq: "==", ast.NotEq: "!=", ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">="}
_CONSTANTS = {"inf": math.inf, "nan": math.nan}


def lower(source: str, name: str) -> str:
    """LLVM IR text, not optimised.  Raises InternalError when the source is not within the language."""
    [function] = ast.parse(source).body
    assert isinstance(function, ast.FunctionDef)
    module = ir.Module(name)
    module.triple = llvm.get_process_triple()
    try:
        _Translator(module, name, function).run()
    except TypeError as error:
        raise InternalError(f"a generated kernel is not right: {error}\n--- source ---\n{source}") from error
    annotate_loops(module)
    lanes.expose(module)
    return str(module)


class _Translator:
    """One function.  `names` holds a Value, or the stack slot of a name that is assigned again."""

    def __init__(self, module: ir.Module, name: str, source: ast.FunctionDef) -> None:
        self.source = source
        arguments = [a.arg for a in source.args.args]
        self.function = ir.Function(module, ir.FunctionType(ir.VoidType(), [I8] * len(arguments)), name)
        self.function.attributes.add("nounwind")
        if wide_vectors():      # llvmlite knows no attribute with a value: past its check of names
            set.add(self.function.attributes, '"prefer-vector-width"="512"')
        self.builder: Any = ir.IRBuilder(self.function.append_basic_block("entry"))
        self.names: dict[str, Any] = dict(zip(arguments, self.function.args, strict=True))
        self.slots: dict[str, Any] = {}
        self.again: set[str] = set()
        _find_reassigned(source.body, set(arguments), self.again)

    def run(self) -> None:
        self.statements(self.source.body)
        self.builder.ret_void()

    # -- statements --------------------------------------------------------------------------------------------------

    def statements(self, body: Sequence[ast.stmt]) -> None:
        for statement in body:
            if isinstance(statement, ast.Assign):
                self.assign(statement)
            elif isinstance(statement, ast.For):
                self.loop(statement)
            elif isinstance(statement, ast.If):
                self.branch(statement)
            elif isinstance(statement, ast.Expr):
                self.expression(statement.value)
            else:
                raise TypeError(f"a statement {ast.unparse(statement)}")

    def assign(self, statement: ast.Assign) -> None:
        [target] = statement.targets
        assert isinstance(target, ast.Name)
        value = self.expression(statement.value)
        if target.id not in self.again:
            self.names[target.id] = value
            return
        slot = self.slots.get(target.id)
        if slot is None:
            with self.builder.goto_entry_block():
                slot = self.slots[target.id] = self.builder.alloca(value.type)
        self.builder.store(value, slot)

    def loop(self, statement: ast.For) -> None:
        """`for name in range(...)` with a positive literal step."""
        call, target = statement.iter, statement.target
        if not (isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == "range"
                and isinstance(target, ast.Name)):
            raise TypeError(f"a loop over {ast.unparse(call)}")
        bounds = [self.expression(a) for a in call.args]
        start, stop, step = [I8(0), *bounds, I8(1)] if len(bounds) == 1 else [*bounds, I8(1)][:3]
        b = self.builder
        before = b.block
        head, body, after = [self.function.append_basic_block(n) for n in (self.kind(statement), "body", "after")]
        b.branch(head)
        b.position_at_end(head)
        variable = b.phi(I8)
        variable.add_incoming(start, before)
        b.cbranch(b.icmp_signed("<", variable, stop), body, after)
        b.position_at_end(body)
        self.inside(statement.body, {target.id: variable})
        variable.add_incoming(b.add(variable, step, flags=("nsw",)), b.block)
        b.branch(head)
        b.position_at_end(after)

    def kind(self, statement: ast.For) -> str:
        """What loops.py is to know of a loop.  The emitter names loops over dimensions i0, i1, ... from the outermost; all but
        that are over the elements of a row, of which there are often few."""
        assert isinstance(statement.target, ast.Name)
        if statement.target.id == "i0":
            formulas = len([n for n in ast.walk(statement) if isinstance(n, ast.Call) and isinstance(n.func, ast.Name)
                            and n.func.id in FORMULAS])
            return FLAT.get(formulas, "head")
        return ROW if statement.target.id.startswith("i") else "head"

    def branch(self, statement: ast.If) -> None:
        b = self.builder
        yes, no, after = [self.function.append_basic_block(n) for n in ("yes", "no", "after")]
        b.cbranch(self.expression(statement.test), yes, no)
        for block, body in ((yes, statement.body), (no, statement.orelse)):
            b.position_at_end(block)
            self.inside(body, {})
            b.branch(after)
        b.position_at_end(after)

    def inside(self, body: Sequence[ast.stmt], own: dict[str, Any]) -> None:
        """Statements whose names are their own; what they assign again is not."""
        outer, self.names = self.names, {**self.names, **own}
        self.statements(body)
        self.names = outer

    # -- expressions -------------------------------------------------------------------------------------------------

    def expression(self, e: ast.expr) -> Any:
        """The LLVM value; None of a call that gives none."""
        if isinstance(e, ast.Name):
            return self.name(e.id)
        if isinstance(e, ast.Call):
            return self.call(e)
        if isinstance(e, ast.Constant):
            return I8(_number(e))
        if isinstance(e, ast.BinOp):
            return self.arithmetic(_OPERATORS[type(e.op)], self.expression(e.left), self.expression(e.right))
        if isinstance(e, ast.UnaryOp) and isinstance(e.op, ast.USub):
            return (-Value(self.builder, self.widened(self.expression(e.operand)))).ir
        if isinstance(e, ast.Compare) and len(e.ops) == 1:
            left, right = self.expression(e.left), self.expression(e.comparators[0])
            return self.comparison(_COMPARISONS[type(e.ops[0])], left, right)
        if isinstance(e, ast.BoolOp) and isinstance(e.op, ast.And):
            first, *rest = [self.expression(v) for v in e.values]
            for value in rest:
                first = self.builder.and_(first, value)
            return first
        if isinstance(e, ast.IfExp):
            test, yes, no = [self.expression(x) for x in (e.test, e.body, e.orelse)]
            if yes.type != no.type:
                raise TypeError(f"{ast.unparse(e)} of two types")
            return self.builder.select(test, yes, no)
        raise TypeError(f"an expression {ast.unparse(e)}")

    def name(self, name: str) -> Any:
        if name in self.slots:
            return self.builder.load(self.slots[name])
        value = self.names.get(name)
        if value is None:
            raise TypeError(f"{name} has no value")
        return value

    def call(self, e: ast.Call) -> Any:
        assert isinstance(e.func, ast.Name)
        name = e.func.id
        if name in IR:
            [argument] = e.args
            number = _number(argument)
            return ir.Constant(IR[name], float(number) if name[0] == "f" else int(number))
        operation = OPERATIONS.get(name)
        if operation is None:
            raise TypeError(f"no function {name} in the vocabulary")
        values = [self.expression(a) for a in e.args]
        if len(values) != operation.arity:
            raise TypeError(f"{name} takes {operation.arity} arguments, not {len(values)}")
        operation.check(tuple([_KIND[v.type] for v in values]))
        return operation.build(self.builder, *values)

    def widened(self, value: Any) -> Any:
        """An integer as int64."""
        if value.type == IR["b1"]:
            raise TypeError("arithmetic on a boolean")
        return self.builder.sext(value, I8) if value.type == IR["i4"] else value

    def arithmetic(self, operator: str, left: Any, right: Any) -> Any:
        a, b = Value(self.builder, self.widened(left)), Value(self.builder, self.widened(right))
        if operator == "/":
            if not a.is_float:
                raise TypeError("a quotient of integers")
            return (a / b).ir
        return (a + b if operator == "+" else a - b if operator == "-" else a * b).ir

    def comparison(self, operator: str, left: Any, right: Any) -> Any:
        if left.type != right.type:
            left, right = self.widened(left), self.widened(right)
        a, b = Value(self.builder, left), Value(self.builder, right)
        if left.type == IR["b1"] and operator not in ("==", "!="):
            raise TypeError("booleans have no order")
        compare = {"==": a.eq, "!=": a.ne, "<": a.__lt__, "<=": a.__le__, ">": a.__gt__, ">=": a.__ge__}
        return compare[operator](b).ir


def _number(e: ast.expr) -> Any:
    """A literal: a number, its negative, inf or nan."""
    if isinstance(e, ast.Constant) and isinstance(e.value, (int, float)):
        return e.value
    if isinstance(e, ast.UnaryOp) and isinstance(e.op, ast.USub):
        return -_number(e.operand)
    if isinstance(e, ast.Name) and e.id in _CONSTANTS:
        return _CONSTANTS[e.id]
    raise TypeError(f"{ast.unparse(e)} is not a literal")


def _find_reassigned(body: Sequence[ast.stmt], bound: set[str], again: set[str]) -> None:
    """Add the names that are assigned where they already have a value; `bound`: those that have one before."""
    for statement in body:
        if isinstance(statement, ast.Assign):
            [target] = statement.targets
            assert isinstance(target, ast.Name)
            (again if target.id in bound else bound).add(target.id)
        elif isinstance(statement, ast.For):
            _find_reassigned(statement.body, set(bound), again)
        elif isinstance(statement, ast.If):
            _find_reassigned(statement.body, set(bound), again)
            _find_reassigned(statement.orelse, set(bound), again)
