"""What is computed together: the number of kernels and library calls of common graphs, each compared with the interpreter."""
from __future__ import annotations

import numpy as np
import pytest
from graphs import check, leaf, normal, reference, request, total
from test_compiler import network, normalised, softmax

import jitgrad
from jitgrad import ops
from jitgrad.compiler.build import build
from jitgrad.compiler.ir.steps import KernelStep, LibraryStep
from jitgrad.compiler.program import Program
from jitgrad.graph.node import Node
from jitgrad.nn import functional
from jitgrad.requests import schedule_cache
from jitgrad.requests.capture import capture as capture_graph


def library_calls(program: Program) -> list[str]:
    return [s.op.name for s in program.listing().steps if isinstance(s, LibraryStep)]


# -- products with vectors -------------------------------------------------------------------------------------------

# (shape of a, shape of b)
THIN = [((5, 4), (4, 1)), ((1, 4), (4, 6)), ((5, 1), (1, 6)), ((1, 4), (4, 1)), ((5, 1), (1, 1)), ((1, 1), (1, 1)),
        ((3, 5, 4), (4, 1)), ((5, 1), (3, 1, 6)), ((2, 1, 5, 4), (3, 4, 1)), ((5, 0), (0, 1)), ((0, 4), (4, 1))]


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize(("a", "b"), THIN)
def test_a_product_with_a_vector_is_no_library_call(a: tuple[int, ...], b: tuple[int, ...], dtype: type) -> None:
    x, y = normal(*a, dtype=dtype), normal(*b, seed=1, dtype=dtype)
    assert not library_calls(check([total(ops.exp(ops.matmul(x, y)))], [x, y]))


def test_a_product_with_a_vector_of_transposed_operands() -> None:
    x, y = normal(4, 5), leaf(normal(2, 4, seed=1).value[:1].T)
    z = ops.matmul(ops.permute(x, dims=(1, 0)), y)
    assert not library_calls(check([total(ops.square(z)), ops.permute(z, dims=(1, 0))], [x, y]))


def test_the_last_layer_of_a_network_joins_its_neighbours() -> None:
    loss, weights = network(3)
    assert library_calls(check([loss], weights)) == ["matmul", "matmul"]


# -- extrema and their positions -------------------------------------------------------------------------------------

def with_ties_and_nans(dtype: type) -> np.ndarray:
    x = np.array([[1, 3, 3, 0], [2, 2, 2, 2], [-1, -1, -5, -1]], dtype)
    if x.dtype.kind == "f":
        x = np.concatenate([x, np.array([[0, np.nan, 1, np.nan], [-np.inf, -np.inf, -np.inf, -np.inf],
                                         [-0.0, 0.0, np.inf, np.inf]], dtype)])
    return x


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.int64, np.int32, np.bool_])
@pytest.mark.parametrize("name", ["argmax", "argmin"])
def test_positions_of_extrema_are_computed_in_kernels(name: str, dtype: type) -> None:
    x, op = leaf(with_ties_and_nans(dtype)), ops.REGISTRY[name]
    turned = ops.permute(x, dims=(1, 0))
    outputs = [op(x, axes=(0,)), op(x, axes=(1,)), op(turned, axes=(0,)), op(ops.slice(
        x, full=(True, False), sizes=(1, 2, 2)), axes=(1,)), op(leaf(np.ones((3, 1))), axes=(1,))]
    assert not library_calls(check(outputs))


@pytest.mark.parametrize("axis", [0, 1])
def test_an_extremum_along_a_dimension_and_its_gradient_need_no_library_call(axis: int) -> None:
    x = normal(5, 7)
    at = ops.argmax(x, axes=(axis,))
    best = ops.take_along(x, at, dim=axis)
    assert not library_calls(check([total(ops.exp(best)), best, at], [x]))


# -- rows: phases of one kernel --------------------------------------------------------------------------------------

ROWS = [(3, 4), (4, 1), (0, 4), (3, 0), (2, 3, 5), (5, 1500)]


def counts(program: Program) -> tuple[int, int]:
    """Kernels and library calls."""
    return len(program.kernels), len(library_calls(program))


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("shape", ROWS)
def test_softmax_and_its_gradient_are_one_kernel(shape: tuple[int, ...], dtype: type) -> None:
    x, w = normal(*shape, dtype=dtype), normal(*shape, seed=1, dtype=dtype)
    y = softmax(x, len(shape) - 1)
    assert counts(check([total(y * w), y], [x, w])) == (1, 0)


@pytest.mark.parametrize("shape", ROWS)
def test_log_softmax_and_its_gradient_are_one_kernel(shape: tuple[int, ...]) -> None:
    x, w, axes = normal(*shape), normal(*shape, seed=1, requires_grad=False), (len(shape) - 1,)
    shifted = x - ops.detach(ops.amax(x, axes=axes))
    y = shifted - ops.log(ops.sum(ops.exp(shifted), axes=axes))
    assert counts(check([total(y * w)], [x])) == (1, 0)


def test_layer_norm_with_its_gradients_is_one_kernel() -> None:
    x, w, b, c = normal(5, 7), normal(7, seed=1), normal(7, seed=2), normal(5, 7, seed=3)
    assert counts(check([total((normalised(x) * w + b) * c)], [x, w, b])) == (1, 0)


def test_variance_of_rows_and_its_gradient_is_one_kernel_and_one_of_the_rows() -> None:
    x = normal(5, 7)
    n = ops.count(x, axes=(1,))
    centred = x - ops.sum(x, axes=(1,)) / n
    assert counts(check([total(ops.sum(ops.square(centred), axes=(1,)) / (n - 1))], [x])) == (2, 0)


def test_least_squares_reads_the_matrix_in_one_kernel() -> None:
    a, x, y = normal(40, 7, requires_grad=False), normal(7, 1, seed=1), normal(40, 1, seed=2, requires_grad=False)
    residual = ops.matmul(a, x) - y
    program = check([total(ops.square(residual))], [x])
    assert not library_calls(program) and sum("input0" in k.reads for k in program.kernels) == 1


def test_what_a_phase_leaves_for_another_is_kept_a_row_at_a_time() -> None:
    x, w = normal(600, 500), normal(600, 500, seed=1, requires_grad=False)
    program = check([total(softmax(x, 1) * w)], [x])         # large enough to be cut in chunks, each with its own row
    [step] = [s for s in program.listing().steps if isinstance(s, KernelStep)]
    assert len(step.kernel.saves) == len(step.scratch) == 2          # exponentials, and quotients by their sum


def test_reductions_over_different_dimensions_are_not_mixed_up() -> None:
    x = normal(4, 4)
    rows, columns = ops.sum(ops.exp(x), axes=(1,)), ops.sum(ops.exp(x), axes=(0,))
    check([total(ops.exp(x) / rows * columns), ops.exp(x) / rows, ops.log(rows)], [x])
    y = normal(3, 4, 5)
    outer, inner = ops.sum(y, axes=(2,)), ops.sum(y, axes=(1, 2))
    check([total(ops.sin(y * outer) * inner), inner, total(outer)], [y])


def test_rows_within_rows() -> None:
    x = normal(3, 4, 5)
    y = softmax(x, 2)
    z = softmax(ops.sum(y * x, axes=(2,)), 1)
    check([total(ops.square(z * y)), z], [x])


def test_a_strided_input_in_phases() -> None:
    x = leaf(normal(8, 9).value[::2, ::3])
    y = leaf(normal(9, 8, seed=1).value.T)
    check([total(softmax(x, 1) * ops.slice(y, full=(False, False), sizes=(0, 4, 1, 0, 3, 1)))], [x, y])


# -- sums of multiples -----------------------------------------------------------------------------------------------

@pytest.mark.parametrize("axes", [(0,), (1,), (0, 1)])
def test_the_gradient_of_a_normaliser_uses_the_sum_that_there_is(axes: tuple[int, ...]) -> None:
    x, w = normal(4, 5), normal(4, 5, seed=1, requires_grad=False)
    e = ops.exp(x - ops.amax(x, axes=axes))
    y = ops.log(ops.sum(e, axes=axes))
    program = check([total(y), ops.sum(-(e / ops.sum(w, axes=axes)), axes=axes)], [x])
    assert [name for k in program.kernels for name, _ in k.ops].count("sum") <= 4
    check([ops.sum(e, axes=axes), ops.sum(2.0 * e * ops.sum(w, axes=axes), axes=axes), total(e * w)], [x])


def test_a_sum_of_multiples_of_numbers_that_are_not_finite() -> None:
    x, c = leaf([[1.0, np.inf], [0.0, np.nan], [2.0, -3.0]]), leaf([[0.0], [1.0], [np.inf]])
    for y in (x, ops.exp(x)):
        check([ops.sum(y, axes=(1,)), ops.sum(c * y, axes=(1,)), ops.sum(y / c, axes=(1,))])


# -- computed positions ----------------------------------------------------------------------------------------------

def at(*values: object) -> Node:
    return leaf(np.array(values, np.int64))


def checks(program: Program) -> int:
    """The number of checks of positions, if these are the only library calls."""
    calls = library_calls(program)
    assert set(calls) <= {"check_positions"}
    return len(calls)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_rows_by_position_and_their_gradient(dtype: type) -> None:
    table, where = normal(6, 3, dtype=dtype), at([0, -1, 2, 2], [2, 5, -6, 0])
    y = ops.index(table, where, axes=(0,))
    assert checks(check([total(ops.exp(y)), y], [table])) == 1
    turned = ops.permute(table, dims=(1, 0))
    assert checks(check([total(ops.exp(ops.index(turned, where, axes=(1,))))], [table])) == 1


def test_single_elements_by_position_and_their_gradient() -> None:
    x, i, j = normal(2, 4, 5, 3), at(0, 3, -1, 0, 0), at(2, 2, -3, 1, 2)
    for axes in ((1, 2), (0, 3), (1, 3)):
        i = at(0, 1, -1, 0, 0)
        assert checks(check([total(ops.square(ops.index(x, i, j, axes=axes)))], [x])) == 2
    one = normal(1, 4)
    check([total(ops.exp(ops.index(one, at(0, -1, 0), axes=(0,))))], [one])


@pytest.mark.parametrize("name", ["take_along", "index"])
def test_what_is_gathered_from_cheap_work_is_not_stored_whole(name: str) -> None:
    x, where = normal(40, 30), at(*[[k % 30] for k in range(40)])
    y = (x - 1) * 2
    picked = ops.take_along(y, where, dim=1) if name == "take_along" else ops.index(y, at(3, 7), axes=(0,))
    program = check([total(ops.exp(picked))])
    assert not any(k.writes and "n1, n2" in k.domain for k in program.kernels), [k.domain for k in program.kernels]


def test_gathers_of_gathers_positions_literals_and_sums() -> None:
    x, first, second = normal(5, 4), at(3, 1, 1, 0), at(0, -1, 2)
    check([total(ops.exp(ops.index(ops.index(x, first, axes=(0,)), second, axes=(0,))))], [x])
    check([ops.index(ops.argmax(x, axes=(1,)), second, axes=(0,)),
           ops.index(ops.sum(x, axes=(1,)), second, axes=(0,))])
    check([ops.take_along(ops.expand(leaf(np.ones((1, 1))), sizes=(5, 4)), at([0], [1], [0], [1], [0]), dim=1)])
    check([total(ops.index(ops.sin(x), ops.reshape(ops.argmin(x, axes=(0,)), sizes=(4,)), axes=(0,)))], [x])


def test_equal_positions_add_up_in_integers_and_in_many_rows() -> None:
    base, value, where = leaf(np.zeros(3, np.int32)), leaf(np.arange(6, dtype=np.int32)), at(0, 1, 0, -1, 0, 1)
    check([ops.index_put_add(base, value, where, axes=(0,)),
           ops.put_along_add(base, at(2, 1, 0, 2, 0, 1), value, dim=0)])
    many = leaf(np.random.default_rng(0).integers(0, 7, 200_000))     # a kernel that would be cut in chunks
    table, weight = normal(7, 2), normal(200_000, 2, seed=1, requires_grad=False)
    check([total(ops.index(table, many, axes=(0,)) * weight)], [table])


@pytest.mark.parametrize("bad", [4, -5, 2**62])
def test_a_position_out_of_bounds_raises_the_interpreters_error(bad: int) -> None:
    x, where = normal(4, 3), at(0, bad, 99)
    for y in (ops.index(x, where, axes=(0,)), ops.index_put_add(x, normal(3, 3), where, axes=(0,)),
              ops.take_along(x, at([0, bad, 1]), dim=0), ops.take_along(x, at([bad]), dim=1)):
        r = request([total(y)])
        with pytest.raises((IndexError, RuntimeError)) as compiled:
            build(r).run(r.order)
        with pytest.raises(type(compiled.value)) as interpreted:
            reference(r)
        assert str(compiled.value) == str(interpreted.value)


def test_positions_in_an_empty_array_raise() -> None:
    r = request([ops.index(leaf(np.zeros((0, 2))), at(0), axes=(0,))])
    with pytest.raises(IndexError, match="out of bounds"):
        build(r).run(r.order)
    check([ops.index(leaf(np.zeros((0, 2))), leaf(np.zeros(0, np.int64)), axes=(0,))])


# -- losses and public operators -------------------------------------------------------------------------------------

def program_of(loss: jitgrad.Tensor) -> Program:
    captured = capture_graph([loss._current()])
    return schedule_cache.program_for(captured, loss._current())[1].whole(captured.order)


def test_cross_entropy_reads_the_logits_in_one_kernel() -> None:
    rng = np.random.default_rng(0)
    x = jitgrad.tensor(rng.normal(size=(6, 5)), requires_grad=True)
    program = program_of(functional.cross_entropy(x, jitgrad.tensor(rng.integers(0, 5, 6))))
    assert checks(program) == 1 and sum(["exp" in [name for name, _ in k.ops] for k in program.kernels]) == 1
    assert [k.domain.count(",") for k in program.kernels].count(1) == 1


@pytest.mark.parametrize("name", ["max", "min"])
def test_the_largest_of_each_row_needs_no_library_call(name: str) -> None:
    x = jitgrad.tensor(np.random.default_rng(0).normal(size=(6, 5)), requires_grad=True)
    program = program_of(getattr(x, name)(1)[0].sum())
    assert counts(program) == (2, 0)


def test_a_broadcast_difference_that_blas_needs_is_not_read_back_by_loops() -> None:
    x, mu, w = normal(1, 6, 4, requires_grad=False), normal(3, 1, 4, seed=1), normal(3, 4, 4, seed=2)
    centred = x - mu
    program = check([total(ops.square(centred + ops.matmul(centred, w)))], [mu, w])
    [writer] = [k for k in program.kernels if [name for name, _ in k.ops] == ["sub"]]
    assert not any([w in k.reads for k in program.kernels for w in writer.writes])


def test_a_formula_of_a_product_with_a_vector_has_loops_of_its_own() -> None:
    """There it is computed for several rows at a time; cheap work stays where the rows are read, once."""
    rng = np.random.default_rng(0)
    x, y = jitgrad.tensor(rng.normal(size=(6, 5))), jitgrad.tensor(rng.random(6))
    w = jitgrad.tensor(rng.normal(size=5), requires_grad=True)
    program = program_of(functional.binary_cross_entropy_with_logits(x @ w, y))
    formulas = [k for k in program.kernels if {"sigmoid", "softplus"} & {name for name, _ in k.ops}]
    assert len(formulas) == 1 and "," not in formulas[0].domain
    assert sum(["," in k.domain for k in program.kernels]) == 2
    program = program_of(((x @ w - y) ** 2).sum())
    assert sum(["," in k.domain for k in program.kernels]) == 1


# -- accuracy --------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("columns", [1, 3])
def test_long_sums_over_leading_dimensions_keep_their_accuracy(columns: int) -> None:
    x = leaf(np.full((1, 200_000, columns), 0.1, np.float32))
    w = leaf(np.ones(columns, np.float32))
    y = x * w
    loss = total(y)
    r = request([ops.sum(y, axes=(0, 1)), ops.sum(ops.exp(y - ops.amax(y, axes=(2,))), axes=(0, 1, 2)), loss], [w], root=loss)
    results = build(r).run(r.order)
    exact = 200_000 * float(np.float32(0.1))
    for got, want in zip(results, [exact, 200_000 * columns, exact * columns, exact], strict=True):
        assert got is not None
        np.testing.assert_allclose(got.ravel(), want, rtol=2e-5)       # one after the other: 2e-4


@pytest.mark.parametrize("view", ["x.reshape(-1)", "x.view(3, 2)", "x.flatten()", "x.repeat(2, 1)"])
def test_what_is_seen_in_another_shape_is_stored_before_it_is_read(view: str) -> None:
    leaf = jitgrad.ones(2, 3, requires_grad=True)
    eval(f"{view}.sum()", {"x": leaf * 1}).backward()
    assert leaf.grad is not None
    assert leaf.grad.tolist() == [[1.0 + (".repeat" in view)] * 3] * 2


def test_a_buffer_that_nothing_writes_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    from jitgrad.compiler.fusion import fuse
    from jitgrad.errors import InternalError
    run = fuse.Fusion.run
    monkeypatch.setattr(fuse.Fusion, "run", lambda self: fuse.Fused((fused := run(self)).steps[1:], fused.buffers))
    x, y = normal(8, 9), normal(9, 7, seed=1)
    with pytest.raises(InternalError, match="which nothing has written"):
        build(request([total(ops.exp(ops.matmul(ops.sin(x), y)))], [x, y]))


# -- loops of stencils -----------------------------------------------------------------------------------------------

def runge_kutta(steps: int) -> tuple[Program, int]:
    """The program of some steps of y0' = x0, yi' = xi * y(i-1), and the bytes of its temporaries, for 1000 elements."""
    x = jitgrad.linspace(0.0, 1.0, 1000, dtype=jitgrad.float64).requires_grad_()
    y = jitgrad.zeros(1000, dtype=jitgrad.float64)

    def f(y):
        return jitgrad.cat([x[:1], x[1:] * y[:-1]])

    for _ in range(steps):
        k1 = f(y)
        k2 = f(y + 0.25 * k1)
        k3 = f(y + 0.25 * k2)
        k4 = f(y + 0.5 * k3)
        y = y + (0.5 / 6) * (k1 + 2.0 * k2 + 2.0 * k3 + k4)
    root = y.sum()._node
    capture = capture_graph([root])
    program = schedule_cache.program_for(capture, root)[1]
    program.run(capture.order)
    return program.whole(capture.order), program.bind(capture.order).bound.plan.arena_bytes


def test_parts_of_what_is_in_memory_are_read_there() -> None:
    program, _ = runge_kutta(3)
    steps = [s for s in program.listing().steps if isinstance(s, KernelStep)]
    forward = steps[:next(k for k, s in enumerate(steps) if "output" in "".join([program.listing().buffers[b].kind for b in s.writes]))]
    assert max(len(s.reads) for s in forward) <= 5


def test_arrays_of_a_long_derivative_share_memory() -> None:
    """Five arrays a step are kept for the derivative at most; those that it computes itself take the place of used ones."""
    (_, few), (_, many) = runge_kutta(10), runge_kutta(20)
    assert many - few < 10 * 5.5 * 8000
