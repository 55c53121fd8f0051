"""How a request is compiled: as a whole, in stretches, or with small kernels.

Input: a request.  Output: a program.
Invariant: the time to compile grows with what the kernels that differ have to do, and that is bounded: what repeats is compiled
once, and of more than JITGRAD_MAX_NODES operations that do not repeat each is a small kernel of one of a few forms.
"""
from __future__ import annotations

from dataclasses import replace

from jitgrad.compiler.build import Request, build
from jitgrad.compiler.partition import stretches
from jitgrad.compiler.partition.cuts import cut
from jitgrad.compiler.program import AnyProgram
from jitgrad.config import config

FINE = 64       # operations of the pieces that are compared to find out how much repeats


def compile_request(request: Request) -> AnyProgram:
    """The program of a request."""
    order = request.order
    if len(order) > config.max_nodes:
        distinct = cut(order, FINE).distinct
        if distinct > config.max_nodes:
            request = replace(request, small=f"{distinct} operations that do not repeat, more than "
                                             f"JITGRAD_MAX_NODES={config.max_nodes}")
    # What is computed of gradients as well (`then`) is of graphs that are not that long.
    return (None if request.then is not None else stretches.compile_long(request)) or build(request)
