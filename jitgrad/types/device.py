"""torch.device for the devices that jitgrad has."""
from __future__ import annotations

import threading


class device:
    """A device by type and index: `device("cpu")`, `device("cuda:0")`.  Raises RuntimeError for a type that jitgrad does not have."""

    __slots__ = ("type", "index")
    type: str
    index: int | None

    def __init__(self, type: str | int | device, index: int | None = None) -> None:
        if isinstance(type, device):
            type, index = type.type, type.index
        elif isinstance(type, int):
            type, index = "cuda", type
        if ":" in type:
            type, _, text = type.partition(":")
            if not text.isdecimal():
                raise RuntimeError(f"Invalid device string: '{type}:{text}'")
            index = int(text)
        if type not in ("cpu", "cuda"):
            raise RuntimeError(f"Expected one of cpu, cuda device type at start of device string: {type}")
        self.type = type
        self.index = index

    def __repr__(self) -> str:
        return f"device(type='{self.type}'" + (")" if self.index is None else f", index={self.index})")

    def __str__(self) -> str:
        return self.type if self.index is None else f"{self.type}:{self.index}"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, device) and (self.type, self.index) == (other.type, other.index)

    def __hash__(self) -> int:
        return hash((self.type, self.index))

    def __reduce__(self) -> tuple:
        return device, (self.type, self.index)

    def __enter__(self) -> device:
        """Within `with device:` tensors are made there."""
        default.entered = (*default.entered, default.name)
        default.name = placement(self, "device")
        return self

    def __exit__(self, *args: object) -> None:
        *before, default.name = default.entered
        default.entered = tuple(before)


CPU = device("cpu")
DeviceLike = device | str | int | None     # what `device=` takes
_devices = {"cpu": CPU, "cuda:0": device("cuda", 0)}


class _Default(threading.local):
    """Where a thread's tensors are made unless they are told: as an array type has it."""

    name = "cpu"
    entered: tuple[str, ...] = ()       # the ones before, of each `with device:`


default = _Default()


def placement(where: object, operation: str) -> str:
    """What `device=` names, as array types have it ("cpu", "cuda:0"); None is the default device.

    Raises TypeError for what names no device, RuntimeError for one that is not here."""
    if where is None:
        return default.name
    if isinstance(where, int) and not isinstance(where, bool):
        where = device("cuda", where)
    if not isinstance(where, (str, device)):
        raise TypeError(f"{operation}(): argument 'device' must be torch.device, not {type(where).__name__}")
    found = device(where)
    if found.type == "cpu":
        return "cpu"
    if found.index not in (None, 0):
        raise RuntimeError("CUDA error: invalid device ordinal: jitgrad uses one device, cuda:0")
    return "cuda:0"


def known_device(name: str) -> device:
    """The device of an array type."""
    return _devices[name]
