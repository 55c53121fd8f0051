"""Compiling generated Python source into functions whose lines show in tracebacks."""
from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any


def function(name: str, head: str, lines: Sequence[str], given: Mapping[str, Any], file: str) -> Callable[..., Any]:
    """The function `name(head)` of these lines, with `given` as variables around it.  Functions of one text share the code.

    file: the generator's, which tracebacks show and by which the package's own frames are told from the user's."""
    body = "\n        ".join(lines)
    return _around(f"def around({', '.join(given)}):\n    def {name}({head}):\n        {body}\n    return {name}\n", file)(**given)


@functools.lru_cache(maxsize=2000)
def _around(source: str, file: str) -> Callable[..., Callable[..., Any]]:
    scope: dict[str, Any] = {}
    exec(compile(source, f"{file}: generated", "exec"), scope)
    return scope["around"]
