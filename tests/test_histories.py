"""Who owns a history: bases, detached tensors, views, and what is written to them (storage.py says which).

What PyTorch 2.13 shows for the programs of histories.py is kept as fingerprints, so that they run where there is none."""
from __future__ import annotations

import hashlib
import random
from collections.abc import Sequence

import drawn
import histories
import pytest

import jitgrad

PROGRAMS = histories.programs()
GROUPS = [f"{source}, {alias}" for source in histories.SOURCES for alias in histories.ALIASES]
# python tests/test_histories.py prints them, by PyTorch
SHOWN: dict[str, str] = {
    "computed, detach": "04608530ff16",
    "computed, data": "204a601476a7",
    "computed, view": "7491a4a56643",
    "computed, part": "109b00ed332d",
    "computed, clone": "9a51feed5b45",
    "computed, part detached": "57d80da9099e",
    "computed, no_grad view": "8c0ba2e2c21a",
    "computed, no_grad": "8c0ba2e2c21a",
    "constant, detach": "5ae2c12618fd",
    "constant, data": "5ae2c12618fd",
    "constant, view": "e4b9e6835b3b",
    "constant, part": "760885286e1f",
    "constant, clone": "087bdfba4dee",
    "constant, part detached": "0afd2070df48",
    "constant, no_grad view": "6f051cde94dc",
    "constant, no_grad": "e6552a7e7579",
    "leaf, detach": "3610c68c6b4f",
    "leaf, data": "585cb7f52247",
    "leaf, view": "00c96e10a62f",
    "leaf, part": "094f64e5f90f",
    "leaf, clone": "4b6d2c5ecf12",
    "leaf, part detached": "8b9a8cdfd988",
    "leaf, no_grad view": "5cbc97d89671",
    "leaf, no_grad": "5cbc97d89671",
}
CAPTURED: dict[str, str] = {
    "computed, detach": "1e270b8cd09b",
    "computed, data": "1e270b8cd09b",
    "computed, view": "6e85791db30b",
    "computed, part": "3feb8f6e1b61",
    "computed, clone": "256e8440a27a",
    "computed, part detached": "3c0608ab20e5",
    "computed, no_grad view": "fd85a285bd79",
    "computed, no_grad": "fd85a285bd79",
    "constant, detach": "76369ebc1c7d",
    "constant, data": "76369ebc1c7d",
    "constant, view": "7ec468c65874",
    "constant, part": "b6e2c65af526",
    "constant, clone": "25979c8a214b",
    "constant, part detached": "f90c744ce173",
    "constant, no_grad view": "b78551f01f71",
    "constant, no_grad": "8c76d9a9de64",
    "leaf, detach": "48098a501f22",
    "leaf, data": "48098a501f22",
    "leaf, view": "5d7dfaffe5bb",
    "leaf, part": "5d7dfaffe5bb",
    "leaf, clone": "466382e9a4eb",
    "leaf, part detached": "f511342d7005",
    "leaf, no_grad view": "fd85a285bd79",
    "leaf, no_grad": "fd85a285bd79",
}


def of(group: str) -> dict[str, list[str]]:
    return {name: lines for name, lines in PROGRAMS.items() if name.startswith(group + ",")}


def fingerprint(texts: Sequence[str]) -> str:
    return hashlib.sha256("\n\n".join(texts).encode()).hexdigest()[:12]


def check(ours: dict[str, str], theirs: dict[str, str] | None, expected: str) -> None:
    """theirs: PyTorch's, where it is installed, to tell what differs."""
    if theirs is not None:
        for name, text in theirs.items():
            assert ours[name] == text, name + "\n" + "\n".join(PROGRAMS[name])
    assert fingerprint(list(ours.values())) == expected


def torch_or_none():
    try:
        import torch
    except ImportError:
        return None
    return torch


def shown(lib, group: str) -> dict[str, str]:
    return {name: histories.outcome(lib, lines) for name, lines in of(group).items()}


def captured(lib, compiled, group: str) -> dict[str, str]:
    return {name: "\n".join(histories.captured(lib, compiled, lines)) for name, lines in list(of(group).items())[::18]}


@pytest.mark.full
@pytest.mark.parametrize("group", GROUPS)
def test_values_histories_and_gradients(group: str) -> None:
    torch = torch_or_none()
    with jitgrad.interpret():
        ours = shown(jitgrad, group)
    check(ours, None if torch is None else shown(torch, group), SHOWN[group])


@pytest.mark.full
@pytest.mark.parametrize("group", GROUPS)
def test_captured(group: str) -> None:
    torch = torch_or_none()
    check(captured(jitgrad, jitgrad.compile, group),
          None if torch is None else captured(torch, lambda function: function, group), CAPTURED[group])


@pytest.mark.parametrize("group", GROUPS)
def test_compiled(group: str) -> None:
    for name, lines in list(of(group).items())[::22]:
        with jitgrad.interpret():
            expected = histories.outcome(jitgrad, lines)
        assert histories.outcome(jitgrad, lines) == expected, name


# -- gradients that are kept, hooks ------------------------------------------------------------------------------------

def run(code: str):
    names = {"T": jitgrad, "x": jitgrad.tensor([1.0, 2.0, 3.0], requires_grad=True)}
    exec(code, names)
    result = names["result"]
    return None if result is None else result.tolist()


@pytest.mark.parametrize("interpreted", [False, True])
@pytest.mark.parametrize("code, expected", [
    ("a = x * 1; a.retain_grad(); a.mul_(3); (a * a).sum().backward(); result = a.grad", [6, 12, 18]),
    ("a = x * 1; a.retain_grad(); a[0] = 5.; (a * a).sum().backward(); result = a.grad", [10, 4, 6]),
    ("a = x * 1; a.retain_grad(); v = a[1:]; v.mul_(3); v.sum().backward(); result = a.grad", [0, 1, 1]),
    ("a = x * 1; a.retain_grad(); v = a.view(3, 1); v.zero_(); v.sum().backward(); result = a.grad", [1, 1, 1]),
    ("a = x * 1; a.retain_grad(); a.zero_(); a.sum().backward(); result = a.grad", [1, 1, 1]),
    ("a = x * 1; a.retain_grad(); a.detach().zero_(); a.sum().backward(); result = a.grad", [1, 1, 1]),
    ("a = x * 1; a.retain_grad(); a.data.zero_(); a.sum().backward(); result = a.grad", [1, 1, 1]),
    ("a = x * 1; a.retain_grad(); b = (a * 5).sum()\nwith T.no_grad(): a.mul_(3)\n(a.sum() + b).backward(); result = a.grad",
     [6, 6, 6]),
    ("a = x + 1; b = (a * 5).sum()\nwith T.no_grad(): a.mul_(3)\nresult, = T.autograd.grad(a.sum() + b, a)", [6, 6, 6]),
    ("a = x * 1; v = a[1:]; v.retain_grad(); v.mul_(3); (v * v).sum().backward(); result = v.grad", [12, 18]),
    ("a = x * 1; v = a[1:]; v.retain_grad(); v.mul_(3); a.sum().backward(); result = v.grad", None),
    ("a = x * 1; v = a[1:]; v.retain_grad(); a.mul_(3); (v * v).sum().backward(); result = v.grad", [12, 18]),
    ("a = x * 1; v = a[1:]; v.retain_grad(); a.mul_(3); a.sum().backward(); result = v.grad", None),
    ("y = x * 1.; w = y[-1:]; w.mul_(3.); w.register_hook(lambda g: g * .5)\n"
     "((w * .25).sum() + (y * .25).sum()).backward()\nresult = x.grad",
     [0.25, 0.25, 1.125]),
    ("y = x * 1.; w = y[-1:]; w.mul_(3.); w.retain_grad(); ((w * 2).sum() + (y * 5).sum()).backward(); result = w.grad", [2]),
    ("y = x * 1; v = y[1:]; v.register_hook(lambda g: g * 10); v.mul_(3); v.register_hook(lambda g: g * .5)\n"
     "(v.sum() + y.sum()).backward(); result = x.grad", [1, 4.5, 4.5]),
    ("y = x * 1; v = y[1:]; v.register_hook(lambda g: g * 10); v[:1].mul_(3); y.sum().backward(); result = x.grad", [1, 3, 1]),
    ("y = x * 1; v = y[1:]; v.register_hook(lambda g: g * 10); v[T.tensor([0])] = 5.; y.sum().backward(); result = x.grad", [1, 0, 1]),
    ("y = x * 1; y.register_hook(lambda g: g * 10); y.mul_(3); y.sum().backward(); result = x.grad", [30, 30, 30]),
    ("y = x * 1; y.mul_(2); y.register_hook(lambda g: g * 10)\nwith T.no_grad(): y.mul_(3)\n"
     "y.sum().backward(); result = x.grad", [20, 20, 20]),
])
def test_kept_gradients_and_hooks(code: str, expected: list[float] | None, interpreted: bool) -> None:
    if interpreted:
        with jitgrad.interpret():
            assert run(code) == expected
    else:
        for _ in range(3):
            assert run(code) == expected


@pytest.mark.parametrize("write", ["zero_()", "fill_(2.)", "copy_(T.ones(3))", "__setitem__(slice(None), .5)", "__setitem__(..., .5)",
                                   "__setitem__(slice(0, 3), .5)", "view(3, 1).fill_(2.)", "__setitem__([0, 1, 2], .5)", "gt_(0)",
                                   "uniform_()", "masked_fill_(T.tensor([True] * 3), 0.)", "floor_()", "sign_()",
                                   "__setitem__(T.tensor([True] * 3), 1.)", "unsqueeze(0).zero_()",
                                   "copy_(T.ones(3).requires_grad_() * 1)"])
def test_overwritten_wholly(write: str) -> None:
    code = f"y = x * 3; y.{write}; assert y.requires_grad and not y.is_leaf; "
    assert run(code + "y.sum().backward(); result = x.grad") == [0, 0, 0]
    assert run(code + "(y.sum() + x.sum()).backward(); result = x.grad") == [1, 1, 1]
    assert run(code + "result, = T.autograd.grad(y.sum(), x, create_graph=True)") == [0, 0, 0]


@pytest.mark.parametrize("code, expected", [
    ("v = T.zeros(2); v.data.copy_((x * x)[:2])", [1, 4]), ("v = T.zeros(2); v.data[:] = (x * x)[:2]", [1, 4]),
    ("v = T.zeros(2); v.data += (x * x)[:2]", [1, 4]), ("v = T.zeros(2); v.detach().copy_((x * x)[:2])", [1, 4]),
    ("v = T.zeros(2); v.data[0] = x[1] * 2", [4, 0]), ("v = T.zeros(3)[1:]; v.detach()[0] = x[1] * 2", [4, 0])])
def test_a_write_through_what_was_detached_gives_no_history(code: str, expected: list[float]) -> None:
    assert run(code + "; assert not v.requires_grad and v.grad_fn is None and v.is_leaf; result = v") == expected
    assert run(code + "; (x * v.sum()).sum().backward(); result = x.grad") == [sum(expected)] * 3


@pytest.mark.parametrize("make", ["(x * 2).detach()", "T.zeros(3).detach()", "x.clone().detach()", "x.detach().clone()",
                                  "x.data.clone()", "(x * 2).data", "T.stack([x, x])[0].detach()"])
@pytest.mark.parametrize("write, expected", [
    ("y[0] = x[0] * 3", [4, 1, 1]), ("y[1:] += x[1:] * 3", [1, 4, 4]), ("y.view(3, 1)[0].copy_(x[:1] * 3)", [4, 1, 1]),
    ("v = y[1:]; v.copy_(x[1:] * 3)", [1, 4, 4]), ("y.copy_(x * 3); y[0] = x[1] * 2", [1, 6, 4]),
    ("y.copy_(x * 3); y[0] = 1.", [1, 4, 4]), ("y.mul_(2); y.add_(x)", [2, 2, 2])])
def test_a_write_with_history_to_what_is_detached(make: str, write: str, expected: list[float]) -> None:
    code = f"y = {make}; {write}; assert y.requires_grad; (x.sum() + y.sum()).backward(); result = x.grad"
    assert run(code) == expected
    with jitgrad.interpret():
        assert run(code) == expected


@pytest.mark.parametrize("dtype", ["float32", "float64", "int64", "bool"])
@pytest.mark.parametrize("code, expected, seen", [
    ("b = T.zeros(2, dtype=d); a = b[1].expand(3); a[-1] = 1", [0, 1], [1, 1, 1]),
    ("b = T.zeros(2, dtype=d); a = b[1].expand(3); a[1:2].fill_(1)", [0, 1], [1, 1, 1]),
    ("b = T.zeros(2, 1, dtype=d); a = b.expand(2, 3); a[:, 1] = T.tensor([1, 0])", [[1], [0]], [[1, 1, 1], [0, 0, 0]]),
    ("b = T.zeros(1, dtype=d); a = b.expand(1, 1); a.logical_not_()", [1], [[1]]),
    ("b = T.zeros(1, 2, dtype=d); a = b.expand(3, 2).t(); a[:, 2] = 1", [[1, 1]], [[1, 1, 1], [1, 1, 1]])])
def test_writing_to_elements_that_lie_there_once(code: str, expected: list, seen: list, dtype: str) -> None:
    for write in (code, "with T.no_grad(): " + code):
        names = {"T": jitgrad, "d": getattr(jitgrad, dtype)}
        exec(write, names)
        assert names["b"].tolist() == expected and names["a"].tolist() == seen


def test_writing_with_history_to_elements_that_lie_there_once() -> None:
    assert run("y = x * 1; a = y[1].expand(3); a[-1] = x[0] * 5; y.sum().backward(); result = x.grad") == [6, 0, 1]
    assert run("y = x * 1; a = y[1].expand(3); a[-1:] *= 5; a.sum().backward(); result = x.grad") == [0, 15, 0]


@pytest.mark.parametrize("write", ["a[1:] = 1.", "a.mul_(2)", "a[:] = 1.", "a.copy_(a + 1)"])
def test_elements_that_lie_there_several_times_are_not_written(write: str) -> None:
    with pytest.raises(RuntimeError, match="more than one element of the written-to tensor"):
        run(f"a = (x * 1)[1].expand(3); {write}")
    with pytest.raises(RuntimeError, match="more than one element of the written-to tensor"):
        run(f"a = T.arange(2.)[1].expand(3); {write}")


@pytest.mark.parametrize(("write", "seen"), [
    ("a.zero_()", [0, 0, 0]), ("a[:2].zero_()", [0, 0, 0]), ("a.fill_(2)", [2, 2, 2]), ("a.view(3, 1)[1:].fill_(1.)", [1, 1, 1])])
def test_one_number_is_written_to_elements_that_lie_there_several_times(write: str, seen: list) -> None:
    assert run(f"b = T.arange(2.); a = b[1].expand(3); {write}; result = a") == seen
    assert run(f"b = T.arange(2.); a = b[1].expand(3); {write}; result = b") == [0, seen[0]]
    with pytest.raises(RuntimeError, match="more than one element of the written-to tensor"):
        run(f"a = (x * 1)[1].expand(3); {write}")


def test_one_number_is_written_to_a_detached_view_that_repeats_elements() -> None:
    assert run("b = T.zeros(2); b.expand(3, 2).detach().fill_(7.); result = b") == [7, 7]
    assert run("b = T.ones(2); b.expand(3, 2).data.zero_(); result = b") == [0, 0]


# -- what else follows ------------------------------------------------------------------------------------------------

def test_detaching_again_and_again_keeps_nothing() -> None:
    x = jitgrad.tensor([1.0, 2.0])
    for _ in range(100):
        x = x.detach()
        x.add_(1.0)
    assert len(x._chain) == 1 and x.tolist() == [101, 102]
    x = x[1:]
    for _ in range(100):
        x = x.detach()
        x.data += 1
    assert len(x._chain) == 2 and x.tolist() == [202]


def test_versions_are_counted_by_base() -> None:
    x = jitgrad.tensor([1.0, 2.0], requires_grad=True)
    y = x * x
    data, apart = y.data, y.detach()
    z = (data * x).sum()
    data.mul_(2)
    assert (data._version, y._version, apart._version) == (1, 0, 0)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        z.backward()
    z = (y * y).sum()
    apart.mul_(2)
    assert (data._version, y._version, apart._version) == (1, 1, 1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        z.backward()


def test_a_history_is_kept_by_the_tensors_that_have_it() -> None:
    x = jitgrad.tensor([1.0, 2.0, 3.0], requires_grad=True)
    y = x + 1
    part, apart = y[1:], y.detach()
    (y * 2).sum().backward()
    apart.mul_(2)
    assert y.requires_grad and part.requires_grad and not apart.requires_grad
    x.grad = None
    part.zero_()
    y.sum().backward()
    assert x.grad.tolist() == [1, 0, 0] and apart.tolist() == [4, 0, 0]


def test_a_view_written_to_itself_counts_as_a_write() -> None:
    x = jitgrad.tensor([1.0, 2.0, 3.0], requires_grad=True)
    y = x * 1
    y[1:] *= 2
    assert y._version == 2 and y.tolist() == [1, 4, 6]
    (y * y).sum().backward()
    assert x.grad.tolist() == [2, 16, 24]
    z = jitgrad.zeros(3)
    z[1:] += 1
    assert z.tolist() == [0, 1, 1]


@pytest.mark.parametrize("write", ["y[1:] = 0", "y.zero_()", "y.fill_(2.)", "y[1:].copy_(x[1:])", "y.detach().zero_()",
                                   "y.view(3, 1).fill_(1.)", "y[0] = x[1]", "v.fill_(1.)", "v.mul_(2)"])
@pytest.mark.parametrize("use", ["y", "v"])
def test_saved_values_that_were_overwritten(write: str, use: str) -> None:
    with pytest.raises(RuntimeError, match="modified by an inplace operation.* which is output 0 of .* is at version 1; expected "
                                           "version 0 instead"):
        run(f"y = x * 2; v = y[1:]; z = ({use} * {use}).sum(); {write}; z.backward()")


@pytest.mark.full
@pytest.mark.parametrize("seeds", range(4))
def test_random_programs(seeds: int) -> None:
    torch = pytest.importorskip("torch")
    for seed in range(1000 * seeds, 1000 * seeds + 25):
        lines, readers = histories.random_program(random.Random(drawn.seed(seed)))
        want = histories.random_outcome(torch, lines, readers)
        assert "some elements of the" in want or histories.random_outcome(jitgrad, lines, readers) == want, "\n".join(lines)


if __name__ == "__main__":
    import torch
    print("SHOWN: dict[str, str] = {")
    for name in GROUPS:
        print(f'    "{name}": "{fingerprint(list(shown(torch, name).values()))}",')
    print("}\nCAPTURED: dict[str, str] = {")
    for name in GROUPS:
        print(f'    "{name}": "{fingerprint(list(captured(torch, lambda function: function, name).values()))}",')
    print("}")
