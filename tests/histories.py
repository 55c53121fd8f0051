"""Programs that write to tensors which share memory, and what they show: values, requires_grad, grad_fn and gradients.

`T` is the library: the same text runs in jitgrad and in PyTorch.  All numbers are small integers, exact in every dtype."""
from __future__ import annotations

import itertools
import random
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


def outcome(lib: Any, lines: list[str], readers: tuple[str, ...] = READERS, names: dict[str, Any] | None = None) -> str:
    """What a program shows, as text: of each tensor its values and its history, then the gradients of a sum of all of them.

    names: becomes the program's variables."""

    def quiet(function: Any) -> Any:
        with lib.no_grad():
            return function()

    x = lib.tensor([1.0, 2.0, 3.0, 4.0], requires_grad=True)
    w = lib.tensor([5.0, 6.0, 7.0, 8.0], requires_grad=True)
    names = {} if names is None else names
    names.update({"T": lib, "x": x, "w": w, "quiet": quiet})
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


# -- random ones -------------------------------------------------------------------------------------------------------

VIEWED = ["{t}[1:]", "{t}[:1]", "{t}[::2]", "{t}.view(-1)", "{t}[:]", "{t}.unsqueeze(0)[0]", "{t}.expand(2, {n})[1]", "{t}.flip(0)[:2]"]
MADE = ["{t} * 2", "{t}.clone()", "{t} + 1", "-{t}", "{t}.detach().clone()", "T.cat([{t}, {t}])[:{n}]"]
APART = ["{t}.detach()", "{t}[1:].detach()", "{t}.detach()[:1]"]
IN_PLACE = ["{t}.zero_()", "{t}.mul_(2)", "{t}.add_(1)", "{t}.neg_()", "{t}.fill_(3.)", "{t}[0] = 2.", "{t}[-1:] *= 2", "{t}[1:] += 1.",
            "{t}[T.tensor([0])] = 1.", "{t}[{t} > 2] = 1."]
FROM = ["{t}.copy_({u})", "{t}.add_({u})", "{t}[:] = {u}", "{t}[...] = {u} * 2", "{t}.sub_({u} * 3)"]
FROM_ONE = ["{t}[0] = {u}[0]", "{t}[-1] = {u}[-1] * 2", "{t}[1:] = {u}[0]", "{t}.fill_({u}[0])"]
WATCHED = ["if {t}.requires_grad and {t}.grad_fn: {t}.retain_grad(); kept.append({t})",
           "if {t}.requires_grad and {t}.grad_fn: {t}.register_hook(double)"]


def random_program(rng: random.Random, size: int = 8) -> tuple[list[str], tuple[str, ...]]:
    """The lines of a program, and its tensors.  Either products are recorded or values are written through .data: what a
    recorded product then does is documented as different."""
    count = {"x": 4, "w": 4, "y": 4, "c": 4}
    lines = ["kept = []", "double = lambda g: g * 2", "y = x * 2", "c = T.zeros(4)"]
    apart = APART if rng.random() < 0.5 else ["{t}.data", "{t}.data[1:]", *APART]
    made = MADE + (["{t} * {t}"] * 2 if apart is APART else [])
    for _ in range(rng.randint(2, size)):
        t = rng.choice(list(count)[2:] * 3 + ["x"])
        others = [u for u, n in count.items() if n == count[t]]
        quietly = rng.random() < 0.2
        kind = rng.random()
        n = count[t]
        if kind < 0.45:
            text = rng.choice(rng.choice([VIEWED, VIEWED, made, apart])).format(t=t, n=n)
            name = f"v{len(count)}"
            length = {"[1:]": n - 1, "[:1]": 1, "[::2]": (n + 1) // 2, "[:2]": min(2, n)}
            found = [m for end, m in length.items() if end in text] or [n]
            if not found[0]:
                continue
            count[name] = found[0]
            text = f"{name} = " + (f"quiet(lambda: {text})" if quietly else text)
        elif kind < 0.85:
            text = rng.choice(rng.choice([IN_PLACE, FROM, FROM_ONE]))
            if "[1:]" in text and n == 1:
                continue
            text = text.format(t=t, u=rng.choice(others if text in FROM else list(count)))
            # PyTorch mistakes a view of a constant that has got a history for a leaf until its grad_fn is asked for.
            text = f"{t}.grad_fn\n" + ("with T.no_grad(): " + text if quietly else text)
        else:
            text = rng.choice(WATCHED).format(t=t)
        lines.append(text)
    return lines, tuple(list(count)[2:])


def random_outcome(lib: Any, lines: list[str], readers: tuple[str, ...]) -> str:
    """`outcome`, and the gradients that were kept."""
    names: dict[str, Any] = {}
    before = lib.get_default_dtype()
    lib.set_default_dtype(lib.float64)
    try:
        shown = outcome(lib, lines, readers, names)
    finally:
        lib.set_default_dtype(before)
    if "\nRuntimeError" in shown:       # of backward(), which PyTorch finds out on its way
        return shown[:shown.index("\nRuntimeError")]
    kept = [None if t.grad is None else t.grad.tolist() for t in names.get("kept", ())]
    return f"{shown}\nkept {kept}"
