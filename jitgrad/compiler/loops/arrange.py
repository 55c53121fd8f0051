"""In which order a graph is computed: what is quick to come by is computed where it is needed, not all of it at first.

Input: an order, operands first, as a walk from the roots finds it.  Output: another one, or the same.
Invariant: the time taken is linear in the operations.

The walk goes to the operands from the left to the right.  In `h = tanh(x[t] @ w + h @ u)` it comes to all the `x[t] @ w`, from the last
step to the first, before it comes to any `h @ u`: a loop of its own, whose results all have to be kept for the other one.  So operands
that are far less deep in the graph than another one come after it.
"""
from __future__ import annotations

from collections.abc import Sequence

LESS = 2        # times as deep as one that is put off is what it is put behind
MOST = 3        # operands of an operation of which some are put off: not of what joins arrays


def arranged(children: Sequence[Sequence[int]]) -> list[int]:
    """The places of a graph in the order in which it is computed; children: of each place the places of its operands, in any order."""
    heights: list[int] = []
    ways: list[Sequence[int]] = []
    same = True
    for of in children:
        top = max([heights[j] for j in of], default=-1)
        heights.append(top + 1)
        deep = [j for j in of if LESS * heights[j] >= top] if 1 < len(of) <= MOST else of
        if len(deep) < len(of):
            deep = [*deep, *[j for j in of if LESS * heights[j] < top]]
            same &= list(deep) == list(of)
        ways.append(deep)
    if same:
        return [*range(len(children))]
    found: list[int] = []
    seen = [False] * len(children)
    read = {j for of in children for j in of}
    for root in range(len(children)):
        if root in read:
            continue
        stack = [(root, iter(ways[root]))]
        while stack:
            k, rest = stack[-1]
            for j in rest:
                if not seen[j]:
                    seen[j] = True
                    stack.append((j, iter(ways[j])))
                    break
            else:
                stack.pop()
                found.append(k)
    return found
