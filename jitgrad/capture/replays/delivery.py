"""The backward of a replay as one generated function.

Input: the plan of a scalar output and the gradients below it.  Output: what runs it for a call and adds the gradients to the
leaves.
Invariant: it does what Call.backward does in general, where nothing is special; otherwise it does nothing and says so.
"""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

from jitgrad.autograd.reverse import engine
from jitgrad.generated import function
from jitgrad.requests import counters, schedule_cache

MOST = 200          # inputs of a call that is gone through by generated code


def delivery(output: int, plan: Any, inputs: int, whole: bool) -> Callable[[Any], bool] | None:
    """plan: a replay.ReplayPlan.  inputs: how many there are.  whole: whether the output is the only one.
    For a function of two tensors and a number, of which the first wants a gradient:

        def backward(call):
            if call.real is not None or call.done is not None or call.held is not None or era_word[0] != era: return False
            n0, n1, n2 = call.inputs
            e0 = n0.extra
            if e0 is not None and e0.cell is not None and e0.cell.value != e0.version: return False
            ...
            l0 = e0.leaf
            if l0.hooks or l0.post_hooks: return False
            arrays = run([n0.value, n1.value, n2.value])
            hits[0] += 1
            call.values = {0: arrays[0]}
            call.done = done
            call.inputs, call.leaves = None, (l0, )
            deliver((n0, ), arrays)
            return True
    """
    wrt = plan.wrt
    if inputs > MOST or not wrt:
        return None
    deliver = engine.machine_code().delivery() or (lambda leaves, arrays: engine.deliver_plain(leaves, arrays[1:]))
    given: dict[str, Any] = {"run": plan.run, "done": {output: plan}, "hits": counters.hits, "deliver": deliver,
                             "era": schedule_cache.era, "era_word": schedule_cache.era_word}
    lines = ["if call.real is not None or call.done is not None or call.held is not None or era_word[0] != era: return False",
             f"{''.join([f'n{i}, ' for i in range(inputs)])}= call.inputs"]
    for i in range(inputs):
        lines += [f"e{i} = n{i}.extra",
                  f"if e{i} is not None and e{i}.cell is not None and e{i}.cell.value != e{i}.version: return False"]
    for i in wrt:
        lines += [f"l{i} = e{i}.leaf", f"if l{i}.hooks or l{i}.post_hooks: return False"]
    values = []
    for k, (i, value) in enumerate(plan.sources):
        if i < 0:
            given[f"v{k}"] = value
        values.append(f"n{i}.value" if i >= 0 else f"v{k}")
    lines += [f"arrays = run([{', '.join(values)}])", "hits[0] += 1",
              f"if call.values is None: call.values = {{{output}: arrays[0]}}", f"else: call.values[{output}] = arrays[0]",
              "call.done = done"]
    if whole:
        lines.append(f"call.inputs, call.leaves = None, ({''.join([f'l{i}, ' for i in wrt])})")
    lines.append(f"deliver(({''.join([f'n{i}, ' for i in wrt])}), arrays)")
    lines.append("return True")
    return function("backward", "call", lines, given, __file__)
