"""Named tuples that operators return (torch.return_types)."""
from __future__ import annotations

import functools
from collections import namedtuple
from typing import Any

RESULTS: dict[str, Any] = {}        # by operator


@functools.cache        # to make one takes half a millisecond
def _fields(names: str) -> Any:
    return namedtuple("result", names)


def result_type(kind: str, fields: str) -> Any:
    """The named tuple of an operator's results, printed as PyTorch does."""
    base = _fields(fields)

    def __repr__(self: Any) -> str:
        lines = ",\n".join([f"{name}={value!r}" for name, value in zip(self._fields, self, strict=True)])
        return f"torch.return_types.{kind}(\n{lines})"

    made = RESULTS[kind] = type(kind, (base,), {"__slots__": (), "__repr__": __repr__, "__module__": "jitgrad.return_types"})
    return made
