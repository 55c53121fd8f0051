"""The same function in several threads at once."""
from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any


def together(work: Callable[[Any], Any], arguments: Iterable[Any]) -> list[Any]:
    """[work(argument), ...], each in a thread of its own; none starts before all are there.

    Waits for all of them, then raises what the first that failed has raised."""
    arguments = list(arguments)
    start = threading.Barrier(len(arguments), timeout=30)

    def begin(argument: Any) -> Any:
        start.wait()
        return work(argument)

    with ThreadPoolExecutor(len(arguments)) as pool:
        return list(pool.map(begin, arguments))
