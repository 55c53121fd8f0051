"""The backward of a replay as one generated function.

Input: the plan of a scalar output and the gradients below it.  Output: what runs it for a call and adds the gradients to the
leaves.
Invariant: it does what Call.backward does in general, where nothing is special; otherwise it does nothing and says so.
"""
from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from jitgrad import programs
from jitgrad.autograd import engine
from jitgrad.generated import function
from jitgrad.graph import Node
from jitgrad.tensor import Tensor

MOST = 200          # inputs of a call that is gone through by generated code


def delivery(output: int, sources: Sequence[tuple[int, Any]], wrt: Sequence[int], inputs: int, whole: bool,
             done: dict[int, Any], source: Any, run: Callable) -> Callable[[Any], bool] | None:
    """sources, wrt, run: of the plan (replay.Plan).  inputs: how many there are.  whole: whether the output is the only one.
    source: the plan, weakly.
    For a function of two tensors and a number, of which the first wants a gradient:

        def backward(call):
            n0, n1, n2 = call.inputs
            e0 = n0.extra
            if e0 is not None and e0.cell is not None and e0.cell.value != e0.version: return False
            ...
            l0 = e0.leaf
            if l0.hooks or l0.post_hooks: return False
            array, g0 = run([n0.value, n1.value, n2.value])
            stats.memory_hits += 1
            latest[0] = source
            call.values = {0: array}
            call.done = done
            call.inputs, call.leaves = None, (l0, )
            with engine._accumulating:
                t = l0.tensor()
                if g0 is not None and t is not None and t._leaf is not None:
                    node = Node(n0.spec, (), False, 0, g0)
                    if t._grad is None:
                        t._grad = made = new(Tensor)
                        made._node = node
                    else: accumulate(t, node, False)
            return True
    """
    if inputs > MOST or not wrt:
        return None
    given: dict[str, Any] = {"run": run, "done": done, "latest": programs.latest, "source": source, "Node": Node,
                             "Tensor": Tensor, "new": Tensor.__new__, "stats": programs.stats, "engine": engine,
                             "accumulate": engine.accumulate}
    lines = [f"{''.join([f'n{i}, ' for i in range(inputs)])}= call.inputs"]
    for i in range(inputs):
        lines += [f"e{i} = n{i}.extra",
                  f"if e{i} is not None and e{i}.cell is not None and e{i}.cell.value != e{i}.version: return False"]
    for i in wrt:
        lines += [f"l{i} = e{i}.leaf", f"if l{i}.hooks or l{i}.post_hooks: return False"]
    values = []
    for k, (i, value) in enumerate(sources):
        if i < 0:
            given[f"v{k}"] = value
        values.append(f"n{i}.value" if i >= 0 else f"v{k}")
    lines += [f"array, {', '.join([f'g{i}' for i in wrt])} = run([{', '.join(values)}])", "stats.memory_hits += 1",
              "latest[0] = source",
              f"if call.values is None: call.values = {{{output}: array}}", f"else: call.values[{output}] = array",
              "call.done = done"]
    if whole:
        lines.append(f"call.inputs, call.leaves = None, ({''.join([f'l{i}, ' for i in wrt])})")
    lines.append("with engine._accumulating:")
    for i in wrt:
        lines += [f"    t = l{i}.tensor()", f"    if g{i} is not None and t is not None and t._leaf is not None:",
                  f"        node = Node(n{i}.spec, (), False, 0, g{i})", "        if t._grad is None:",
                  "            t._grad = made = new(Tensor)", "            made._node = node",
                  "        else: accumulate(t, node, False)"]
    lines.append("return True")
    return function("backward", "call", lines, given, __file__)
