"""Rare arguments: a slow scalar computation that only the vectors holding one of them pay for.

Input: a result that is right for |x| <= limit, and a formula for the others.  Output: the value, corrected.
Invariant: the loop around it is vectorised.  LLVM does not vectorise a branch that it cannot flatten, so the branch
hides in a function whose vector variants LLVM is told about ("vector-function-abi-variant", LLVM's VFABI); they are
inlined once the vectoriser has placed them (objectcode.py).  Sample of a variant:

    define <4 x double> @"jitgrad.lanes.sin_huge.double.v4"(<4 x double> %x, <4 x double> %y) alwaysinline {
      %rare = fcmp ogt <4 x double> fabs(%x), <limit, limit, limit, limit>
      br i1 (bitcast <4 x i1> %rare to i4) != 0, label %slow, label %done
    slow:   ; for each lane: y[i] = jitgrad.lanes.sin_huge.double.lane(x[i], y[i])
    done:   ret <4 x double>, y as it came or as the lanes left it
    }

On a GPU each thread is a lane, and the branch is one.
"""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir

from jitgrad.compiler.numba_cpu.objectcode import LANES, host_features
from jitgrad.compiler.numba_cpu.vocabulary.irvalue import I4, IRValue, declare, intrinsic, on_gpu


def corrected(x: IRValue, y: IRValue, limit: float, slow: Callable[[IRValue], IRValue]) -> IRValue:
    """y where |x| <= limit or x is nan, else slow(x)."""
    module, type = x.builder.module, x.type
    name = f"{LANES}{slow.__name__}.{type}"
    function = module.globals.get(name)
    if function is None and on_gpu(x.builder):
        function = _lane(module, name, type, limit, slow)
        function.linkage = "internal"
        function.attributes.discard("noinline")
        function.attributes.add("alwaysinline")
    elif function is None:
        lane = _lane(module, f"{name}.lane", type, limit, slow)
        function = _function(module, name, type, "noinline")
        b = ir.IRBuilder(function.append_basic_block())
        b.ret(b.call(lane, function.args))
        registers = (128, 256, 512) if "+avx512f" in host_features() else (128, 256)
        widths = [bits // (32 if x.is_f4 else 64) for bits in registers]
        variants = [_variant(lane, f"{name}.v{width}", width, limit) for width in widths]
        text = ",".join(f"_ZGV_LLVM_N{n}vv_{name}({v.name})" for n, v in zip(widths, variants, strict=True))
        # llvmlite knows no attribute with a value: past its check of names.
        set.add(function.attributes, f'"vector-function-abi-variant"="{text}"')
    return IRValue(x.builder, x.builder.call(function, [x.ir, y.ir]))


def _function(module: ir.Module, name: str, type: Any, *attributes: str) -> ir.Function:
    function = ir.Function(module, ir.FunctionType(type, [type, type]), name)
    # External, until it is known which variants are called: nothing may remove one, or change its arguments, before.
    for attribute in ("nounwind", "readnone", *attributes):
        function.attributes.add(attribute)
    return function


def _is_rare(b: ir.IRBuilder, x: Any, limit: float) -> Any:
    if on_gpu(b):
        return (intrinsic("fabs", IRValue(b, x)) > limit).ir
    vector = isinstance(x.type, ir.VectorType)
    element = x.type.element if vector else x.type
    suffix = (f"v{x.type.count}" if vector else "") + ("f32" if element == ir.FloatType() else "f64")
    fabs = declare(b.module, f"llvm.fabs.{suffix}", x.type, [x.type])
    bound = ir.Constant(x.type, [ir.Constant(element, limit)] * x.type.count if vector else limit)
    return b.fcmp_ordered(">", b.call(fabs, [x]), bound)


def _lane(module: ir.Module, name: str, type: Any, limit: float, slow: Callable[[IRValue], IRValue]) -> ir.Function:
    """One lane.  It has no variants itself: LLVM would find that the loop over lanes can be vectorised by calling them."""
    function = _function(module, name, type, "noinline")
    start, rare, done = [function.append_basic_block(n) for n in ("start", "rare", "done")]
    x, y = function.args
    b = ir.IRBuilder(start)
    b.cbranch(_is_rare(b, x, limit), rare, done)
    b.position_at_end(rare)
    z = slow(IRValue(b, x))
    b.branch(done)
    b.position_at_end(done)
    result = b.phi(type)
    result.add_incoming(y, start)
    result.add_incoming(z.ir, rare)
    b.ret(result)
    return function


def _variant(scalar: ir.Function, name: str, width: int, limit: float) -> ir.Function:
    type: Any = ir.VectorType(scalar.function_type.return_type, width)
    function = _function(scalar.module, name, type, "alwaysinline")
    start, lane, done = [function.append_basic_block(n) for n in ("start", "lane", "done")]
    x, y = function.args
    b = ir.IRBuilder(start)
    rare: Any = b.bitcast(_is_rare(b, x, limit), ir.IntType(width))
    branch = b.cbranch(b.icmp_unsigned("!=", rare, rare.type(0)), lane, done)
    branch.set_weights([1, 1 << 20])
    b.position_at_end(lane)
    k, have = b.phi(I4), b.phi(type)
    corrected = b.call(scalar, [b.extract_element(x, k), b.extract_element(have, k)])
    changed = b.insert_element(have, corrected, k)
    following = b.add(k, I4(1))
    for phi, first, later in ((k, I4(0), following), (have, y, changed)):
        phi.add_incoming(first, start)
        phi.add_incoming(later, lane)
    b.cbranch(b.icmp_unsigned("==", following, I4(width)), done, lane)
    b.position_at_end(done)
    result = b.phi(type)
    result.add_incoming(y, start)
    result.add_incoming(changed, lane)
    b.ret(result)
    return function
