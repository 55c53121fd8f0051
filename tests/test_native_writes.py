"""Writes in machine code against the Python functions: the same graphs, versions and values, and nothing of a loop forwarded."""
from __future__ import annotations

import gc
import itertools
import random
import weakref
from typing import Any

import pytest
from test_native import Forwarded, native_code, use_code  # noqa: F401  (a fixture)

import jitgrad
from jitgrad.graph.node import Composite
from jitgrad.operators.declaration.declare import OPERATORS
from jitgrad.operators.native import entry_points, layout, objects
from jitgrad.operators.native.entry_points import ENTRY_POINTS
from jitgrad.tensors.tensor import Tensor

torch: Any = jitgrad
pytestmark = pytest.mark.skipif(not objects.SUPPORTED, reason="objects cannot be read by address")

# What is written to `a` (pending), `s` (known) or a view of them, each from a leaf `x` with a gradient and known `c`.
STATEMENTS = [
    "a += x", "a -= 2", "a *= x[0]", "a /= 1.5", "a += a", "s += x", "s *= x * 2", "s.add_(x, alpha=2)", "a.addcmul_(x, c)",
    "a.copy_(x)", "a.clamp_(-1, 1)", "a.zero_()", "a.fill_(2)", "a.exp_()", "a[1] += x[0]", "a[1:3] *= x[1:3]", "a[::2] -= 1",
    "a[2] = x[0]",
    "a[2] = 1.5", "a[2] = 3", "a[-1] = a[0] + 1", "a[1:3] = x[:2]", "a[1:3] = x[0]", "a[:] = x", "s[1] = x[2]", "s[1:] += x[1:]",
    "v = a[1:]; v *= 2; v[0] = x[0]", "v = a.view(2, 2); v[0, 1] += x[0]; a += 1", "v = s.detach(); a[0] = v[0]", "a[...] = x * 2",
    "v = a[1:]; w = v[1:]; w += x[2:]; v[0] = 1.0", "w = a[0]; a[0] = x[1]; a[1] = w", "a[None, 1] = x[0]", "s[0] = s[1] + x[0]",
    "a[1] += x[0]; b = a * 1; a[1] += x[1]", "a.data[0] = 5.0; a[1] = x[0]", "m[1, 2] += x[0]", "m[0] = x[:3]", "m[:, 1] = x[:2]",
    "m.t()[0] += 1", "a += c; a[0] = c[0]", "s += c", "s[2] = c[1]", "s[2] = 4", "s[1:3] += c[1:3]",
    "s[0] += 1; t = s[0] + s[1]; s[1] += t",
    "k[1] = 3; k += 1",
    "f[1] = 0.5; f += 1; f[0] = k[0]", "w = s[1]; w += 2; s[1] = w; s[2] = w", "s /= 0.0; s[0] = s[1]",
]
LONG = [f"{name}({arguments})" for name, arguments in (
    ("a.mul_", "c"), ("a.sub_", "x"), ("a.div_", "2"), ("a.pow_", "2"), ("a.sigmoid_", ""), ("a.tanh_", ""), ("a.relu_", ""),
    ("a.neg_", ""),
    ("a.sqrt_", ""), ("a.abs_", ""), ("a.sin_", ""), ("a.clamp_min_", "0"), ("a.lerp_", "x, 0.5"), ("a.masked_fill_", "c > 1, 0.5"),
    ("s.mul_", "x"), ("s.clamp_", "0"), ("s.exp_", ""), ("s.addcdiv_", "c, c"))]


def namespace() -> dict[str, Any]:
    x = torch.tensor([1.5, -0.5, 2.0, 0.25], dtype=torch.float64, requires_grad=True)
    return {"x": x, "a": x * 1.25, "s": torch.tensor([1.0, 2.0, 3.0, 4.0], dtype=torch.float64), "m": (x[0] * 2).expand(2, 3).clone(),
            "c": torch.tensor([0.5, 1.5, 2.5, 3.5], dtype=torch.float64), "k": torch.tensor([1, 2, 3]), "f": torch.tensor([1.0, 2.0])}


class Line:
    """Of a node, the user's; machine code gives it to nodes that Python gives none."""

    def __init__(self, line: Any) -> None:
        self.name = line and (line[0].co_filename, line[0].co_name)

    def __eq__(self, other: Any) -> bool:
        return None in (self.name, other.name) or self.name == other.name


def graph(tensors: dict[str, Any]) -> list[Any]:
    """All that is recorded below tensors, what a write has left on nodes, tensors and storages included."""
    found: list[Any] = []
    numbers: dict[Any, int] = {}

    def number(what: Any) -> Any:
        return what if what is None or type(what) is bool else numbers.setdefault(what, len(numbers))

    for name, tensor in tensors.items():
        node = tensor._to_look()
        storage = tensor._storage
        found.append((name, number(node), number(storage), tensor._version, tensor.requires_grad, repr(tensor.tolist()),
                      None if storage is None else (storage.writes, number(storage.base((), 0)))))
    for node in list(numbers):
        stack = [node] if hasattr(node, "spec") else []
        while stack:
            n = stack.pop()
            extra, fn = n.extra, None if n.extra is None else n.extra.fn
            assert fn is None or type(fn) is Composite
            fresh = [m for m in n.inputs if m not in numbers]
            writer = None if extra is None or extra.cell is None else extra.cell.writer
            found.append((number(n), n.spec, n.requires_grad, [number(m) for m in n.inputs], Line(n.line),
                          None if extra is None else (extra.version, number(extra.cell), number(extra.in_place), extra.watch is None),
                          fn and (fn.name, [number(m) for m in fn.inputs], fn.saves and [number(m) for m in fn.saves], fn.saves_result),
                          None if writer is None else type(writer) is weakref.ref))
            stack += fresh
    return found


def result(text: str, reference: bool) -> tuple[list[Any], list[str]]:
    """What a statement records, or computes where nothing is recorded, and the operators that machine code has forwarded."""
    names = namespace()
    exec(compile("if True:\n    pass", "<first>", "exec"), names)
    program = compile(text, "<write>", "exec")
    with Forwarded(reference=reference) as forwarded:
        exec(program, {"torch": torch}, names)
    with torch.no_grad():
        return graph({k: v for k, v in names.items() if isinstance(v, Tensor)}), list(forwarded)


@pytest.mark.parametrize("mode", ["recorded", "no_grad"])
@pytest.mark.filterwarnings("ignore")
def test_a_write_leaves_what_python_leaves(mode: str, native_code: None) -> None:  # noqa: F811
    learnt = 0
    for text in STATEMENTS + LONG:
        if mode == "no_grad":
            text = "with torch.no_grad():\n    " + text.replace("a.data", "s.data")
        expected, _ = result(text, True)
        for _ in range(3):
            exec(compile(text, "<write>", "exec"), {"torch": torch}, namespace())
        got, forwarded = result(text, False)
        assert got == expected, text
        learnt += not forwarded
    assert learnt > (40 if mode == "recorded" else 5), learnt


def test_every_operator_in_place_writes_by_machine_code(native_code: None) -> None:  # noqa: F811
    """Of those that PyTorch has a derivative of and that take one operand, or another of its type."""
    missed = []
    for name, op in OPERATORS.items():
        if not op.inplace or f"{name}_" not in ENTRY_POINTS:
            continue
        for arguments in ("", "y", "0.5"):
            def run(name: str = name, arguments: str = arguments) -> None:
                x = torch.tensor([0.25, 0.5], requires_grad=True)
                eval(f"(x * 1.0).{name}_({arguments})", {"x": x, "y": x * 1.5})
            try:
                for _ in range(3):
                    run()
            except Exception:       # it takes other arguments
                continue
            with Forwarded(reference=False) as forwarded:
                run()
            if f"{name}_" in forwarded:
                missed.append(name)
            break
    assert {*missed} == {f"logical_{name}" for name in ("and", "or", "xor", "not")}        # which write no history


# -- loops -----------------------------------------------------------------------------------------------------------

def forwarded_in(loop: Any) -> list[str]:
    for _ in range(4):
        loop()
    with Forwarded(reference=False) as names:
        loop()
    return list(names)


def test_a_loop_over_indices_is_found_in_the_table(native_code: None) -> None:  # noqa: F811
    x = torch.ones(400, dtype=torch.float64, requires_grad=True)

    def loop() -> None:
        a, out = x * 1.0, torch.zeros(400, dtype=torch.float64)
        for i in range(1, 400):
            a[i] += a[i - 1]
            a[i] /= 9
            out[i] = a[i]
        a[1:-1] = a[1:-1] * 0.5

    assert len(forwarded_in(loop)) < 20         # of 2,000 calls: places in the table depend on addresses, and a few may be taken
    assert ENTRY_POINTS["__setitem__"].__self__.entries <= layout.MOST_ENTRIES


def test_what_is_filled_is_read_and_written_by_machine_code(native_code: None) -> None:  # noqa: F811
    counts, c = torch.zeros(30, 30, dtype=torch.float64), torch.ones(30, dtype=torch.float64)

    def loop() -> None:
        for i in range(30):
            counts[i, (7 * i) % 30] += 1
            counts[i, 0] = i / 2
            counts[i] = c
        counts.__iadd__(c)

    for mode in (torch.enable_grad, torch.no_grad):
        with mode():
            assert len(forwarded_in(loop)) < 4


def test_values_that_wait_are_computed_together(native_code: None) -> None:  # noqa: F811
    """`out[k] = c` without gradient mode: c is postponed, and so is the write, until somebody looks."""
    from jitgrad.tensors.storage import Storage
    drained: list[int] = []
    drain = Storage.drain
    try:
        Storage.drain = lambda self: (drained.append(len(self.waiting)), drain(self))[1]       # type: ignore[method-assign]
        for _ in range(40):
            with torch.no_grad():
                out, c = torch.zeros(50, 3, dtype=torch.float64), torch.full((3,), 2.0, dtype=torch.float64)
                out[0] = 1.0
                for k in range(1, 50):
                    c = c * 0.5
                    out[k] = c
                    c = c + 1
                versions = out._version
                drained.clear()
                total = out.sum().item()
                assert versions == 50 and total == 150
    finally:
        Storage.drain = drain       # type: ignore[method-assign]
    assert drained == [49]


@pytest.mark.parametrize("seed", range(6))
def test_random_writes(seed: int, native_code: None) -> None:  # noqa: F811
    """Programs of writes to what is known and what is recorded, with views, aliases and looks, run several times: as without."""
    rng = random.Random(seed)
    lines = []
    for _ in range(60):
        i, j, k = rng.randrange(4), rng.randrange(4), rng.choice("as")
        lines.append(rng.choice([
            f"{k}[{i}] += x[{j}]", f"{k}[{i}] = {k}[{j}] * 0.5", f"{k} += c", f"{k} *= 0.5", f"{k}[{i}:] = {k}[{i}:] * 0.9",
            f"k[{i}] += {j}",
            f"n[{i}, {j}] += 1", f"n[{i}] = c", f"n[{i}, {j}] = {i}", f"v = n[{i}]", "v += 1", f"v = n[:, {j}]", f"n[{i}] = n[{j}]",
            f"with torch.no_grad(): n *= 0.5; n[{i}] = c * {j}", f"with torch.no_grad(): d = c * 0.5; n[{i}] = d; n[{j}, 0] += 1",
            f"s[{i}] = n[{i}, {j}]", "t.append(n.sum().item())", f"t.append(n[{i}, {j}].item())", f"w = v; n[{j}] = w",
            f"c = n[{i}] + 0.5",
            f"a = a + n[{i}]", "k *= 2", f"v = n[{i}]; v *= 0.5; n[{i}] = v", f"f[{i}] = 0.1; f[{j}] *= 1.5",
            "u = n.detach(); u += 0.25"]))
    program = compile("\n".join(lines), "<random>", "exec")

    def run() -> list[Any]:
        names = namespace() | {"n": torch.zeros(4, 4, dtype=torch.float64), "t": [], "torch": torch, "f": torch.ones(4)}
        names["v"] = names["n"][0]
        names["k"] = torch.tensor([1, 2, 3, 4])
        exec(program, names)
        (names["a"].sum() + names["s"].sum()).backward()
        found = {k: (v.tolist(), v._version) for k, v in names.items() if isinstance(v, Tensor)}
        return [found, names["t"], names["x"].grad.tolist()]

    use_code(False)
    expected = run()
    use_code(True)
    for _ in range(6):
        got = run()
        for a, b in zip(got[0].items(), expected[0].items(), strict=True):
            assert a[0] == b[0] and a[1][1] == b[1][1] and torch.allclose(torch.tensor(a[1][0]), torch.tensor(b[1][0])), (a, b)
        assert got[1] == pytest.approx(expected[1]) and got[2] == pytest.approx(expected[2])


def test_tables_that_grow_keep_what_they_know(native_code: None) -> None:  # noqa: F811
    x = torch.ones(900, requires_grad=True) * 1.0
    state = ENTRY_POINTS["__getitem__"].__self__
    before = state.entries
    for _ in range(3):
        for i in range(900):
            x[i]
    places = {k: k * layout.ENTRY + layout.TEMPLATE for k in state.templates}
    assert state.entries > before and all([state.table[places[k]] == id(e) for k, e in state.templates.items()])
    with Forwarded(reference=False) as names:
        for i in range(900):
            x[i]
    assert len(names) < 20
    assert entry_points.usual


def test_an_index_is_learnt_when_it_comes_again(native_code: None) -> None:  # noqa: F811
    """A first pass over many indices learns nothing; neither does what learning itself reads."""
    a = torch.zeros(300, dtype=torch.float64)
    a[0] = 1.0
    states = [ENTRY_POINTS[name].__self__ for name in ("__setitem__", "__getitem__", "__iadd__")]

    def learnt() -> list[int]:
        return [len(state.templates) for state in states]

    before = learnt()
    for i in range(100):
        a[i] = 1.0
    for i in range(100, 200):
        a[i] += 1
    for i in range(200, 299):
        float(a[i])
    assert learnt() == before
    for i in range(1, 100):
        a[i] = 2.0
    writes, reads, updates = learnt()
    assert writes - before[0] > 90 and [reads, updates] == before[1:]
    for _ in range(3):          # (the view is written to privately, so that the write of it is met, from the second time on)
        for i in range(100, 200):
            a[i] += 1
    writes, reads, updates = learnt()
    assert writes - before[0] > 180 and reads - before[1] > 90 and updates - before[2] > 90
    assert a.tolist() == [1.0] + [2.0] * 99 + [4.0] * 100 + [0.0] * 100


def test_nothing_learnt_keeps_what_is_detached(native_code: None) -> None:  # noqa: F811
    """A detached base, over what is being filled or not, is let go of with its node and array."""
    def loop() -> list[weakref.ref]:
        a = torch.zeros(1000)
        a[0] = 1.0
        d = a.detach()
        a[1] = 2.0
        for _ in range(4):
            assert float(d[3]) + float(d[1:3][0]) >= 0
            d += 1
            d[5] = 2.0
            d[5] += 1.0
        with torch.no_grad():
            e = a.data
            e[2] = 1.0
            e[2] *= 2
        return [weakref.ref(value) for value in (a._storage, a._storage.node, d._node, d._chain[0].node)]       # type: ignore

    refs = [ref for _ in range(20) for ref in loop()]
    gc.collect()
    assert [ref() for ref in refs] == [None] * len(refs)


@pytest.mark.parametrize("meanwhile", ["a.sum()", "a[4] = 7.0", "a[1] = 7.0", "a += 1", "a[4] = c * 4", "a.zero_()", "a[0, 0]",
                                       "a.data[2] = 9.0"])
@pytest.mark.parametrize("by", ["tolist", "sum", "write", "wait"])
def test_whoever_comes_while_waiting_values_are_computed(meanwhile: str, by: str, native_code: None,  # noqa: F811
                                                         monkeypatch: pytest.MonkeyPatch) -> None:
    """A finalizer that reads, writes or flushes the very storage while that is read or written: as if it had come before."""
    from jitgrad.requests import execute
    from jitgrad.tensors import storage as storages

    class Interrupted:
        left = 0

        @staticmethod
        def value(node: Any) -> Any:
            found = execute.value(node)
            Interrupted.left -= 1
            if Interrupted.left == 0:
                exec(meanwhile, {"a": a, "c": c})
            return found

    monkeypatch.setattr(storages, "execute", Interrupted)

    def finish() -> Any:
        if by == "write":
            a[5] = 1.0
        elif by == "sum":
            assert a.sum().item() == pytest.approx(sum(map(sum, a.tolist())))
        return a.tolist()

    with torch.no_grad():
        c = torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64)
        for _ in range(40):
            assert (c * 1.5).tolist() != (c * 2).tolist()
        for k in range(6):          # by these indices
            torch.zeros(6, 3, dtype=torch.float64)[k]
        for k in range(3):
            results = []
            for at in (0, 1, 2):        # 0: it comes before
                a = torch.zeros(6, 3, dtype=torch.float64)
                a[0] = 1.0
                a[1] = c * 1.5
                a[2] = c * 2
                assert a._storage.waiting is not None
                if by == "wait":
                    a[5] = c * 5
                Interrupted.left = at
                if not at:
                    exec(meanwhile, {"a": a, "c": c})
                results.append(finish())
                a._storage.flush()
            assert results == [results[0]] * 3, k


def test_what_is_filled_may_be_let_go_of_before_it_is_written(native_code: None, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    """Machine code has looked at the array when waiting values are computed, which may put another in its place."""
    from jitgrad.tensors.storage import Storage
    drain, left = Storage.drain, [0]

    def interrupted(storage: Any) -> None:
        drain(storage)
        left[0] -= 1
        if left[0] == 0:
            a.sum()
            a.zero_()
            if drops:
                a._storage = None
                a._ensure_storage()
            gone.append([torch.full((600, 50), 5.0, dtype=torch.float64) for _ in range(3)])

    monkeypatch.setattr(Storage, "drain", interrupted)
    c = torch.ones(50, dtype=torch.float64)
    with torch.no_grad():
        for drops, k in itertools.product((False, True), range(60)):          # noqa: B007  (see interrupted)
            gone: list[Any] = []
            a = torch.zeros(600, 50, dtype=torch.float64)
            a[0] = 1.0
            a[2] = c * 2.5
            left[0] = 1 if k % 3 == 2 and k > 40 else 0
            waits = a._storage.waiting is not None
            a[1] += c
            assert k < 40 or waits
            assert a[1, 0].item() == 1.0 and a[0, 0].item() == (0.0 if gone else 1.0) and a[2, 3].item() == (0.0 if gone else 2.5)
            assert len(gone) == (k % 3 == 2 and k > 40)
