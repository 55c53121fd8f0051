"""Autograd behaves as PyTorch's, to the character; the expected text was printed by PyTorch 2.13 (see regenerate)."""
from __future__ import annotations

import re
import warnings
from pathlib import Path

import behaviours_forward_ad  # noqa: F401 (adds to them)
import behaviours_interface  # noqa: F401
import behaviours_saved  # noqa: F401
import behaviours_small_integers  # noqa: F401
import behaviours_views  # noqa: F401
import pytest
from behaviours import BEHAVIOURS

import jitgrad

FILE = Path(__file__).parent / "behaviours.txt"


def seen(name: str, module) -> str:
    """What a behaviour shows, with addresses masked."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        warnings.filterwarnings("ignore", "`torch.jit", DeprecationWarning)       # when torch.func is first used
        return re.sub(r"0x[0-9a-f]+", "0x", repr(BEHAVIOURS[name](module)))


def expected() -> dict[str, str]:
    parts = re.split(r"^=== (\w+)\n", FILE.read_text(encoding="utf-8"), flags=re.M)[1:]
    return {name: text.rstrip("\n") for name, text in zip(parts[::2], parts[1::2], strict=True)}


@pytest.mark.parametrize("name", BEHAVIOURS)
def test_compiled(name):
    assert seen(name, jitgrad) == expected()[name]


@pytest.mark.parametrize("name", BEHAVIOURS)
def test_interpreted(name):
    with jitgrad.interpret():
        assert seen(name, jitgrad) == expected()[name]


def test_expectations_are_pytorchs():
    torch = pytest.importorskip("torch")
    have = expected()
    assert {n: seen(n, torch) for n in BEHAVIOURS} == have


def regenerate() -> None:
    """Write the file anew from PyTorch: python -c 'import test_behaviours as t; t.regenerate()'."""
    import torch
    FILE.write_text("".join(f"=== {n}\n{seen(n, torch)}\n" for n in BEHAVIOURS), encoding="utf-8")
