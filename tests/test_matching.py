"""Recognising graphs by machine code against the reference: the same graphs match, whatever is different."""
from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import drawn
import numpy as np
import pytest
import test_requests as requests
from saved import square

import jitgrad
from jitgrad.autograd.reverse import engine
from jitgrad.graph.node import Node
from jitgrad.operators.native import loading, objects
from jitgrad.requests import counters
from jitgrad.requests.capture import capture
from jitgrad.requests.matcher import Pattern
from jitgrad.tensors.tensor import Tensor, wrap

pytestmark = pytest.mark.skipif(not objects.SUPPORTED, reason="objects cannot be read by address")
Square = square(jitgrad)


class Both(jitgrad.autograd.Function):
    """Two outputs."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        return x * 2, y * 3

    @staticmethod
    def backward(ctx: Any, g: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        return g * 2, h * 3


def vector(*numbers: float, needs: bool = True) -> Tensor:
    return jitgrad.tensor([1.0, 2.0, 3.0, *numbers], requires_grad=needs)


# -- of each structure the roots of a graph, by a way in which it may differ: "" not at all --------------------------------

def operations(how: str) -> list[Tensor]:
    x, w = vector(), vector(needs=how != "needs none")
    y = x * w if how != "another operation" else x + w
    y = y.tanh()
    if how == "hook":
        y.register_hook(lambda g: g)
    if how in ("retain_grad", "retain_grad of what is gone"):
        y.retain_grad()
        KEPT.extend([y] * (how == "retain_grad"))
    if how == "shared":
        return [(y * y).sum()]
    root = (y * (x if how != "another leaf" else vector()).exp()).sum()
    if how == "freed":
        (y * 2).sum().backward()
    if how == "retained":
        (y * 2).sum().backward(retain_graph=True)
    if how == "overwritten":
        with jitgrad.no_grad():
            w.add_(1)
    if how == "looked at":
        y.tolist()
    return [root]


def several(how: str) -> list[Tensor]:
    x = vector()
    y, z = x.sin() * 2, x.cos() * 3
    return {"the same twice": [y, y], "the other way": [z, y]}.get(how, [y, z])


def repeated(how: str) -> list[Tensor]:
    x = vector()
    y = x.sin() * 2
    return [y, y if how != "not repeated" else x.sin() * 2, y.exp()]


def hooked(how: str) -> list[Tensor]:
    x = vector()
    h = x * 2
    k = h if how == "one for two" else x * 2
    for n, y in enumerate((h, k)):
        if how == "retain_grad":
            y.retain_grad()
        elif not (how == "one hook" and n) and not (how == "removed hook" and n):
            y.register_hook(lambda g: g)
        elif how == "removed hook":
            y.register_hook(lambda g: g).remove()
    result = [(h * k).sum()]
    KEPT.append((h, k))
    return result


def known(how: str) -> list[Tensor]:
    x = vector()
    y = x.exp()
    if how != "not known":
        y.tolist()
    root = (y.sin() * y).sum()
    if how == "a view":
        y._current().value = y._current().value[::-1]
    if how == "freed":
        (y * 1).sum().backward()
    return [root]


def function(how: str) -> list[Tensor]:
    x, c = vector(), vector(needs=False)
    if how == "a leaf":
        return [(vector() * c).sum()]
    if how == "needs none":
        return [(Square.apply(c) * c).sum() + (x * 0).sum()]
    y = Square.apply(x * 3)
    root = (y * c).sum()
    if how == "freed":
        (y * 1).sum().backward()
    if how == "hook":
        y.register_hook(lambda g: g)
    return [root]


def outputs(how: str) -> list[Tensor]:
    x, y = vector(), vector(needs=how != "needs one")
    u, v = Both.apply(x, y)
    if how == "exchanged":
        u, v = v, u
    if how == "two applications":
        v = Both.apply(x, y)[1]
    if how == "other operands":
        u, v = Both.apply(y, x)
    if how == "no tensor":
        u, v = Both.apply(x, vector(needs=False))
    return [(u.exp() * v).sum()]


def arrays(how: str) -> list[Tensor]:
    x = jitgrad.tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
    c = jitgrad.ones(2, 2)._current()
    large = np.ones((4, 4), np.float32)
    c.value = {"other strides": large[::2, ::2], "contiguous": large[:2].reshape(4, 2)[:2]}.get(how, large[:2, :2].T)
    return [x * wrap(c)]


def sizes(how: str) -> list[Tensor]:
    x = vector(4.0, 5.0)
    return [(x[1:3] if how != "other sizes" else x[2:4]).sin().sum()]


def joined(how: str) -> list[Tensor]:
    x = vector(4.0)
    return [jitgrad.cat([x[:2], x[2:]] if how != "three" else [x[:1], x[1:2], x[2:]]).sin().sum()]


def written(how: str) -> list[Tensor]:
    x = vector()
    y = x * 2
    if how != "not written":
        y.add_(1)
    if how == "written twice":
        y.mul_(3)
    z = y * x
    if how == "overwritten after":
        y.add_(1)
    if how == "hook":
        y.register_hook(lambda g: g)
    return [z.sum()]


def overwritten(how: str) -> list[Tensor]:
    x = vector()
    y = x * 2
    z = y + (1 if how != "exp" else x)
    if how == "neg":
        z = -y
    if how != "not overwritten":
        y.add_(1)
    return [(z * y).sum()]


KEPT: list[Any] = []        # tensors that asked for retain_grad
# Of each the ways that match (behind "sizes": but for these), then those that do not.
CASES: list[tuple[Callable[[str], list[Tensor]], str, str]] = [
    (operations, "retained, looked at, retain_grad of what is gone",
     "another operation, needs none, hook, retain_grad, freed, shared, another leaf, overwritten"),
    (several, "", "the same twice, the other way"), (repeated, "", "not repeated"),
    (hooked, "retain_grad", "one for two, one hook, removed hook"), (known, "", "not known, a view, freed"),
    (function, "hook", "a leaf, needs none, freed"), (outputs, "", "exchanged, two applications, needs one, no tensor"),
    (arrays, "", "other strides, contiguous"), (sizes, "sizes: other sizes", ""), (joined, "", "three"),
    (written, "", "not written, written twice, overwritten after, hook"), (overwritten, "", "exp, neg, not overwritten")]


def nodes(roots: Sequence[Tensor]) -> list[Node]:
    return [t._current() for t in roots]


def pattern_of(roots: list[Node]) -> Pattern:
    return Pattern("any", capture(roots), roots, [], None, None, 0)


@pytest.mark.parametrize(("structure", "same", "other"), CASES, ids=lambda v: getattr(v, "__name__", ""))
def test_what_matches(structure: Callable[[str], list[Tensor]], same: str, other: str) -> None:
    engine.machine_code()
    first = structure("")
    pattern = pattern_of(nodes(first))
    native = loading.matching(pattern)
    assert native is not None
    matching = ["", *same.removeprefix("sizes: ").split(", ")]
    for how in (*matching, *other.split(", ")):
        tensors = structure(how)
        roots = nodes(tensors)
        expected, exact = pattern.follow(roots)
        found = native(*roots)
        matches = how in matching
        assert (expected is not None) is (found is not None) is matches, how
        if found is not None and expected is not None:
            assert found.pop() is exact is not ("sizes" in same and bool(how)), how
            assert len(found) == len(expected) and all([a is b for a, b in zip(found, expected, strict=True)]), how
    assert native(*nodes(first)) is not None
    KEPT.clear()


@pytest.fixture
def compared(monkeypatch: pytest.MonkeyPatch) -> Counter:
    """Every match by both; how many were found and not, by whether machine code can follow the pattern."""
    engine.machine_code()
    counts: Counter = Counter()
    usual = Pattern.match

    def match(self: Pattern, roots: Sequence[Node]) -> tuple[list[Node] | None, bool]:
        expected, exact = self.follow(roots)
        if self.native is None:
            self.native = loading.matching(self) or False
        found = usual(self, roots)
        assert (expected is not None) is (found[0] is not None), self.kind
        assert found[1] is exact and all([a is b for a, b in zip(expected or (), found[0] or (), strict=True)])
        counts[bool(self.native), expected is not None] += 1
        return found

    monkeypatch.setattr(Pattern, "match", match)
    return counts


@pytest.mark.filterwarnings("ignore:Converting a tensor")
def test_random_programs_match_the_same(compared: Counter, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counters, "PATIENCE", 1 << 62)
    for number in range(5):         # one alone may be so short that all of its sizes are others
        requests.program(jitgrad, drawn.seed(number))
    assert compared[True, True] and compared[True, False]


@pytest.mark.parametrize("f", [requests.one_hooked_for_two, requests.one_application_for_two, requests.joined,
                               requests.hook_that_looks])
def test_what_differs_in_identity_alone_matches_the_same(f: Callable, compared: Counter) -> None:
    for i in range(7):
        f(jitgrad, i)
    assert compared[True, True]


def test_a_look_at_what_was_overwritten_behind_a_function(compared: Counter) -> None:
    """Who owns an overwritten value counts for gradients alone: a look takes a Function's output as an array."""
    for i in range(7):
        x = jitgrad.tensor([0.5, 0.25 + i], dtype=jitgrad.float64, requires_grad=True)
        y = requests.Doubled.apply(x) * 0.3 + x.sin()
        y.mul_(0.7)
        assert (y * y).mean().exp().tanh().sin().item() == pytest.approx(
            np.sin(np.tanh(np.exp(np.mean((0.7 * (0.6 * x.detach().numpy() + np.sin(x.detach().numpy()))) ** 2)))))
    assert compared[True, True]
