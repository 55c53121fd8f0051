"""Programs that write to tensors which share memory, and what they show: values, requires_grad, grad_fn and gradients.

`T` is the library: the same text runs in jitgrad and in PyTorch.  All numbers are small integers, exact in every dtype."""
from __future__ import annotations

import itertools
import warnings
from typing import Any

SOURCES = {"computed": "x * 2", "constant": "T.zeros(4) + 1", "leaf": "x"}
ALIASES = {"detach": "y.detach()", "data": "y.data", "view": "y.view(2, 2)", "part": "y[1:]", "clone": "y.clone()",
           "part detached": "y[1:].detach()", "no_grad view": "quiet(lambda: y[1:])", "no_grad": "quiet(lambda: y.view(2, 2))"}
WRITES = {
    "zero_": "{t}.zero_()", "mul_": "{t}.mul_(3)", "copy_": "{t}.copy_({z})", "all": "{t}[:] = {z}", "part": "{t}[-1] = {z}[-1]",
    "part number": "{t}[0] = 5", "part mul_": "{t}[-1:] *= 3", "view of part": "{t}[1:].view(-1)[:1].copy_({z}.view(-1)[:1])",
    "view of part number": "{t}[1:].view(-1)[0] = 7", "kept": "k = {t}[1:]; k.copy_({z}[1:]); k[0] = {z}[0]",
    "twice": "{t}.copy_({z}); {t}[0] = {z}[1]"}
TARGETS = {"alias": "a", "base": "y"}
CONTENTS = {"number": "T.full_like({t}, 4.)", "history": "(w[:{t}.numel()] * 3).view({t}.shape)"}
MODES = ("", "quietly")


def programs() -> dict[str, list[str]]:
    """The lines of each program, by name."""
    found: dict[str, list[str]] = {}
    for source, alias, (name, write), target, content, mode in itertools.product(
            SOURCES, ALIASES, WRITES.items(), TARGETS, CONTENTS, MODES):
        if "{z}" not in write and content != "number":
            continue
        t = TARGETS[target]
        z = CONTENTS[content].format(t=t)
        line = write.format(t=t, z=f"({z})")
        if mode:
            line = "with T.no_grad(): " + line
        lines = [f"y = {SOURCES[source]}", "before = y[1:]", f"a = {ALIASES[alias]}", "part = a[1:]", "apart = y.detach()", line,
                 "after = y[1:]", "late = a[1:]"]
        found[", ".join([source, alias, target, name, content, mode]).rstrip(", ")] = lines
    return found


READERS = ("y", "before", "after", "a", "part", "late", "apart")


def outcome(lib: Any, lines: list[str], readers: tuple[str, ...] = READERS) -> str:
    """What a program shows, as text: of each tensor its values and its history, then the gradients of a sum of all of them."""

    def quiet(function: Any) -> Any:
        with lib.no_grad():
            return function()

    x = lib.tensor([1.0, 2.0, 3.0, 4.0], requires_grad=True)
    w = lib.tensor([5.0, 6.0, 7.0, 8.0], requires_grad=True)
    names = {"T": lib, "x": x, "w": w, "quiet": quiet}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            for line in lines:
                exec(line, names)
        except RuntimeError as error:
            return first(error)
        shown = []
        total = lib.zeros(()) * 1
        for i, name in enumerate(readers):
            tensor = names[name]
            text = f"{name} {tensor.detach().reshape(-1).tolist()} {tensor.requires_grad}"
            try:
                fn = tensor.grad_fn
                text += f" {None if fn is None else type(fn).__name__}"
                total = total + ((tensor * tensor).reshape(-1) * lib.tensor([1.0, 2.0, 3.0, 4.0])[:tensor.numel()]).sum() * (i + 1)
            except RuntimeError as error:
                text += " " + first(error)
            shown.append(text)
        try:
            if total.requires_grad:
                total.backward()
        except RuntimeError as error:
            shown.append(first(error))
        shown += [f"{leaf} {None if names[leaf].grad is None else names[leaf].grad.tolist()}" for leaf in ("x", "w")]
        return "\n".join(shown)


def first(error: BaseException) -> str:
    """The first words of an error."""
    return type(error).__name__ + ": " + " ".join(str(error).split()[:6])


def captured(lib: Any, compiled: Any, lines: list[str]) -> list[str]:
    """The values and gradients of a program as a function of its leaves, at each of four calls; `compiled` is called on it."""

    def quiet(function: Any) -> Any:
        with lib.no_grad():
            return function()

    def program(x: Any, w: Any) -> Any:
        names = {"T": lib, "x": x, "w": w, "quiet": quiet}
        for line in codes:
            exec(line, names)
        total = lib.zeros(()) * 1
        for i, name in enumerate(READERS):
            total = total + (names[name] * names[name]).sum() * (i + 1)
        return total, lib.cat([names[name].detach().reshape(-1) for name in READERS])

    codes = [compile(line, "<string>", "exec") for line in lines]
    function = compiled(program)
    shown = []
    for call in range(4):
        x = lib.tensor([1.0, 2.0, 3.0, 4.0 + call], requires_grad=True)
        w = lib.tensor([5.0, 6.0, 7.0, 8.0 - call], requires_grad=True)
        try:
            total, values = function(x, w)
            if total.requires_grad:
                total.backward()
            shown.append(f"{values.tolist()} {[None if t.grad is None else t.grad.tolist() for t in (x, w)]}")
        except RuntimeError as error:
            shown.append(first(error))
    return shown
