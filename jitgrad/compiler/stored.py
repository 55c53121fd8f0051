"""Programs on disk: what was found of a structure is kept beside the kernels, for other processes.

Input: a `Request`.  Output: its `Program`, of steps that are found on disk, or made now (build.py) and kept there.
Invariant: the name of an entry tells everything that the steps depend on: the structure of the request, which is told in words that
mean the same in each process, and the sources of what makes them; nothing is kept of a structure that cannot be told so.

The steps are kept by pickle: the directory is the user's own, and entries are checked, as those of object code (cache.py).
"""
from __future__ import annotations

import hashlib
import pickle
from functools import cache as memoize
from pathlib import Path
from typing import Any

from jitgrad.compiler.ir.steps import StepList
from jitgrad.compiler.numba_cpu import cache, kernels
from jitgrad.compiler.program import Program
from jitgrad.compiler.request import Request, device_of
from jitgrad.compiler.targets import Target, target_of
from jitgrad.config import config, logger
from jitgrad.graph.node import INPUT
from jitgrad.types.dtype import dtype

# The files that decide what steps a request becomes, and what of them is kept
_MAKERS = ("compiler/*.py", "compiler/ir/*.py", "compiler/fusion/*.py", "compiler/codegen/*.py", "compiler/runtime/plans.py",
           "differentiate.py", "ops/*.py", "graph/*.py", "types/*.py")
_PLAIN = {int, float, str, bool, type(None), dtype}


def find(request: Request) -> Program:
    """The program of a request; those of other devices than the CPU are made anew by each process."""
    device = device_of(request.order)
    target = target_of(device)
    told = structure(request) if device == "cpu" and config.cache else None
    key = None if told is None else cache.key(told, fingerprint())
    kept = None if key is None else cache.load(key)
    found = None if kept is None else _unpickled(kept)
    if found is None:
        found = _made(request, target)
        if key is not None and told is not None:
            cache.save(key, pickle.dumps(found, pickle.HIGHEST_PROTOCOL), told)
    return target.program(found, request.small, [n.line for n in request.order])


def _unpickled(kept: bytes) -> StepList | None:
    """The steps that are on disk; None where they name what is there no more."""
    try:
        return pickle.loads(kept)
    except (ImportError, AttributeError) as error:
        logger.info("a program on disk is made anew: %s", error)
        return None


def _made(request: Request, target: Target) -> StepList:
    """The steps, in which the user's lines are places of the order."""
    from jitgrad.compiler.build import steps
    lines = [n.line for n in request.order]
    try:
        for place, n in enumerate(request.order):
            n.line = place
        return steps(request, target)
    finally:
        for n, line in zip(request.order, lines, strict=True):
            n.line = line


def structure(request: Request) -> str | None:
    """What is asked for in words, one line for each node; None where parameters are not to be told so."""
    number = {n: k for k, n in enumerate(request.order)}
    known, in_place = {number[n] for n in request.known}, [number[n] for n in request.in_place]
    lines = [repr([[None if n is None else number[n] for n in nodes] for nodes in
                   (request.outputs, request.roots, request.cotangents, request.wrt)]), repr((in_place, bool(request.small)))]
    for k, n in enumerate(request.order):
        spec = n.spec
        if not _is_plain(spec.params):
            return None
        layout = "" if spec.op is not INPUT or n.value.flags.c_contiguous else "strided"
        lines.append(f"{spec.op.name} {spec.params} {spec.type.key} {n.requires_grad} {len(spec.sizes or ())} "
                     f"{[number[m] for m in n.inputs]} {layout} {k in known}")
    return "\n".join(lines)


def _is_plain(value: Any) -> bool:
    return type(value) in _PLAIN or (type(value) is tuple and all([_is_plain(v) for v in value]))


@memoize
def fingerprint() -> str:
    """All that the steps of a structure depend on, computed without importing what makes them."""
    root = Path(__file__).parent.parent
    digest = hashlib.sha256()
    for pattern in _MAKERS:
        for file in sorted(root.glob(pattern)):
            digest.update(file.read_bytes())
    return f"program {digest.hexdigest()} {kernels.fingerprint()}"

