"""Kernels for CUDA in tests: programs whose kernels are simulated, graphs of each family, and the comparison with the interpreter."""
from __future__ import annotations

from collections.abc import Callable, Sequence

from graphs import compare, leaf, normal, reference, request, tolerance, total

from jitgrad import ops
from jitgrad.compiler.build import Request, build
from jitgrad.compiler.codegen import target_cuda
from jitgrad.compiler.ir.steps import KernelStep, StepList
from jitgrad.compiler.numba_cuda import simulated
from jitgrad.compiler.numba_cuda.kernels import get_kernel
from jitgrad.compiler.numba_cuda.launches import Launches
from jitgrad.compiler.program import Program
from jitgrad.compiler.targets import Target
from jitgrad.graph.node import Node


def target(threads: int = simulated.THREADS, blocks: int = simulated.BLOCKS, atomic: bool = False) -> Target:
    """Launches of at most so many threads a block, and about so many blocks."""
    return Target(lambda kernel: target_cuda.emit(kernel, atomic), lambda source: get_kernel(source, threads, blocks),
                  lambda *program: Launches(StepList(*program)), phased=True)


def check(outputs: Sequence[Node], wrt: Sequence[Node] = (), to: Target | None = None, rtol: float | None = None) -> Program:
    """Compile for the simulator, run twice with the same bits, and compare with the interpreter."""
    r = request(outputs, wrt)
    program = build(r, to or target())
    first, again = program.run(r.order), program.run(r.order)
    compare(first, reference(r), tolerance(r.order) if rtol is None else rtol)
    assert [a is None or a.tobytes() for a in first] == [a is None or a.tobytes() for a in again]
    return program


def kinds(program: Program) -> set[str]:
    """The kinds of the functions of a program's kernels."""
    return {stage.kind for step in program.listing().steps if isinstance(step, KernelStep) for stage in step.function.stages}


def sources(r: Request) -> list[str]:
    """The CUDA source of each kernel."""
    return [s.info.source for s in build(r, target()).listing().steps if isinstance(s, KernelStep)]


# -- a graph of each family, of dtype f4 unless another is asked for ---------------------------------------------------

def chain(x: Node) -> Node:
    return total(ops.tanh(1.5 * x + 0.1) * ops.exp(-(x * x)) + ops.log1p(x * x))


def softmax(x: Node, axis: int) -> Node:
    e = ops.exp(x - ops.amax(x, axes=(axis,)))
    return e / ops.sum(e, axes=(axis,))


def chain_family(dtype: type) -> Request:
    x = normal(40, dtype=dtype)
    return request([chain(x)], [x])


def pointwise_family(dtype: type) -> Request:
    x, y = normal(67, dtype=dtype), normal(67, seed=1, dtype=dtype)
    return request([ops.sin(x) * ops.exp(y) + x])


def broadcast_family(dtype: type) -> Request:
    x, row, column = normal(3, 5, dtype=dtype), normal(5, seed=1, dtype=dtype), normal(3, 1, seed=2, dtype=dtype)
    return request([total(ops.tanh(x + row) * column)], [x, row, column])


def bias_family(dtype: type) -> Request:
    """Rows of a multiple of four elements, and others."""
    found = []
    for columns in (8, 5):
        x, b = normal(3, columns, dtype=dtype), normal(columns, seed=1, dtype=dtype)
        found.append(ops.relu(x + b) * ops.sigmoid(x))
    return request(found)


def softmax_family(dtype: type) -> Request:
    x, w = normal(5, 7, dtype=dtype), normal(5, 7, seed=1, dtype=dtype, requires_grad=False)
    return request([total(softmax(x, 1) * w)], [x])


def layer_norm_family(dtype: type) -> Request:
    x, w, b = normal(6, 9, dtype=dtype), normal(9, seed=1, dtype=dtype), normal(9, seed=2, dtype=dtype)
    centred = x - ops.sum(x, axes=(1,)) / 9.0
    y = centred * ops.rsqrt(ops.sum(ops.square(centred), axes=(1,)) / 9.0 + 1e-5) * w + b
    return request([total(ops.tanh(y))], [x, w, b])


def positional_family(dtype: type) -> Request:
    """A sum over batches of what layer normalisation hands back."""
    token, position = normal(3, 4, 5, dtype=dtype), normal(4, 5, seed=1, dtype=dtype)
    x = token + position
    centred = x - ops.sum(x, axes=(2,)) / 5.0
    return request([total(ops.tanh(centred * ops.rsqrt(ops.sum(ops.square(centred), axes=(2,)) / 5.0 + 1e-5)))], [token, position])


def cross_entropy_family(dtype: type) -> Request:
    x, y = normal(6, 9, dtype=dtype), leaf([[1], [0], [8], [3], [3], [7]])
    shifted = x - ops.amax(x, axes=(1,))
    logs = shifted - ops.log(ops.sum(ops.exp(shifted), axes=(1,)))
    return request([-total(ops.take_along(logs, y, dim=1)) / 6.0], [x])


def columns_family(dtype: type) -> Request:
    x, w = normal(2, 3, 4, dtype=dtype), normal(4, seed=1, dtype=dtype)
    return request([total(ops.square(x - ops.sum(x, axes=(0,)) * w))], [x, w])


def embedding_family(dtype: type) -> Request:
    table, index = normal(7, 4, dtype=dtype), leaf([3, 0, 3, 6, -1, 2])
    return request([total(ops.tanh(ops.index(table, index, axes=(0,))))], [table])


def scatter_family(dtype: type) -> Request:
    base, value, index = normal(9, dtype=dtype), normal(30, seed=1, dtype=dtype), leaf([k * k % 9 for k in range(30)])
    return request([total(ops.square(ops.index_put_add(base, value, index, axes=(0,))))], [base, value])


FAMILIES: dict[str, Callable[[type], Request]] = {name.removesuffix("_family"): make for name, make in list(globals().items())
                                                  if name.endswith("_family")}
