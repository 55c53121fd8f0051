"""explain: what a tensor's gradient was compiled to, from which lines of the user's program, and why not."""
from __future__ import annotations

from collections import Counter
from types import CodeType
from typing import TYPE_CHECKING, Any, NamedTuple

from jitgrad.autograd.reverse.engine import stop_reasons
from jitgrad.autograd.reverse.owners import fn_name
from jitgrad.errors import InternalError
from jitgrad.graph.node import Node
from jitgrad.operators.templates import constant_cache
from jitgrad.requests import counters, schedule_cache
from jitgrad.requests.capture import capture as capture_graph

if TYPE_CHECKING:
    from jitgrad.requests.schedules.schedule import Schedule


class CacheInfo(NamedTuple):
    """Counters of this process.

    compilations: programs for which at least one kernel was compiled; memory_hits: backward calls served by a program
    of this process; disk_hits: programs made only of kernels found compiled (on disk, or in memory for another program);
    interpreted: gradient requests served by NumPy; kernels: kernels compiled; bytes: object code held on
    disk."""

    compilations: int
    memory_hits: int
    disk_hits: int
    interpreted: int
    kernels: int
    bytes: int


def cache_info() -> CacheInfo:
    """The counters as of now."""
    import sys

    from jitgrad.compiler.numba_cpu import cache
    kernels = sys.modules.get("jitgrad.compiler.numba_cpu.kernels")
    s = counters.stats
    return CacheInfo(s.compilations, s.memory_hits, s.disk_hits, s.interpreted,
                     0 if kernels is None else kernels.stats.kernels_compiled, cache.usage())


def clear_cache(disk: bool = False) -> None:
    """Forget all programs and kernels of this process and set the counters to zero; with `disk`, delete the files too."""
    from jitgrad.compiler.numba_cpu import cache, kernels
    schedule_cache.clear()
    constant_cache.forget()
    kernels.forget()
    if disk:
        cache.clear()


def line_text(line: tuple[CodeType, int] | None) -> str:
    """'file.py:12' of a recorded position."""
    if line is None:
        return "?"
    code, last = line
    number = next((n for start, end, n in code.co_lines() if start <= last < end and n), code.co_firstlineno)
    return f"{code.co_filename.rsplit('/', 1)[-1]}:{number}"


def explain(tensor: Any) -> str:
    """How the gradient of this tensor is computed: its kernels with their lines and source, cuts, and cache state.

    Of a function that `compile` or `value_and_grad` has made: what was captured, what is guarded, why calls are recorded.
    Compiles the program if that has not happened yet, so that what it tells is what backward() will run.
    Raises RuntimeError for a tensor that needs no gradient."""
    compiled = getattr(tensor, "_jitgrad_compiled", None)
    if compiled is not None:
        return compiled.explain()
    root = tensor._current()
    if not root.requires_grad:
        raise RuntimeError("explain: this tensor does not require grad: there is no backward to explain; give it the loss "
                           "before or after backward()")
    captured = capture_graph([root], anew=True)
    operations = [n for n in captured.order if n.inputs]
    lines = [f"{_name(root)} {root.type!r}: {len(operations)} operations, {len(captured.leaves)} leaves with gradients"]
    reasons = stop_reasons([root])
    reason = schedule_cache.interpret_reason()
    if reasons:
        lines.append("cut, where backward calls Python, in programs for what lies between:")
        lines += [f"  {line_text(n.line)}: {_name(n)}: {text}" for n, text in reasons]
    if reason is not None:
        lines.append(f"interpreted: {reason}")
        return "\n".join(lines)
    state, program = schedule_cache.program_for(captured, root)
    lines.append(f"program: {state}; {len(program.kernels)} kernels, {len(program.steps)} steps")
    if root.run is not None and root.run.reason is not None:
        lines.append(f"the last backward was interpreted: {root.run.reason}")
    return "\n".join([*lines, *describe(program)])


def describe(program: Schedule) -> list[str]:
    """The steps of a program, then each kernel with the operations it fuses, by line of the user's program, and source.

    Where each operation is a kernel, it is told how often each runs instead of the order."""
    if program.small:
        counts = Counter([str(step) for step in program.steps])
        lines = [f"a kernel for each operation: {program.small}",
                 *[f"  {step}; {times} times" if times > 1 else f"  {step}" for step, times in counts.items()]]
    else:
        lines = [f"  {step}" for step in program.steps]
    for kernel in program.kernels:
        lines.append("")
        origin = "from disk, compiled" if kernel.origin == "disk" else "compiled"
        lines.append(f"kernel {kernel.name} over {kernel.domain} ({origin} {kernel.compilation}): reads {kernel.reads}, writes "
                     f"{kernel.writes}")
        by_line: dict[str, list[str]] = {}
        for op, line in kernel.ops:
            by_line.setdefault(line_text(line) if line is not None else "derivative", []).append(op)
        lines += [f"  {where}: {' '.join(ops)}" for where, ops in by_line.items()]
        lines += ["    " + text for text in kernel.source.rstrip().splitlines()]
    return lines


def _name(node: Node) -> str:
    try:
        return fn_name(node)
    except InternalError:
        return node.op.name
