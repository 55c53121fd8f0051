"""Machine code of operators against their Python functions: it must record the same, and do so by itself."""
from __future__ import annotations

import copy
import functools
import gc
import inspect
import os
import pickle
import re
import subprocess
import sys
import threading
from typing import Any, NamedTuple

import numpy as np
import oracle
import pytest
import test_operators as operators

import jitgrad
from jitgrad import tracing
from jitgrad.autograd.reverse import engine
from jitgrad.graph.node import INPUT, Composite, Node
from jitgrad.graph.recording import input_node
from jitgrad.operators.native import entry_points, layout, loading, objects
from jitgrad.operators.native.entry_points import ENTRY_POINTS, EntryPoint
from jitgrad.operators.native.learning import table, templates
from jitgrad.operators.provenance import PACKAGE
from jitgrad.requests import schedule_cache
from jitgrad.tensors.tensor import Tensor, wrap

pytestmark = pytest.mark.skipif(not objects.SUPPORTED, reason="objects cannot be read by address")

FLOATS = "xypqduvszefgbw"
SQUARE = "(x[:, :2] @ x[:, :2].T + 3 * T.eye(2))"
FROM_MATRICES = [
    *[f"T.linalg.{name}({SQUARE})" for name in ("inv det slogdet cholesky qr eigh eigvalsh svd svdvals pinv matrix_rank inv_ex cond "
                                                "norm matrix_norm vector_norm cholesky_ex diagonal").split()],
    *[f"T.{name}({SQUARE})" for name in "inverse det slogdet logdet cholesky cholesky_inverse svd pinverse qr".split()],
    *[f"T.linalg.{call}" for call in (f"solve({SQUARE}, x)", f"solve_ex({SQUARE}, x)",
                                      f"solve_triangular({SQUARE}, x, upper=True)",
                                      f"matrix_power({SQUARE}, 3)", f"matrix_power({SQUARE}, 0)", f"multi_dot([{SQUARE}, x, v])",
                                      "cross(x, y)", "vecdot(x, y)", "norm(x, 'nuc')", f"tensorinv({SQUARE}, ind=1)",
                                      f"tensorsolve({SQUARE}, x[:, 0])")],
    f"T.triangular_solve(x, {SQUARE})", f"T.cholesky_solve(x, {SQUARE})", f"T.matrix_power({SQUARE}, 2)", f"T.trace({SQUARE})",
    f"T.chain_matmul({SQUARE}, x)", "T.tensordot(x, y, 2)", "T.inner(x, y)", "T.baddbmm(b[:, :3, :3], b[:, :3, :3], b[:, :3, :3])",
    "T.addbmm(b[0, :3, :3], b[:, :3, :3], b[:, :3, :3])", "T.addmv(x[:, 0], x, v)", "T.addr(x, x[:, 0], v)", "T.ger(v, v)",
    "T.vdot(v, v)",
    "T.kron(x, v)", "T.cross(x, y)", "T.dist(x, y)", "T.renorm(x, 2, 0, 1)", "T.cdist(x, y)"]
FROM_ROWS = [
    *[f"T.{name}(x, 1)" for name in "cumsum cumprod logcumsumexp cummax cummin sort argsort topk kthvalue diag_embed diag".split()],
    *[f"T.{name}(x)" for name in ("diff trapezoid trapz cumulative_trapezoid msort triu tril diagonal diagflat fliplr flipud rot90 "
                                  "adjoint nansum erfinv sinc deg2rad rad2deg signbit isposinf isneginf isreal "
                                  "conj_physical angle").split()],
    "T.sort(x, stable=True)", "T.argsort(x, stable=True)", "T.diagonal_scatter(x, v[:2])", "T.mvlgamma(q, 2)", "T.polygamma(1, q)",
    "T.xlogy(x, p)", "T.logaddexp2(x, y)", "T.float_power(x, 2)", "T.ldexp(x, y)",
    "T.special.entr(p)", "T.special.ndtr(x)", "T.special.ndtri(p)", "T.special.xlog1py(x, p)"]
FROM_POSITIONS = [
    "T.scatter(x, 1, T.tensor([[0, 2], [1, 0]]), y)", "T.scatter(x, 1, T.tensor([[0, 2], [1, 0]]), 2.5)",
    "T.scatter(x, 1, T.tensor([[0, 2], [1, 0]]), y, reduce='add')", "T.scatter_add(x, 1, T.tensor([[0, 2], [1, 0]]), y)",
    "T.scatter(x, 1, T.tensor([[0, 2], [1, 0]]), 2.5, reduce='add')",
    "T.scatter_reduce(x, 1, T.tensor([[0, 2], [1, 0]]), y, 'mean')", "T.put(x, c, v[:2])", "T.take(x, c)", "x.unfold(1, 2, 1)"]
FROM_LAYERS = [f"T.nn.functional.{call}" for call in (
    "pad(x, (1, 1))", "layer_norm(x, x.shape[1:])", "batch_norm(x, None, None, training=True)", "conv1d(b, b[:1, :, :2])",
    "conv2d(b[None], b[None, :, :2, :2])", "avg_pool2d(b, 2)", "max_pool2d(b, 2)", "normalize(x)", "cosine_similarity(x, y)",
    "embedding(c, x)", "kl_div(x, y)", "hinge_embedding_loss(x, y)", "margin_ranking_loss(x, y, y)", "soft_margin_loss(x, y)",
    "poisson_nll_loss(x, y)", "gaussian_nll_loss(x, y, p)", "triplet_margin_loss(x, y, p)", "cosine_embedding_loss(x, y, T.ones(2))")]
EXPRESSIONS = [
    *FROM_LAYERS, *FROM_MATRICES, *FROM_ROWS, *FROM_POSITIONS,
    *[f"T.{name}({operand})" for name in operators.UNARY for operand in ("x", "p", "s", "e", "w", "h")],
    *[f"x.{name}()" for name in operators.UNARY],
    *[f"T.{name}({pair})" for name in operators.BINARY
      for pair in ("x, y", "x, x", "x, v", "h, y", "y, h", "h, h", "s, x", "e, v", "x, d", "b, b[:1, :, :1]", "P, x")],
    *[f"T.{name}(x, {n})" for name in "add sub mul div eq ne lt le gt ge".split() for n in ("2", "2.5", "True")],
    *operators.SYMBOLS, *operators.TERNARY, *operators.REDUCTIONS, *operators.SHAPES, *operators.PRODUCTS, *operators.FUNCTIONAL,
    *[f"{operand}.{name}({arguments})"
      for name in "sum mean prod amax amin max min var std logsumexp any all argmax argmin count_nonzero norm".split()
      for operand in ("x", "b", "h", "w") for arguments in ("", "0", "dim=-1", "dim=0, keepdim=True") if (name, arguments[:1]) not in
      (("logsumexp", ""), ("norm", "0"))],
    *[f"F.{name}({operand})" for name in operators.ACTIVATIONS for operand in ("x", "h", "e", "w", "P")],
    *[f"T.{name}(x)"
      for name in ("arcsin", "arccos", "arctan", "arcsinh", "arccosh", "arctanh", "fix", "sgn", "negative", "absolute")],
    *[f"T.{name}(x, y)" for name in ("subtract", "multiply", "true_divide", "divide", "not_equal", "less", "less_equal", "greater",
                                     "greater_equal", "arctan2", "heaviside", "allclose", "equal", "logical_and", "logical_or",
                                     "logical_xor", "floor_divide")],
    "b[1]", "b[-1]", "b[:, 1]", "b[0:1]", "b[:, 1:, ::2]", "b[0, :, 1]", "b[1, 2, 3]", "b[None]", "x[x > 0]", "b[0][1:]", "b.T",
    "x.t()[1]",
    "h[0]", "h[:, 1:]", "h.t()", "h.view(6)", "h.reshape(3, 2)", "h.transpose(dim0=0, dim1=1)", "T.transpose(x, dim0=0, dim1=1)",
    "x[:, 1:].t().unsqueeze(0).squeeze(0)", "P[0]", "P.t()", "P * P", "T.cat([x, h, P])", "T.stack((h, h), dim=1)", "T.cat([h] * 6)",
    "h.view_as(x)", "x.reshape_as(h)", "x.swapdims(0, 1)", "T.add(h, y, alpha=2)", "T.add(h, y, alpha=2.5)", "T.add(x, y, alpha=1)",
    "T.gather(x, 0, T.tensor([[0, 1, 0]]))", "T.take_along_dim(x, T.tensor([[0, 1, 0]]), 1)", "x.index_select(1, T.tensor([2, 0]))",
    "x.to(T.float64)", "x.max(1).values", "T.var_mean(x, 1)[0]",
    "T.lerp(h, x, 0.5)", "x.masked_select(m)", "x.ravel()", "T.concatenate([x, y])", "T.where(m, h, 0.5)",
    "F.linear(x, P, s.expand(2))", "T.matmul(b, b.mT)", "h @ v", "h ** 2", "2.5 - h", "1 / h",
]
# Entry points whose results are no tensors, depend on values, or are views as large as another tensor, or of which there are no floats.
NEVER = {*"allclose equal masked_select binary_cross_entropy view_as reshape_as expand_as bitwise_and bitwise_or bitwise_xor "
           "bitwise_left_shift bitwise_right_shift __lshift__ __rshift__".split(),
         # of layers, which Python records
         *("avg_pool2d batch_norm cosine_embedding_loss cosine_similarity embedding gaussian_nll_loss hinge_embedding_loss kl_div "
           "layer_norm margin_ranking_loss normalize poisson_nll_loss soft_margin_loss triplet_margin_loss").split(),
         "linalg_matrix_rank"}      # which detaches its operand


@pytest.fixture(autouse=True)
def native_code(request):
    """Machine code that has learnt nothing yet, even in a run without; without it again after that."""
    engine.machine_code()
    assert loading.functions is not None
    entry_points.give_code(loading.functions.record, loading.PatternWords.shared, templates.learner)
    yield
    use_code(not request.config.getoption("--plain"))


def use_code(on: bool) -> None:
    if on:
        assert loading.functions is not None
        for definition in entry_points._definitions:
            definition.code = loading.functions.record
    else:
        entry_points.take_code()


# What stands in for an operator's Python function, in a file that is the package's, so that it is no user's line.
_SPY = compile("def spy(function, note, name):\n"
               "    def call(*args, **kwargs):\n"
               "        note.append(name)\n"
               "        return function(*args, **kwargs)\n"
               "    return call\n", f"{PACKAGE}/spy.py", "exec")


class Forwarded:
    """While entered: the names of entry points, of those calls that machine code forwards though it might have learnt them.

    reference: forward all of these to the Python functions."""

    def __init__(self, reference: bool) -> None:
        self.reference = reference
        self.names: list[str] = []

    def __enter__(self) -> list[str]:
        names: dict[str, Any] = {}
        exec(_SPY, names)
        self.kept = []
        for state in entry_points._states:
            spy = names["spy"](state.func if self.reference else state.learner, self.names, state.name)
            header = state.header.copy()
            self.kept.append((state, header, spy))
            state.header[layout.LEARNER] = id(spy)
            if self.reference:
                empty = np.zeros(state.entries * layout.ENTRY, np.int64)
                self.kept[-1] += (empty,)
                state.header[layout.TABLE] = empty.ctypes.data
        return self.names

    def __exit__(self, *exception: Any) -> None:
        for state, header, *_ in self.kept:
            state.header[:] = header


# -- what was recorded, as data --------------------------------------------------------------------------------------


def recorded(results: list[Tensor], operands: dict[Node, str], namespace: dict[str, Any]) -> list[Any]:
    """All that an operator has left on its results and the nodes below, down to the operands, which are named."""
    names: dict[Node, Any] = dict(operands)
    found: list[Any] = []
    shared: dict[Any, Any] = {}         # storages and versions, by order of appearance
    for node, text in operands.items():
        if node.extra is not None and node.extra.cell is not None:
            shared[node.extra.cell] = text
    for text, tensor in namespace.items():
        if isinstance(tensor, Tensor):
            shared[tensor._storage] = text

    def label(value: Any) -> Any:
        return None if value is None else shared.setdefault(value, len(shared))

    def name(node: Node | None) -> Any:
        return None if node is None else names[node]

    def go(root: Node) -> None:
        stack = [root]
        while stack:
            node = stack[-1]
            below = [n for n in node.inputs if n not in names]
            if node in names or not below:
                stack.pop()
                if node in names:
                    continue
                names[node] = len(names)
                spec, extra = node.spec, node.extra
                fn = None if extra is None else extra.fn
                owner: Any = None
                if fn is not None:
                    assert type(fn) is Composite
                    owner = (fn.name, [name(n) for n in fn.inputs], fn.saves and [name(n) for n in fn.saves], fn.saves_result,
                             fn.number)
                value = node.value
                found.append(Where(place(node.line), node.depth))
                found.append((spec.op.name, spec.params, spec.sizes, spec.type, [name(n) for n in node.inputs], node.requires_grad,
                              (type(value), repr(value)), node.run, owner, extra is None or spec.op is INPUT or (
                                  extra.watch, extra.leaf, label(extra.cell), extra.version, extra.in_place, extra.held, extra.reach)))
            else:
                stack += below

    for tensor in results:
        go(tensor._node)
        found.append((type(tensor), names[tensor._node], tensor._node.depth, label(tensor._storage), tensor._chain, tensor._seen,
                      tensor._tracks_version, sorted(vars(tensor)), tensor.requires_grad, grad_fn(tensor)))
    return found


class Where(NamedTuple):
    """Of a node: what may be more where a template is followed."""

    line: Any
    depth: int


def place(line: Any) -> Any:
    """Where in the text a line is.  (CPython 3.12 shows another instruction once it has specialised the reading of a property.)"""
    return None if line is None else (line[0], [*line[0].co_positions()][line[1] // 2])


def same(got: list[Any], expected: list[Any]) -> bool:
    """Inside an operator a template gives all nodes the user's line, and counts depths from the deepest operand."""
    if len(got) != len(expected):
        return False
    for a, b in zip(got, expected, strict=True):
        if type(a) is Where and type(b) is Where:
            if (b.line is not None and a.line != b.line) or a.depth < b.depth or (a.depth > 0) != (b.depth > 0):
                return False
        elif a != b:
            return False
    return True


def grad_fn(tensor: Tensor) -> Any:
    """Names and structure of the functions that backward goes through."""
    names: dict[Any, int] = {}
    found = []
    stack = [tensor.grad_fn]
    while stack:
        fn = stack.pop()
        if fn is None or fn in names:
            continue
        names[fn] = len(names)
        edges = [(n if n is None else n.name(), k) for n, k in fn.next_functions]
        found.append((fn.name(), edges))
        stack += [n for n, _ in fn.next_functions]
    return found


def tensors(result: Any) -> list[Tensor]:
    if isinstance(result, Tensor):
        return [result]
    return [t for part in result for t in tensors(part)] if isinstance(result, (tuple, list)) else []


def namespace() -> dict[str, Any]:
    """The oracle's tensors, those of floating point with a gradient; `h` is pending, `P` a parameter."""
    with jitgrad.no_grad():
        names = oracle.namespace(jitgrad)
    for name in FLOATS:
        if name != "w":
            names[name].requires_grad_()
    names["w"] = names["d"].t()
    names["h"] = names["x"] * 1.5
    names["P"] = jitgrad.nn.Parameter(names["y"].detach().clone())
    for name in FLOATS + "hP":          # a storage that a first view makes is there for all
        names[name]._ensure_storage()
    return names


NAMES = functools.cache(namespace)


def evaluated(program: Any, names: dict[str, Any], operands: dict[Node, str], kept: list[Any]) -> list[Any]:
    """What an expression records.  kept: where its result stays, so that no address is used again."""
    result = eval(program, names)
    kept.append(result)
    return [type(result), *recorded(tensors(result), operands, names)]


@functools.cache
def faces_recorded(chunk: int) -> set[str]:
    """The entry points that machine code recorded by in an eighth of the expressions; in each it must record what Python records."""
    found: set[str] = set()
    names = NAMES()
    operands = {v._current(): n for n, v in names.items() if isinstance(v, Tensor)}
    calls = 0
    kept: list[Any] = []
    for text in EXPRESSIONS[chunk::8]:
        record = functools.partial(evaluated, compile(text, f"<{chunk}>", "eval"), names, operands, kept)
        try:
            with Forwarded(reference=True) as possible:
                expected = record()
        except Exception as error:
            for _ in range(3):
                with pytest.raises(type(error), match=re.escape(str(error).split(" - got ")[0])):
                    record()
            continue
        possible = list(possible)
        record()
        record()
        with Forwarded(reference=False) as missed:
            got = record()
        calls += len(possible) - len(missed)
        assert same(got, expected), f"{text}: {got}, Python: {expected}"
        found |= {*possible} - {*missed}
    assert calls > 50
    return found


@pytest.mark.parametrize("chunk", range(8))
@pytest.mark.filterwarnings("ignore")
def test_records_what_python_records(chunk: int) -> None:
    assert faces_recorded(chunk)


@pytest.mark.filterwarnings("ignore")
def test_every_face_records_by_machine_code() -> None:
    found = set().union(*map(faces_recorded, range(8)))
    assert {state.name for state in entry_points._states if state.kind < layout.UPDATES} - found == NEVER


@pytest.mark.parametrize("numbers", ["constants", "with a gradient"])
@pytest.mark.filterwarnings("ignore")
def test_evaluates_what_python_computes(numbers: str) -> None:
    """Where nothing is recorded: the same values, types and dtypes from the first call on, and nearly all by machine code."""
    names = oracle.namespace(jitgrad) if numbers == "constants" else NAMES()
    missed_calls = all_calls = 0
    with jitgrad.no_grad():
        names = {**names, "h": names["x"] * 1.5, "P": names["y"].clone()}
        for text in EXPRESSIONS:
            program = compile(text, "<known>", "eval")
            try:
                with Forwarded(reference=True):
                    expected = eval(program, names)
            except Exception as error:
                for _ in range(3):
                    with pytest.raises(type(error), match=re.escape(str(error).split(" - got ")[0])):
                        eval(program, names)
                continue
            for _ in range(3):
                with Forwarded(reference=False) as missed:
                    got = eval(program, names)
                assert type(got) is type(expected), text
                assert len(tensors(got)) == len(tensors(expected))
                for a, b in zip(tensors(got), tensors(expected), strict=True):
                    assert a.dtype is b.dtype and a.shape == b.shape and a.requires_grad is b.requires_grad, text
                    if not a.dtype.is_floating_point:
                        assert a._array().tobytes() == b._array().tobytes(), text
                    else:           # what is pending or postponed may be computed by a program
                        np.testing.assert_allclose(a._array(), b._array(), rtol=1e-6, atol=1e-7, err_msg=text)
            missed_calls += len(missed)
            all_calls += 1
    assert missed_calls < all_calls / 20, missed_calls


def test_numbers_among_known_operands_are_arguments() -> None:
    x, i = jitgrad.tensor([1.0, -2.0]), jitgrad.tensor([3, 4])
    for k in range(6):
        assert (x * k).tolist() == [k, -2 * k] and (k + 0.5 - x).tolist() == [k - 0.5, k + 2.5]
        assert (i * k).tolist() == [3 * k, 4 * k] and (i * (k + 0.5)).dtype is jitgrad.float32
        assert (x / (2 ** k - 1)).tolist()[0] == (float("inf") if not k else float(np.float32(1 / (2 ** k - 1))))
        assert (x * (k + 0.25)).tolist() == [k + 0.25, -2 * k - 0.5]
    with Forwarded(reference=False) as missed:
        assert (x * 17.25).tolist() == [17.25, -34.5] and (x * 17).tolist() == [17, -34]
    assert not missed
    for _ in range(3):
        with pytest.raises(OverflowError):
            x * 10**400


def test_integers_beside_tensors_of_integers_are_arguments() -> None:
    i, small, seen = jitgrad.arange(-2, 3), jitgrad.tensor([250, 7], dtype=jitgrad.uint8), []
    for k in range(1, 7):
        values = [-2, -1, 0, 1, 2]
        assert (i + k).tolist() == [v + k for v in values] and (k - i).tolist() == [k - v for v in values]
        assert (i == k).tolist() == [v == k for v in values] and (small + k).tolist() == [(250 + k) % 256, 7 + k]
        assert (i + k).dtype is jitgrad.int64 and (i + k * 1.0).dtype is jitgrad.float32 and (i * 2**40)[0].item() == -2**41
        with Forwarded(reference=False) as missed:
            (i + k * 100), (k * 3 - i), (i < 7 * k), (i % 3), (i // 2)
        seen.append(missed)
    assert not seen[-1]
    for _ in range(3):
        with pytest.raises(OverflowError, match="too big"):
            i + 2**70
        for divide in (lambda: i % 0, lambda: i // 0, lambda: jitgrad.div(i, 0, rounding_mode="floor"), lambda: i // i):
            with pytest.raises(RuntimeError, match="ZeroDivisionError"):
                divide()
        assert jitgrad.div(i, 2, rounding_mode="floor").tolist() == [-1, -1, 0, 0, 1]
        assert (i // (i + 3)).tolist() == [-2, -1, 0, 0, 0]


def test_operators_made_of_others_are_evaluated_as_a_whole() -> None:
    x, at = jitgrad.tensor([3.0, -1.0, 2.0]), jitgrad.tensor([2, -3])
    for k in range(6):
        y = x + k
        with Forwarded(reference=False) as missed:
            found = [y.sort()[0], y.max(), y @ y, jitgrad.where(y > k, y, -y)]
        assert [v.tolist() for v in found] == [[k - 1.0, k + 2.0, k + 3.0], k + 3.0, sum([(v + k) ** 2 for v in (3, -1, 2)]),
                                               [k + 3.0, 1.0 - k, k + 2.0]]
        assert y[at].tolist() == [k + 2.0, k + 3.0]
        with pytest.raises(IndexError, match="index 3 is out of bounds for dimension 0 with size 3"):
            y[jitgrad.tensor([0, 3])]
    assert not missed


def test_an_operator_of_known_operands_that_looks_is_asked_each_time() -> None:
    for k in range(5):
        x = jitgrad.tensor([1.0, 2.0, float(k)])
        assert jitgrad.masked_select(x, x > 1.5).tolist() == [v for v in (1.0, 2.0, float(k)) if v > 1.5]
        assert jitgrad.sum(x, jitgrad.tensor(0)).item() == 3 + k
        index = jitgrad.tensor([k % 3])
        assert jitgrad.take_along_dim(x, index, 0).item() == (1, 2, k)[k % 3]


def test_an_operator_inside_the_package_has_the_users_line() -> None:
    x = jitgrad.ones(2, 3, requires_grad=True)
    layer = jitgrad.nn.Softmax(1)
    for _ in range(4):
        y = layer(x)
    line = y._node.line
    assert line is not None and line[0] is inspect.currentframe().f_code        # type: ignore[union-attr]


# -- references ------------------------------------------------------------------------------------------------------

LOOPED = ["x * y", "x + 2.5", "3 - x", "T.exp(h)", "b[:, 1:, ::2]", "x.t()", "b.max(1)", "T.cat([x, h])", "F.linear(x, P, s.expand(2))",
          "T.add(x, y, alpha=2)", "x.softmax(-1)", "x.sum(dim=0, keepdim=True)", "F.cross_entropy(x, c)", "x.view(3, 2)"]


def test_nothing_is_kept_of_a_call() -> None:
    names = NAMES()
    program = compile(f"({', '.join(LOOPED)})", "<loop>", "eval")
    given = [v for v in names.values() if isinstance(v, Tensor)]
    held = [*given, *[v._current() for v in given], *[v._current().spec for v in given],
            program, None, True, False, Tensor, Node, Composite, 0, 1]

    def count() -> list[int]:
        gc.collect()
        return [*[sys.getrefcount(v) for v in held], len(gc.get_objects())]

    for _ in range(50):
        eval(program, names)
    for _ in range(2):
        before = count()
    blocks = sys.getallocatedblocks()
    with Forwarded(reference=False) as missed:
        for _ in range(2000):
            eval(program, names)
    assert not missed
    assert all([abs(a - b) <= 20 for a, b in zip(before, count(), strict=True)])
    assert abs(sys.getallocatedblocks() - blocks) < 500


def test_an_exception_lets_go_of_everything() -> None:
    x = jitgrad.ones(3, requires_grad=True)
    node = x._current()
    for _ in range(3):
        x * 2
    before = sys.getrefcount(node)
    for _ in range(100):
        with pytest.raises(OverflowError):
            x * 10**400
        with pytest.raises(TypeError):
            jitgrad.exp(x, x)
        with pytest.raises(RuntimeError):
            x * jitgrad.ones(2)
    assert sys.getrefcount(node) <= before + 2


def test_objects_are_whole_whenever_the_collector_comes() -> None:
    x = jitgrad.ones(4, 3, requires_grad=True)
    limits = gc.get_threshold()
    gc.set_threshold(1)
    try:
        for _ in range(20):
            y = jitgrad.cat([x, x[:, 1:] * 2.5], 1).max(1).values.sum()
            x.grad = None
            y.backward()
    finally:
        gc.set_threshold(*limits)
    assert x.grad is not None and x.grad[0].tolist() == [0, 2.5, 0]


def test_many_different_calls_take_little_memory() -> None:
    x = jitgrad.ones(3, requires_grad=True)
    state = ENTRY_POINTS["clamp_min"].__self__
    for i in range(2000):
        jitgrad.clamp_min(x, i / 7)
    assert len(state.templates) <= layout.ENTRIES


def test_an_entry_is_replaced_at_once() -> None:
    """Threads that learn into one table: what is found is of the call."""
    x = jitgrad.tensor([1.0, 2.0, 3.0], requires_grad=True)
    state = ENTRY_POINTS["clamp"].__self__
    interval = sys.getswitchinterval()
    wrong = []

    def learn(of: int) -> None:
        for i in range(300):
            low = of + i / 1000
            for _ in range(2):
                y = jitgrad.clamp(x, low, 1000.0)
                literals = [n.value for n in y._node.inputs if not n.inputs and n.value is not None and n is not x._node]
                if literals and low not in literals:
                    wrong.append((low, literals))

    sys.setswitchinterval(1e-6)
    state.left = 10_000
    try:
        threads = [threading.Thread(target=learn, args=(of,)) for of in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
        state.left = 0
    assert not wrong
    for place, template in state.templates.items():
        assert type(template) is table.Encoded and state.table[place * layout.ENTRY + layout.TEMPLATE] == id(template)


# -- what decides what is recorded -----------------------------------------------------------------------------------

def test_modes_and_defaults_hold_for_each_call() -> None:
    x = jitgrad.tensor([1.0, 2.0], requires_grad=True)
    i = jitgrad.tensor([1, 2])
    for _ in range(3):
        assert (x * 2).requires_grad
        with jitgrad.no_grad():
            assert not (x * 2).requires_grad
            with jitgrad.enable_grad():
                assert (x * 2).requires_grad
        with jitgrad.inference_mode():
            assert not (x * 2).requires_grad
        assert (x / i).dtype is jitgrad.float32
    jitgrad.set_default_dtype(jitgrad.float64)
    try:
        assert [(x.double() * i.sum()).dtype for _ in range(3)] == [jitgrad.float64] * 3
        assert [(x.max() > 1.5).dtype for _ in range(3)] == [jitgrad.bool] * 3
        assert [jitgrad.sqrt(i).dtype for _ in range(3)] == [jitgrad.float64] * 3
    finally:
        jitgrad.set_default_dtype(jitgrad.float32)
    seen = []
    thread = threading.Thread(target=lambda: seen.append((x * 2).requires_grad))
    with jitgrad.no_grad():
        thread.start()
        thread.join()
    assert seen == [True]


def test_a_number_by_name_may_change_the_formula() -> None:
    x, y = (jitgrad.tensor([1.0, 2.0], requires_grad=True) for _ in range(2))
    for _ in range(4):
        assert {n.spec.op.name for n in jitgrad.add(x, y, alpha=2)._node.inputs} == {"input", "mul"}
    assert {n.spec.op.name for n in jitgrad.add(x, y, alpha=1)._node.inputs} == {"input"}


def test_tensors_by_name() -> None:
    x = jitgrad.ones(2, 3, requires_grad=True)
    for _ in range(4):
        assert jitgrad.transpose(input=x, dim0=0, dim1=1).shape == (3, 2)
        assert jitgrad.squeeze(input=x).shape == (2, 3)
        assert jitgrad.exp(input=x).requires_grad


def test_subclasses_and_other_operands() -> None:
    class Mine(Tensor):
        def __mul__(self, other: Any) -> Any:
            return "mine"

        __rmul__ = __mul__

    mine = Mine([1.0, 2.0])
    x = jitgrad.tensor([1.0, 2.0], requires_grad=True)
    for _ in range(4):
        assert x * mine == mine * x == mine * 2 == 2 * mine == "mine"
        assert type(x + mine) is type(mine + x) is Tensor
        assert Tensor.__mul__(x, "a") is NotImplemented
        assert Tensor.__mul__(x, None) is NotImplemented
        with pytest.raises(TypeError):
            jitgrad.exp(3)
        with pytest.raises(TypeError):
            Tensor.view(3, 4)


def test_a_list_that_changes_and_a_tensor_written_to() -> None:
    x, y = (jitgrad.tensor([float(k)], requires_grad=True) for k in range(2))
    parts = [x, y]
    for _ in range(4):
        assert jitgrad.cat(parts).tolist() == [0, 1]
    parts.append(y)
    assert jitgrad.cat(parts).tolist() == [0, 1, 1]
    h = y * 1
    for k in range(4):
        view = h[0:]
        h.add_(1)
        assert jitgrad.cat([h, view]).tolist() == [2 + k, 2 + k] and (h * 2).item() == 4 + 2 * k


# -- known graphs ----------------------------------------------------------------------------------------------------

def loss(x: Tensor, w: Tensor) -> Tensor:
    return ((x @ w.t()).tanh() * w.sum()).mean() * 2


def warmed() -> tuple[Tensor, Tensor, np.ndarray]:
    """Operands of a loss that machine code goes through, and w's gradient."""
    generator = np.random.default_rng(0)
    x = jitgrad.tensor(generator.normal(size=(5, 3)))
    w = jitgrad.nn.Parameter(jitgrad.tensor(generator.normal(size=(4, 3))))
    for _ in range(4):
        w.grad = None
        loss(x, w).backward()
    w.grad = None
    [g] = jitgrad.autograd.grad(loss(x, w), w, create_graph=True)       # by the interpreter
    return x, w, g.detach().numpy()


def goes_again(root: Tensor) -> bool:
    """backward() by machine code: whether that was all."""
    return any([p.again is not None and p.again(root._current()) for p in root._current().spec.patterns])


def test_a_known_graph_is_delivered_as_in_general() -> None:
    x, w, expected = warmed()
    for k in range(1, 4):
        root = loss(x, w)
        assert goes_again(root)
        np.testing.assert_allclose(w.grad.numpy(), k * expected, rtol=1e-12)
        assert type(w.grad) is Tensor and w.grad.is_leaf and not w.grad.requires_grad
        np.testing.assert_allclose(root.item(), loss(x, w).item(), rtol=1e-12)
        with pytest.raises(RuntimeError, match="second time"):
            root.backward()
    before = w.grad
    loss(x, w).backward()
    assert w.grad is before


def test_what_a_known_graph_must_not_do() -> None:
    """Each of these goes the general way: what machine code does not know of is refused before anything has happened."""
    x, w, expected = warmed()
    root = loss(x, w)
    root.backward(retain_graph=True)
    assert goes_again(root) and not goes_again(root)        # retained, then freed
    np.testing.assert_allclose(w.grad.numpy(), 2 * expected, rtol=1e-12)
    w.grad = None

    calls: list[Any] = []
    for register in (w.register_hook, w.register_post_accumulate_grad_hook):
        root = loss(x, w)
        handle = register(calls.append)
        assert not goes_again(root)
        root.backward()
        handle.remove()
    assert len(calls) == 2 and goes_again(loss(x, w))

    hidden = (x @ w.t()).tanh()
    root = (hidden * w.sum()).mean() * 2
    hidden.register_hook(calls.append)
    assert not goes_again(root)
    root.backward()
    assert len(calls) == 3

    root = loss(x, w)
    with jitgrad.no_grad():
        w.add_(1)
    w.grad = None
    assert not goes_again(root)
    root.backward()                 # PyTorch saves nothing of w here
    np.testing.assert_allclose(w.grad.numpy(), expected, rtol=1e-12)
    with jitgrad.no_grad():
        w.sub_(1)
    assert goes_again(loss(x, w))

    assert not goes_again(loss(jitgrad.tensor(x.numpy().T.copy()).t(), w))
    assert not goes_again(loss(x[:4].clone(), w))
    w.requires_grad_(False)
    with pytest.raises(RuntimeError, match="does not require grad"):
        loss(x, w).backward()


def test_what_is_written_in_place_goes_again() -> None:
    x = jitgrad.tensor([1.0, 2.0], requires_grad=True)

    def written(after: bool) -> Tensor:
        y = x * 2
        y.add_(1)
        z = y * x
        if after:
            y.add_(1)
        return z.sum()

    for _ in range(4):
        written(False).backward()
    x.grad = None
    assert goes_again(written(False)) and x.grad.tolist() == [5, 9]        # type: ignore[union-attr]
    root = written(True)
    assert not goes_again(root)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        root.backward()


def test_no_gradient_goes_through_a_root_recorded_without_grad_mode() -> None:
    x = jitgrad.tensor([1.0, 2.0], requires_grad=True)
    for _ in range(4):
        ((x * x).sum() * 2).backward()
    x.grad = None
    known = (x * x).sum()
    with jitgrad.no_grad():
        root = known * 2
    assert root._current().spec.patterns
    with pytest.raises(RuntimeError, match="does not require grad"):
        root.backward()
    assert x.grad is None
    assert goes_again(known * 2)


def test_leaves_that_no_tensor_waits_for() -> None:
    x = jitgrad.tensor([1.0, 2.0], requires_grad=True)
    for _ in range(4):
        (x * x).sum().backward()
    node = x._current()
    alone = wrap(input_node(node.value, node.type, True))
    assert not goes_again((alone * alone).sum())
    dropped = jitgrad.tensor([1.0, 2.0], requires_grad=True)
    root = (dropped * dropped).sum()
    del dropped
    root.backward()
    stopped = jitgrad.tensor([1.0, 2.0], requires_grad=True)
    root = (stopped * stopped).sum()
    stopped.requires_grad_(False)
    root.backward()
    assert stopped.grad is None


def test_an_exception_in_a_delivery(monkeypatch: pytest.MonkeyPatch) -> None:
    x = jitgrad.tensor([1.0, 2.0], requires_grad=True)
    for _ in range(4):
        (x * x).sum().backward()
    node, tensor = x._current(), x
    counts = []
    for _ in range(20):
        root = (x * x).sum()
        x.grad = None
        x._grad = 3                     # type: ignore[assignment]
        with pytest.raises(AttributeError):
            goes_again(root)
        del root
        counts.append((sys.getrefcount(node), sys.getrefcount(tensor)))
    assert counts[1] == counts[-1]
    x._grad = None
    (x * x).sum().backward()
    assert x.grad.tolist() == [2, 4]    # type: ignore[union-attr]


def test_detached_tensors_are_released() -> None:
    x = jitgrad.tensor([1.0, 2.0], requires_grad=True)
    for _ in range(4):
        (x * x).sum().backward()
    root = (x * x).sum()
    kept = root.detach()
    assert goes_again(root)
    assert not kept._current().inputs and kept.item() == 5


def test_nothing_is_kept_of_a_backward() -> None:
    x, w, _ = warmed()
    held = [x._current(), w._current(), w, loss(x, w)._current().spec, schedule_cache.Run, Node, Tensor, True, None]
    for _ in range(20):
        loss(x, w).backward()

    def count() -> list[int]:
        gc.collect()
        return [*[sys.getrefcount(v) for v in held], len(gc.get_objects())]

    for _ in range(2):
        before = count()
    for _ in range(2000):
        assert goes_again(loss(x, w))
    assert all([abs(a - b) <= 20 for a, b in zip(before, count(), strict=True)])


def test_threads_record_and_deliver() -> None:
    x, w, expected = warmed()
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    errors: list[BaseException] = []

    def work() -> None:
        try:
            for k in range(300):
                loss(x, w).backward()
                if k % 50 == 0:
                    with jitgrad.no_grad():
                        assert not (w * 2).requires_grad
        except BaseException as error:
            errors.append(error)

    try:
        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert not errors
    np.testing.assert_allclose(w.grad.numpy(), 1200 * expected, rtol=1e-9)      # type: ignore[union-attr]


# -- entry points as objects ------------------------------------------------------------------------------------------------

def test_faces_are_functions_like_others() -> None:
    before = jitgrad.exp
    use_code(False)
    use_code(True)
    assert jitgrad.exp is before is Tensor.exp
    for name, entry_point in ENTRY_POINTS.items():
        assert entry_point.__name__ == name and (entry_point.__doc__ is None or type(entry_point.__doc__) is str)
        assert pickle.loads(pickle.dumps(entry_point)) is entry_point
        assert copy.deepcopy(entry_point) is entry_point and copy.copy(entry_point) is entry_point
    assert "e ** x" in (jitgrad.exp.__doc__ or "")
    assert {jitgrad.exp: 1}[Tensor.exp] == 1
    wrapped = functools.wraps(jitgrad.exp)(lambda x: jitgrad.exp(x))
    assert wrapped.__name__ == "exp" and wrapped.__doc__ == jitgrad.exp.__doc__
    x = jitgrad.tensor([1.0], requires_grad=True)
    assert pickle.loads(pickle.dumps(x.exp))().item() == x.exp().item()
    assert isinstance(ENTRY_POINTS["exp"].__self__, EntryPoint)
    assert list(map(jitgrad.neg, [x, x]))[1].item() == -1


def test_modules_that_hold_faces() -> None:
    model = jitgrad.nn.Linear(2, 2)
    model.activation = jitgrad.tanh
    assert copy.deepcopy(model).activation is jitgrad.tanh
    assert pickle.loads(pickle.dumps(model)).activation is jitgrad.tanh


def test_a_profiler_and_a_tracer_change_nothing() -> None:
    x = jitgrad.tensor([1.0, 2.0], requires_grad=True)
    events: list[str] = []
    for install in (sys.setprofile, sys.settrace):
        before = sys.getprofile() if install is sys.setprofile else sys.gettrace()
        install(lambda frame, event, argument: events.append(event))
        try:
            for _ in range(4):
                y = jitgrad.exp(x) * 2
        finally:
            install(before)
        assert y.requires_grad
    assert "c_call" in events


def test_a_capture_records_by_python() -> None:
    x = jitgrad.tensor([1.0, 2.0], requires_grad=True)
    for _ in range(4):
        jitgrad.exp(x)
    state = ENTRY_POINTS["exp"].__self__
    entered: list[int] = []

    def exp(x: Tensor) -> Tensor:
        entered.append(tracing.count[0])
        return state.func(x)

    f = jitgrad.compile(lambda x: (jitgrad.exp(x) * x).sum())
    state.header[layout.FUNCTION] = id(exp)
    try:
        for _ in range(4):
            f(x).backward()
    finally:
        state.header[layout.FUNCTION] = id(state.func)
    assert entered and all(entered) and tracing.count[0] == 0
    np.testing.assert_allclose(x.grad.numpy(), 4 * np.exp([1, 2]) * [2, 3], rtol=1e-6)      # type: ignore[union-attr]


def test_frames_of_machine_code_are_small() -> None:
    """More than a page would have LLVM call a function for it on Windows."""
    from llvmlite import ir

    from jitgrad.operators.native.backward import Again, Deliver
    from jitgrad.operators.native.matching import Match
    from jitgrad.operators.native.record import Record
    offsets = loading._offsets(engine.CLASSES)
    assert offsets is not None
    for build in (lambda m: Record(m, offsets, 100), lambda m: Match(m, offsets), lambda m: Again(m, offsets),
                  lambda m: Deliver(m, offsets)):
        module = ir.Module("frames")
        build(module)
        sizes = re.findall(r"alloca i64(?:, i64 (\d+))?", str(module))
        assert sum([8 * int(size or 1) for size in sizes]) < 4000


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's ways to find what is freed too early")
def test_the_end_of_the_interpreter() -> None:
    """Functions are freed before, or after, what CPython reads of them then."""
    for byte in ("2", "170"):
        env = {**os.environ, "GLIBC_TUNABLES": "glibc.malloc.tcache_count=0", "MALLOC_PERTURB_": byte, "PYTHONMALLOC": "malloc"}
        subprocess.run([sys.executable, "-c", "import jitgrad"], env=env, check=True)
