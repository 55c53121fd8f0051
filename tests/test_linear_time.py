"""Operators of n tensors take time in n, by counting: calls of functions, comparisons and hashes of nodes (`in` a tuple compares)."""
from __future__ import annotations

import sys
from collections.abc import Callable

import pytest

import jitgrad
from jitgrad.graph.node import Node


def steps(call: Callable[[], object], monkeypatch: pytest.MonkeyPatch) -> int:
    """How many calls, comparisons and hashes of nodes there are in a call."""
    count = 0

    def counted(function: Callable) -> Callable:
        def method(*args: object) -> object:
            nonlocal count
            count += 1
            return function(*args)
        return method

    def called(frame: object, event: str, arg: object) -> None:
        nonlocal count
        count += 1

    with monkeypatch.context() as patch:
        patch.setattr(Node, "__eq__", counted(object.__eq__))
        patch.setattr(Node, "__hash__", counted(object.__hash__))
        before = sys.getprofile()
        sys.setprofile(called)
        try:
            call()
        finally:
            sys.setprofile(before)
    return count


@pytest.mark.parametrize("operands", ["leaves", "pending", "known"])
@pytest.mark.parametrize("name", ["stack", "cat", "hstack", "vstack", "broadcast_tensors"])
def test_of_tensors(name: str, operands: str, monkeypatch: pytest.MonkeyPatch) -> None:
    found = {}
    for n in (200, 400, 800):
        parts = [jitgrad.tensor([float(k)], requires_grad=operands != "known") for k in range(n)]
        if operands == "pending":
            parts = [p * 2 for p in parts]
        args = parts if name == "broadcast_tensors" else [parts]
        found[n] = steps(lambda: getattr(jitgrad, name)(*args), monkeypatch)     # noqa: B023
    assert found[400] > 400
    assert found[800] / found[400] < 2.2 and found[400] / found[200] < 2.2, found


@pytest.mark.parametrize("name", ["unbind", "split", "chunk"])
def test_into_tensors(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    found = {}
    for n in (200, 400, 800):
        x = jitgrad.ones(n, requires_grad=True)
        arguments = {"unbind": (), "split": (1,), "chunk": (n,)}[name]
        found[n] = steps(lambda: getattr(x, name)(*arguments), monkeypatch)      # noqa: B023
    assert found[800] / found[400] < 2.2 and found[400] / found[200] < 2.2, found


def test_what_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    nodes = tuple([jitgrad.ones(1)._node for _ in range(50)])
    assert steps(lambda: nodes[0] in nodes[1:], monkeypatch) >= 49
