"""Numba's compiler, with the passes that a kernel needs: from a kernel's source to LLVM IR.

Input: the source of one `kernel(lo, hi, args)` over the vocabulary.  Output: the text of an LLVM module that defines
`void name(int64 lo, int64 hi, int64 args)`, not optimised yet.
Invariant: whatever is taken of Numba's internals is taken here, and `probe` has shown that it does as expected; where it does
not, plain.py compiles the same text by Numba's public interface.

`numba.cfunc` takes 250 ms for a kernel, and the first one half a second more: it types and lowers by tables of all that
Numba knows, makes wrappers for errors and reference counts, and runs LLVM in stages.  A kernel is calls of the
vocabulary, arithmetic on numbers, `range`, `if` and names of one type each.  So here Numba translates the bytecode, infers the
types and lowers by its own passes, but

- typing and lowering know the vocabulary, operators on numbers, and of Numba's registries only the entries for `range`;
- the operations of the vocabulary are types of their own (an `@intrinsic` makes Numba look through all registries again);
- names are stack slots, which LLVM turns into registers: no SSA form, no phis, no statements that end a lifetime;
- `range` counts up by a positive step, in the form that LLVM's vectoriser reads;
- nothing raises: no status is returned, there is no environment, no wrapper, no reference count.
"""
from __future__ import annotations

import ctypes
import math
import operator
from functools import cache as memoize
from types import FunctionType
from typing import Any

import llvmlite.binding as llvm
from llvmlite import ir
from numba.core import base, callconv, cgutils, errors, funcdesc, imputils, types
from numba.core.compiler import CompilerBase, Flags
from numba.core.compiler_machinery import LoweringPass, PassManager, register_pass
from numba.core.datamodel.models import OpaqueModel
from numba.core.datamodel.registry import register_default
from numba.core.lowering import Lower
from numba.core.typed_passes import NopythonTypeInference
from numba.core.typing.context import BaseContext
from numba.core.typing.templates import builtin_registry, signature
from numba.core.untyped_passes import FixupArgs, IRProcessing, TranslateByteCode
from numba.cpython import builtins, numbers, rangeobj  # noqa: F401  (they fill the registries)

from jitgrad.compiler.numba_cpu import objectcode
from jitgrad.compiler.numba_cpu.numba_types import KINDS, TYPES
from jitgrad.compiler.numba_cpu.vocabulary import OPERATIONS
from jitgrad.compiler.numba_cpu.vocabulary.intrinsic import ANY, BOOL, FLOATS, INTS, NUMBERS, Intrinsic, Kinds, formula_of
from jitgrad.compiler.numba_cpu.vocabulary.irvalue import I8, IRValue
from jitgrad.errors import InternalError

# What a kernel's source uses besides the vocabulary, as Numba's registries call it.
_LOOPS = frozenset([range, "getiter", "iternext"])


def _of_numbers(name: str, accepted: frozenset, result: str | None = None) -> Any:
    """The rule for an operator: numbers of one kind, or integers of both."""
    def check(kinds: Kinds) -> str:
        if not accepted.issuperset(kinds) or (len({*kinds}) > 1 and not INTS.issuperset(kinds)):
            raise TypeError(f"{' and '.join(kinds)} as operands of {name}")
        return result or kinds[0]
    return check


def _python_operators() -> dict[Any, Intrinsic]:
    """Python's operators on numbers.  Integers wrap around, as NumPy's; Numba's own may not, and its quotients look for a zero,
    to raise.  Only "not equal" is true of nan."""
    formulas = {operator.add: (NUMBERS, lambda a, b: a + b), operator.sub: (NUMBERS, lambda a, b: a - b),
                operator.mul: (NUMBERS, lambda a, b: a * b), operator.truediv: (FLOATS, lambda a, b: a / b)}
    comparisons = {operator.eq: (ANY, IRValue.eq), operator.ne: (ANY, IRValue.ne), operator.lt: (NUMBERS, IRValue.__lt__),
                   operator.le: (NUMBERS, IRValue.__le__), operator.gt: (NUMBERS, IRValue.__gt__),
                   operator.ge: (NUMBERS, IRValue.__ge__)}
    return {
        **{f: Intrinsic(2, _of_numbers(f.__name__, kinds), formula_of(formula)) for f, (kinds, formula) in formulas.items()},
        **{f: Intrinsic(2, _of_numbers(f.__name__, kinds, "b1"), formula_of(formula)) for f, (kinds, formula) in comparisons.items()},
        operator.neg: Intrinsic(1, _of_numbers("neg", NUMBERS), formula_of(IRValue.__neg__)),
        bool: Intrinsic(1, _of_numbers("bool", BOOL), lambda builder, condition: condition)}


class _OperationType(types.Callable):
    """The type of a name of the vocabulary."""

    def __init__(self, name: str, operation: Intrinsic) -> None:
        self.word = name
        self.operation = operation
        super().__init__(f"operation({name})")

    def get_call_type(self, context: Any, args: Any, kws: Any) -> Any:
        kinds = tuple([KINDS.get(types.unliteral(t), str(t)) for t in args])
        if kws or len(kinds) != self.operation.arity:
            raise errors.TypingError(f"{self.word} takes {self.operation.arity} arguments, not {len(kinds)}")
        try:
            kinds = self.converted(kinds)
            result = self.operation.check(kinds)
        except TypeError as error:
            raise errors.TypingError(str(error)) from error
        return signature(types.none if result is None else TYPES[result], *[TYPES[kind] for kind in kinds])

    def converted(self, kinds: Kinds) -> Kinds:
        """The kinds that arguments are converted to; the vocabulary converts nothing."""
        return kinds

    def get_call_signatures(self) -> Any:
        return (), True

    def get_impl_key(self, sig: Any) -> Any:
        return self

    def build(self, context: Any, builder: Any, args: Any) -> Any:
        """Lower a call."""
        result = self.operation.build(builder, *args)
        return context.get_dummy_value() if result is None else result


class _OperatorType(_OperationType):
    """The type of one of Python's operators: arithmetic on integers is in int64, as everywhere in Numba."""

    def converted(self, kinds: Kinds) -> Kinds:
        narrow = "i4" in kinds and (self.word not in _COMPARED or len({*kinds}) > 1)
        return tuple(["i8" if kind == "i4" else kind for kind in kinds]) if narrow else kinds


_COMPARED = frozenset([f.__name__ for f in (operator.eq, operator.ne, operator.lt, operator.le, operator.gt, operator.ge)])
_OPERATORS: dict[Any, _OperatorType] = {f: _OperatorType(f.__name__, operation) for f, operation in _python_operators().items()}
register_default(_OperatorType)(OpaqueModel)
register_default(_OperationType)(OpaqueModel)


class _Name:
    """What a name of the vocabulary is bound to in the Python function that Numba is given."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return self.name


VOCABULARY: dict[str, Any] = {"inf": math.inf, "nan": math.nan, **{name: _Name(name) for name in OPERATIONS}}


class _TypingContext(BaseContext):
    """The vocabulary's typing and Numba's of loops."""

    def init(self) -> None:
        for template in builtin_registry.functions:
            if template.key in _LOOPS:
                self.insert_function(template(self))
        for value, type in builtin_registry.globals:
            if value is range:
                self._insert_global(value, type)
        for function, type in _OPERATORS.items():
            self._insert_global(function, type)
        for name, operation in OPERATIONS.items():
            self._insert_global(VOCABULARY[name], _OperationType(name, operation))

    def refresh(self) -> None:
        """Nothing that is registered later is looked for."""

    def resolve_function_type(self, func: Any, args: Any, kws: Any) -> Any:
        known: Any = func if isinstance(func, types.Callable) else _OPERATORS.get(func)
        return super().resolve_function_type(func, args, kws) if known is None else known.get_call_type(self, args, kws)


class _CallingConvention(callconv.MinimalCallConv):
    """void kernel(int64, int64, int64)."""

    def get_function_type(self, restype: Any, argtypes: Any) -> Any:
        return ir.FunctionType(ir.VoidType(), [I8] * len(argtypes))

    def decorate_function(self, fn: Any, args: Any, fe_argtypes: Any, noalias: bool = False) -> None:
        fn.attributes.add("nounwind")

    def get_arguments(self, func: Any) -> Any:
        return func.args

    def return_value(self, builder: Any, retval: Any) -> None:
        builder.ret_void()

    def _return_errcode_raw(self, builder: Any, code: Any) -> None:
        raise InternalError("a generated kernel raises an exception")


class _TargetContext(base.BaseContext):
    """The vocabulary's lowering and Numba's of `range`, of literals and of conversions."""

    def init(self) -> None:
        registry = imputils.builtin_registry
        for implementation, function, sig in registry.functions:
            if function is range:
                self._defns[function].append(implementation, sig)
        self._insert_cast_defn(registry.casts)
        self._insert_get_constant_defn(registry.constants)
        self._defns["getiter"].append(_start_range, (types.range_state64_type,))
        self._defns["iternext"].append(_next_of_range, (types.range_iter64_type,))

    def refresh(self) -> None:
        """Nothing that is registered later is looked for."""

    def get_function(self, fn: Any, sig: Any, _firstcall: bool = True) -> Any:
        operation = fn if isinstance(fn, _OperationType) else _OPERATORS.get(fn)
        if operation is None:
            return super().get_function(fn, sig, _firstcall=False)
        return lambda builder, args, loc=None: operation.build(self, builder, args)

    def get_constant_generic(self, builder: Any, ty: Any, val: Any) -> Any:
        return self.get_dummy_value() if isinstance(ty, _OperationType) else super().get_constant_generic(builder, ty, val)

    def cast(self, builder: Any, val: Any, fromty: Any, toty: Any) -> Any:
        """Names are of one type each: only an integer that an operator takes is widened."""
        kinds = KINDS.get(types.unliteral(fromty)), KINDS.get(types.unliteral(toty))
        if kinds[0] != kinds[1] and kinds != ("i4", "i8"):
            raise errors.TypingError(f"a value of kind {kinds[0] or fromty} where {kinds[1] or toty} is expected")
        return super().cast(builder, val, fromty, toty)

    def create_module(self, name: str) -> Any:
        module = ir.Module(name)
        module.triple = llvm.get_process_triple()
        return module

    @property
    def call_conv(self) -> Any:
        return _CallingConvention(self)

    @property
    def target_data(self) -> Any:
        return objectcode.target_data()

    def codegen(self) -> Any:
        """LLVM is run on the text of the module, once (objectcode.py)."""
        return None

    def declare_env_global(self, module: Any, envname: str) -> Any:
        """Kernels have no Python environment."""
        return None

    def post_lowering(self, mod: Any, library: Any) -> None:
        """Nothing is linked."""

    # Numba's own make these in memory.
    def pair_first(self, builder: Any, val: Any, ty: Any) -> Any:
        return builder.extract_value(val, 0)

    def pair_second(self, builder: Any, val: Any, ty: Any) -> Any:
        return builder.extract_value(val, 1)


def _start_range(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    """iter(range): Numba's structure, of which the address of the present number, the end and the step are used."""
    start, stop, step = [builder.extract_value(args[0], k) for k in range(3)]
    present = cgutils.alloca_once(builder, I8)
    builder.store(start, present)
    result = ir.Constant(context.get_value_type(sig.return_type), ir.Undefined)
    for k, value in enumerate((present, stop, step)):
        result = builder.insert_value(result, value, k)
    return result


def _next_of_range(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    """next(iterator): the number and whether there is one."""
    present, stop, step = [builder.extract_value(args[0], k) for k in range(3)]
    number = builder.load(present)
    more = builder.icmp_signed("<", number, stop)
    builder.store(builder.add(number, step, flags=("nsw",)), present)
    result = ir.Constant(context.get_value_type(sig.return_type), ir.Undefined)
    return builder.insert_value(builder.insert_value(result, number, 0), more, 1)


class _Module:
    """Stands where Numba expects a library of code: holds the module that is lowered."""

    _reload_init: frozenset = frozenset()

    def __init__(self, name: str, target: _TargetContext) -> None:
        self.name = name
        self.target = target
        self.module: Any = None

    def create_ir_module(self, name: str) -> Any:
        self.module = self.target.create_module(name)
        return self.module

    def add_ir_module(self, module: Any) -> None:
        """It is complete."""

    def add_linking_library(self, library: Any) -> None:
        raise InternalError(f"a generated kernel calls code of a library, {library}")


@register_pass(mutates_CFG=False, analysis_only=False)
class _Lowering(LoweringPass):
    """Numba's lowering, without what makes the result callable from Python."""

    _name = "jitgrad_lowering"

    def __init__(self) -> None:
        super().__init__()

    def run_pass(self, state: Any) -> Any:
        descriptor = funcdesc.PythonFunctionDescriptor.from_specialized_function(
            state.func_ir, state.typemap, state.return_type, state.calltypes, mangler=lambda *args, **named: state.library.name,
            inline=False, noalias=False, abi_tags=())
        with state.targetctx.push_code_library(state.library):
            Lower(state.targetctx, state.library, descriptor, state.func_ir, metadata=state.metadata).lower()
        state.cr = state.library.module
        return True


class _Compiler(CompilerBase):
    """The passes, in order."""

    def define_pipelines(self) -> list[PassManager]:
        passes = PassManager("jitgrad")
        for step in (TranslateByteCode, FixupArgs, IRProcessing, NopythonTypeInference, _Lowering):
            passes.add_pass(step, step.__name__)
        passes.finalize()
        return [passes]


@memoize
def _contexts() -> tuple[_TypingContext, _TargetContext]:
    typing = _TypingContext()
    return typing, _TargetContext(typing, "cpu")


def lower(source: str, name: str) -> str:
    """LLVM IR text, not optimised.  Raises InternalError where the source is not within the language."""
    namespace = dict(VOCABULARY)
    exec(compile(source, f"<{name}>", "exec"), namespace)
    kernel: FunctionType = namespace["kernel"]
    typing: Any
    typing, target = _contexts()
    flags: Any = Flags()
    flags.error_model = "numpy"
    flags.nrt = False
    compiler = _Compiler(typing, target, _Module(name, target), (types.int64,) * 3, types.none, flags, {})
    try:
        return str(compiler.compile_extra(kernel))
    except (errors.NumbaError, AttributeError, NotImplementedError) as error:     # the latter: of passes that are left out
        raise InternalError(f"a generated kernel is not right: {error}\n--- source ---\n{source}") from error


# All that an emitter writes: nested loops, accumulators, blocks, branches, conditional expressions, literals of all kinds.
_PROBE = """def kernel(lo, hi, args):
    p0 = arg_i8(args, 0)
    c0 = arg_f8(args, 1)
    n0 = arg_i8(args, 2)
    d0 = lo < hi
    e0 = 3 if d0 else 0
    a0 = f8(0.0)
    if n0 == 1 and e0 == 3:
        for k in range(lo, hi, 2):
            b0 = f8(0.0)
            for i0 in range(k, minimum(k + 2, hi)):
                interleave(2)
                v0 = load_f8(p0, i0 * n0)
                v1 = where(v0 > c0, -v0 / f8(2.0), f8(inf))
                store_f8(p0, i0, v1)
                b0 = radd(b0, to_f8(to_f4(v0) * f4(0.5)))
            a0 = radd(a0, b0)
    else:
        a0 = f8(-1.0)
    store_f8(p0, hi, a0 + to_f8(e0))
"""


def probe() -> None:
    """Raise an exception, of whatever type, if this version of Numba is not one that the pipeline was written for.

    A small kernel is compiled and run."""
    name = "jitgrad_probe"
    address = objectcode.load(objectcode.emit(lower(_PROBE, name)), name)
    values = (ctypes.c_double * 4)(1.0, 2.0, 5.0, 0.0)
    block = (ctypes.c_int64 * 3)(ctypes.addressof(values), 0, 1)
    ctypes.c_double.from_buffer(block, 8).value = 1.5
    ctypes.CFUNCTYPE(None, ctypes.c_int64, ctypes.c_int64, ctypes.c_int64)(address)(0, 3, ctypes.addressof(block))
    if list(values) != [math.inf, -1.0, -2.5, 7.0]:
        raise InternalError(f"a kernel computed {list(values)}")
