"""Parts of the compiler on their own: expressions, symbolic lengths, simplification, segments, the kernel text."""
from __future__ import annotations

import ast
from pathlib import Path

import numpy as np
import pytest
from graphs import check, leaf, normal, request, total

import jitgrad.compiler
from jitgrad import ops
from jitgrad.compiler.build import build
from jitgrad.compiler.fusion.splitting import segments
from jitgrad.compiler.ir import expr as E
from jitgrad.compiler.ir.dims import lengths
from jitgrad.errors import InternalError
from jitgrad.graph.node import Node, topological
from jitgrad.graph.recording import bind
from jitgrad.types.dtype import float32, float64


def sources(*outputs: Node) -> str:
    return "".join([k.source for k in build(request(outputs)).kernels])


# -- expressions -----------------------------------------------------------------------------------------------------

def test_expressions_are_canonical() -> None:
    a, b = E.length(1), E.length(2)
    assert E.mul(a, b) == E.mul(b, a) and E.mul(E.mul(2, a), E.mul(b, 3)) == E.mul(6, b, a)
    assert E.add(a, 0) == a and E.mul(a, 1) == a and E.mul(a, 0) == 0 and E.length(0) == 1
    assert E.add(E.add(a, 2), E.add(b, -2)) == E.add(b, a)
    assert E.evaluate(E.add(E.mul(2, a, b), b, -1), lambda atom: atom[1] * 10) == 419
    assert sorted(E.atoms(E.add(E.mul(a, b), ("size", 3, 0), 7))) == [("len", 1), ("len", 2), ("size", 3, 0)]
    assert E.text(E.add(E.mul(2, a), -1), lambda atom: f"n{atom[1]}") == "2*n1 + -1"


# -- symbolic lengths ------------------------------------------------------------------------------------------------

def symbols(*outputs: Node) -> tuple:
    order = topological(outputs)
    dims, found = lengths(order, {n: k for k, n in enumerate(order)})
    return dims, found


def test_lengths_are_equal_only_where_an_operation_says_so() -> None:
    x, y, z = normal(3, 3), normal(3), normal(3)
    dims, found = symbols(ops.exp(x), ops.sum(x, axes=(0,)), y + z)
    assert dims[x][0] != dims[x][1] and dims[y] == dims[z]
    assert dims[y][0] not in dims[x] and len(found) == 4
    dims, _ = symbols(x + y)
    assert dims[y][0] == dims[x][1]


def test_lengths_of_one_are_one() -> None:
    x, y = normal(1, 3), normal(4, 1)
    out = x * y
    s = ops.sum(out, axes=(1,))
    dims, _ = symbols(s)
    assert dims[x][0] == dims[y][1] == dims[s][1] == 0
    assert dims[out] == (dims[y][0], dims[x][1])


def test_lengths_through_products_and_reshapes() -> None:
    a, b = normal(2, 3), normal(3, 4)
    y = a @ b
    flat = ops.reshape(normal(1, 5), sizes=(5, 1))
    dims, _ = symbols(y, flat)
    assert dims[y] == (dims[a][0], dims[b][1]) and dims[a][1] == dims[b][0]
    assert dims[flat][0] == dims[flat.inputs[0]][1]


def test_a_fresh_length_needs_a_recorded_node() -> None:
    x = normal(4)
    order = topological([bind(ops.REGISTRY["reshape"], (x,), (), (2, 2))])
    with pytest.raises(InternalError, match="length along 0"):
        lengths(order, {x: 0})


# -- simplification --------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("build_graph", [
    lambda x: x * 1, lambda x: 1 * x, lambda x: x / 1, lambda x: x - 0.0, lambda x: x + -0.0, lambda x: ops.neg(-x),
    lambda x: ops.copy(x), lambda x: ops.cast(x, dtype=float64),
    lambda x: ops.cast(ops.cast(ops.cast(x, dtype=float32), dtype=float64), dtype=float32),
    lambda x: ops.where(ops.gt(ops.number(2, x), 1), x, x * 2)])
def test_what_changes_nothing_is_not_computed(build_graph) -> None:
    text = sources(build_graph(normal(3)))
    assert not any([word in text for word in ("*", "+", "/", "where", " -", "to_f8")]), text


@pytest.mark.parametrize(("build_graph", "kept"), [
    (lambda x: x + 0.0, " + f8(0.0)"), (lambda x: x * 0.0, " * f8(0.0)"), (lambda x: 0.0 - x, "f8(0.0) - "),
    (lambda x: ops.cast(ops.cast(x, dtype=float32), dtype=float64), "to_f4")])
def test_what_may_change_a_bit_stays(build_graph, kept: str) -> None:
    assert kept in sources(build_graph(normal(3)))


def test_literals_are_folded_and_equal_parts_computed_once() -> None:
    x = normal(3)
    c = ops.number(2, x)
    text = sources(ops.exp(x) * (c * 3 + 1), ops.sin(ops.exp(x)))
    assert "f8(7.0)" in text and text.count("exp(") == 1


def test_what_nobody_wants_is_not_computed() -> None:
    x, y = normal(3), normal(3, seed=1)
    z = x * ops.exp(y)
    r = request([z], [x])
    assert "exp" in build(r).kernels[0].source
    r = request([x + 1], [])
    r.order = topological([*r.order, ops.exp(y)])
    assert "exp" not in "".join([k.source for k in build(r).kernels])


def test_broadcast_parts_are_computed_outside_the_loop() -> None:
    x, w = normal(4, 5), normal(4, 1, seed=1)
    text = sources(x * ops.sqrt(w * 2))
    head, inner = text.split("for i1")
    assert "sqrt(" in head and "sqrt(" not in inner and head.count("for i0") == 1


def test_contiguous_dimensions_become_one_loop() -> None:
    assert sources(ops.exp(normal(2, 3, 4)) * normal(2, 3, 4)).count("for ") == 1
    assert sources(ops.exp(normal(2, 3, 4)) * normal(4)).count("for ") == 2
    assert sources(normal(2, 3, 4) * normal(2, 1, 1)).count("for ") == 2
    assert sources(ops.sum(normal(2, 3, 4), axes=(1, 2))).count("for i") == 2


def test_the_gradient_of_a_transposed_product_is_a_product() -> None:
    a, b = normal(3, 4), normal(5, 4, seed=1)
    program = check([total(ops.exp(a @ ops.transposed(b)))], [a, b])
    assert len(program.kernels) == 1 and len(program.steps) == 4


# -- segments --------------------------------------------------------------------------------------------------------

def test_segments_cover_in_order_below_the_cap() -> None:
    rng = np.random.default_rng(0)
    for kinds in ([], list("abc"), list(rng.integers(0, 50, 500)), list("ab") * 300, list("x" * 30) + list("abcde") * 200):
        found = segments(kinds, 80, 32)
        assert [k for first, end in found for k in kinds[first:end]] == kinds
        assert all([0 < end - first <= 80 for first, end in found])


def test_segments_fall_on_the_period() -> None:
    kinds = list("pqr") + list("abcdefg") * 100 + list("z")
    texts = {"".join(kinds[first:end]) for first, end in segments(kinds, 80, 32)}
    assert len(texts) <= 4


def test_a_recorded_loop_needs_few_kernels() -> None:
    x, y = leaf(0.3), leaf(0.7)
    for _ in range(400):
        y = y + 0.01 * (ops.sin(y) * x - y)
    program = check([y], [x])
    assert len(program.kernels) > 30 and len({k.source for k in program.kernels}) < 10


# -- operations are known by what is declared of them ----------------------------------------------------------------

def test_roles_have_rules() -> None:
    from jitgrad.compiler.ir.simplify import RULES
    from jitgrad.compiler.ir.views import VIEWS
    from jitgrad.ops import REGISTRY
    assert {op.facts.role for op in REGISTRY.values() if op.kind == "movement"} == {*VIEWS}
    assert {op.facts.role for op in REGISTRY.values() if op.kind == "elementwise"} == {"", *RULES}


def test_no_pass_knows_an_operation_by_its_name() -> None:
    """`op.name` is told to people, never compared or looked up."""
    def is_name(x: ast.AST) -> bool:
        return isinstance(x, ast.Attribute) and x.attr == "name" and (
            isinstance(x.value, ast.Name) and x.value.id == "op" or isinstance(x.value, ast.Attribute) and x.value.attr == "op")

    root = Path(jitgrad.compiler.__file__).parent
    found = []
    for file in root.rglob("*.py"):
        for n in ast.walk(ast.parse(file.read_text())):
            if isinstance(n, ast.Compare) and any(map(is_name, [n.left, *n.comparators])) or isinstance(n, ast.Subscript) and is_name(
                    n.slice) or (isinstance(n, ast.Call) and isinstance(n.func, ast.Attribute) and any(map(is_name, n.args))
                                 and n.func.attr in ("get", "startswith")):
                found.append(f"{file.relative_to(root)}:{n.lineno}")
    assert not found
