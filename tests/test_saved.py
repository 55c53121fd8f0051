"""What a graph saves and a backward frees, as in PyTorch 2.13, which printed the expected lines (see regenerate)."""
from __future__ import annotations

import contextlib
import warnings
from pathlib import Path

import drawn
import pytest
from saved import OPERATIONS, PROGRAMS, operands

import jitgrad
from jitgrad.autograd.graph import saved_tensors_hooks

FILES = {name: Path(__file__).parent / f"saved_{name}.txt" for name in PROGRAMS}


# Each structure is compiled, for its errors alone: a run takes every so many of the cases, --seed says from which on.
SHARE = {"overwritten": 8, "written": 1, "freed": 6}


def seen(name: str, module, part: slice = slice(None)) -> list[str]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return list(PROGRAMS[name](module, part))


def expected(name: str) -> list[str]:
    return FILES[name].read_text(encoding="utf-8").splitlines()


@pytest.mark.parametrize("name", PROGRAMS)
def test_recorded_and_compiled(name):
    part = slice(drawn.seed() % SHARE[name], None, SHARE[name])
    assert seen(name, jitgrad, part) == expected(name)[part]


@pytest.mark.parametrize("name", PROGRAMS)
def test_interpreted(name):
    with jitgrad.interpret():
        assert seen(name, jitgrad) == expected(name)


@pytest.mark.parametrize("name", PROGRAMS)
def test_expectations_are_pytorchs(name):
    assert seen(name, pytest.importorskip("torch")) == expected(name)


def test_a_generators_detached_output():
    """The updates of a discriminator and of its generator, in turn."""
    w, u = (jitgrad.tensor([0.5, 1.0], requires_grad=True) for _ in range(2))
    for _ in range(6):
        w.grad = u.grad = None
        f = jitgrad.tanh(w) * 2
        (u * f.detach()).sum().backward()
        (f ** 2).sum().backward()
        assert u.grad.tolist() == pytest.approx([0.924234, 1.523188], rel=1e-5)
        assert w.grad.tolist() == pytest.approx([2.907388, 2.558800], rel=1e-4)


@pytest.mark.parametrize("use", ["loss.backward(), (f ** 2).sum().backward()", "(f ** 2).sum().backward(), loss.backward()",
                                 "loss.item(), loss.backward(), f.tolist(), (f ** 2).sum().backward()"])
def test_replayed(use):
    @jitgrad.compile
    def both(w, u):
        f = jitgrad.tanh(w) * 2
        return f, (u * f.detach()).sum()

    for _ in range(5):
        w, u = (jitgrad.tensor([0.5, 1.0], requires_grad=True) for _ in range(2))
        f, loss = both(w, u)
        eval(use, {"f": f, "loss": loss})
        assert u.grad.tolist() == pytest.approx([0.924234, 1.523188], rel=1e-5)
        assert w.grad.tolist() == pytest.approx([2.907388, 2.558800], rel=1e-4)
        with pytest.raises(RuntimeError, match="a second time"):
            loss.backward()


def test_a_layer_notices_an_overwritten_weight():
    layer, x = jitgrad.nn.Linear(3, 2), jitgrad.ones(4, 3, requires_grad=True)
    for _ in range(3):
        loss = layer(x).sum()
        with jitgrad.no_grad():
            layer.weight.add_(1.0)
        with pytest.raises(RuntimeError, match=r"\[torch.FloatTensor \[3, 2\]\], which is output 0 of AsStrided, is at version"):
            loss.backward()


def regenerate() -> None:
    """Write the files anew from PyTorch: python -c 'import test_saved as t; t.regenerate()'."""
    import torch
    for name, file in FILES.items():
        file.write_text("".join(f"{line}\n" for line in seen(name, torch)), encoding="utf-8")


def test_hooks_that_give_back_what_they_got_change_no_gradient() -> None:
    lines = [line.rpartition(": ") for line in OPERATIONS.replace("\n", "; ").split("; ") if line]
    with jitgrad.interpret():
        for text, _, shapes in lines:
            found = []
            for hooks in (contextlib.nullcontext(), saved_tensors_hooks(lambda v: v.detach().clone(), lambda v: v)):
                given = [o.requires_grad_() for o in operands(jitgrad, shapes)]
                names = {"t": jitgrad, "F": jitgrad.nn.functional, "idx": jitgrad.tensor([0, 1])}
                names |= dict(zip("abc", given, strict=False))
                with hooks:
                    out = eval(text, names)
                first = jitgrad.autograd.grad(out.sum(), given, allow_unused=True, create_graph=True) if out.requires_grad else ()
                roots = [g for g in first if g is not None and g.requires_grad and "hardsigmoid" not in text]
                second = jitgrad.autograd.grad(sum([(g * g).sum() for g in roots]), given, allow_unused=True) if roots else ()
                found.append([*first, *second])
            for plain, hooked in zip(*found, strict=True):
                assert (plain is None) == (hooked is None), text
                assert plain is None or jitgrad.allclose(plain, hooked, atol=1e-5, equal_nan=True), text
