"""Running sums, products and extrema for CUDA: the kernel of a library op that is a scan along one dimension.

Input: the op's `Scan` (ops/declare.py), the names and kinds of its operands, whether they are scanned along the last dimension.
Output: a kernel's source.
Invariant: the order in which elements are combined follows from the length of the dimension alone.

Operands and result are contiguous: `lines` lines of n elements, `inner` apart; p0, p1 ... are operands, then the result.  Along the
last dimension the threads along x share a line, and combine nx elements at a time: element i with i - 1, then i - 2, i - 4 ...
(W. D. Hillis and G. L. Steele, Data parallel algorithms, CACM 29, 1986), then with what came before them.  Along another one a
thread has a line of its own, whose neighbours are other threads'.  Sample, of a running sum:

    t = by * nx + tx
    while t < lines:
        o = quotient(t, inner) * (n * inner) + rest(t, inner)
        c0 = f4(0.0)
        i = 0
        while i < n:
            r0 = load_f4(p0, o + i * inner)
            if i > 0:
                r0 = c0 + r0
            store_f4(p1, o + i * inner, r0)
            c0 = r0
            i = i + 1
        t = t + gy * nx
"""
from __future__ import annotations

from collections.abc import Mapping

from jitgrad.compiler.codegen.cuda.stage import with_places
from jitgrad.ops.declare import Scan

ZERO = {"f4": "f4(0.0)", "f8": "f8(0.0)", "i4": "i4(0)", "i8": "i8(0)", "b1": "b1(False)"}


def source(scan: Scan, operands: Mapping[str, str], last: bool) -> str:
    """The text.  operands: kinds by name, in order."""
    body = _shared_line(scan, operands) if last else _own_line(scan, operands)
    parameters = ", ".join([f"p{k}" for k in range(len(operands) + 1)])
    name, lengths = ("scan0", "lines, n") if last else ("elementwise0", "1, lines")
    text = with_places("\n".join(["    " + line for line in body]))
    return f"def {name}({parameters}, n, inner, lines):\n{text}\n\n\n" \
        f"def {name}_lengths(n, lines):\n    return {lengths}\n"


def _state(scan: Scan, operands: Mapping[str, str], element: str) -> list[str]:
    """r0, r1: the state of number `element` of the line, in its order."""
    lines = [f"i = n - 1 - {element}" if scan.reverse else f"i = {element}"]
    known = {"i": "to_i8(i)"}
    for k, (name, code) in enumerate(operands.items()):
        at = "i"
        if scan.reverse and name in scan.ahead:
            lines.append("j = minimum(i + 1, n - 1)")
            at = "j"
        lines.append(f"x{k} = load_{code}(p{k}, o + {at} * inner)")
        known[name] = f"x{k}"
    return [*lines, *[f"r{k} = {text.format(**known)}" for k, text in enumerate(scan.state)]]


def _joined(scan: Scan, before: str) -> list[str]:
    """r0, r1: with the state before, `before` and the number."""
    count = range(len(scan.state))
    names = {**{f"l{k}": f"{before}{k}" for k in count}, **{f"r{k}": f"r{k}" for k in count}}
    made = [text.format(**names) for text in scan.joined]
    made = [f"to_i4({text})" if code == "i4" else text for text, code in zip(made, scan.codes, strict=True)]
    return [*[f"q{k} = {text}" for k, text in enumerate(made)], *[f"r{k} = q{k}" for k in count]]


def _stored(scan: Scan, operands: Mapping[str, str]) -> str:
    last = len(scan.state) - 1
    return f"store_{scan.codes[last]}(p{len(operands)}, o + i * inner, r{last})"


def _offset(line: str) -> str:
    return f"o = quotient({line}, inner) * (n * inner) + rest({line}, inner)"


def _own_line(scan: Scan, operands: Mapping[str, str]) -> list[str]:
    carry = [f"c{k} = {ZERO[code]}" for k, code in enumerate(scan.codes)]
    inside = [*_state(scan, operands, "u"), "if u > 0:", *["    " + line for line in _joined(scan, "c")], _stored(scan, operands),
              *[f"c{k} = r{k}" for k in range(len(scan.state))], "u = u + 1"]
    return ["t = block_y() * threads_x() + thread_x()", "while t < lines:",
            *["    " + line for line in [_offset("t"), *carry, "u = 0", "while u < n:", *["    " + line for line in inside],
                                         "t = t + blocks_y() * threads_x()"]]]


def _shared_line(scan: Scan, operands: Mapping[str, str]) -> list[str]:
    codes = list(enumerate(scan.codes))
    keep = [*[f"keep_{code}({k}, place, r{k})" for k, code in codes], "wait()"]
    step = ["if thread_x() >= by_now:",
            *["    " + line for line in [*[f"l{k} = kept_{code}({k}, place - by_now)" for k, code in codes], *_joined(scan, "l")]],
            "wait()", *keep, "by_now = by_now * 2"]
    chunk = [*_state(scan, operands, "minimum(base + thread_x(), n - 1)"), *keep, "by_now = 1", "while by_now < threads_x():",
             *["    " + line for line in step],
             "if base > 0:", *["    " + line for line in _joined(scan, "c")],
             "if inside and base + thread_x() < n:", "    " + _stored(scan, operands),
             "wait()", *keep, *[f"c{k} = kept_{code}({k}, place - thread_x() + threads_x() - 1)" for k, code in codes], "wait()",
             "base = base + threads_x()"]
    turn = ["t = k + thread_y()", "inside = t < lines", "s = minimum(t, lines - 1)", _offset("s"),
            *[f"c{k} = {ZERO[code]}" for k, code in codes], "base = 0", "while base < n:", *["    " + line for line in chunk],
            "k = k + blocks_x() * threads_y()"]
    return ["place = thread_y() * threads_x() + thread_x()", "k = block_x() * threads_y()", "while k < lines:",
            *["    " + line for line in turn]]
