"""Cells in the manner of PyTorch autograd tutorials print the same text, character by character.

Each cell runs with every `torch` import path mapped to jitgrad, and, where PyTorch is installed, with PyTorch itself; random
inputs are the same arrays in both.  Object addresses are masked."""
from __future__ import annotations

import builtins
import contextlib
import importlib
import io
import re
import warnings

import numpy as np
import pytest
from document_cells import CELLS, EXPECTED

import jitgrad

RANDOM = ("rand", "randn")


def fake_random(module, rng):
    """Replacements of the module's random functions that draw the same arrays for every module."""
    def draw(method):
        def function(*size, requires_grad=False):
            size = size[0] if size and isinstance(size[0], tuple) else size
            return module.tensor(getattr(rng, method)(size).astype(np.float32), requires_grad=requires_grad)
        return function
    return {"rand": draw("random"), "randn": draw("standard_normal")}


def run_cell(source: str, module, name: str) -> str:
    """What a cell prints when `torch` means `module`."""
    original = builtins.__import__

    def mapped(path, *args, **kwargs):
        if path == "torch" or path.startswith("torch."):
            path = name + path[len("torch"):]
            if args and len(args) > 2 and args[2] is None or not args or len(args) < 3 or not args[2]:
                top = importlib.import_module(path)
                return importlib.import_module(name) if "." in path else top
        return original(path, *args, **kwargs)

    rng = np.random.default_rng(7)
    saved = {k: getattr(module, k) for k in RANDOM}
    out = io.StringIO()
    scope = {"__name__": "cell", "__builtins__": {**vars(builtins), "__import__": mapped}}
    try:
        for k, f in fake_random(module, rng).items():
            setattr(module, k, f)
        with contextlib.redirect_stdout(out), warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            exec(compile(source, "<cell>", "exec"), scope)
    finally:
        for k, f in saved.items():
            setattr(module, k, f)
    return re.sub(r"0x[0-9a-fA-F]+", "0x", out.getvalue())


@pytest.mark.parametrize("name", CELLS)
def test_prints_what_pytorch_prints(name):
    torch = pytest.importorskip("torch")
    assert run_cell(CELLS[name], jitgrad, "jitgrad") == run_cell(CELLS[name], torch, "torch")


@pytest.mark.parametrize("name", EXPECTED)
def test_prints_the_published_text(name):
    assert run_cell(CELLS[name], jitgrad, "jitgrad") == EXPECTED[name]


@pytest.mark.parametrize("name", CELLS)
def test_interpreted_prints_the_same(name):
    compiled = run_cell(CELLS[name], jitgrad, "jitgrad")
    with jitgrad.interpret():
        assert run_cell(CELLS[name], jitgrad, "jitgrad") == compiled
