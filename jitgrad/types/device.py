"""torch.device for the devices that jitgrad has."""
from __future__ import annotations


class device:
    """A device by type and index: `device("cpu")`.  Raises RuntimeError for a type that jitgrad does not have."""

    __slots__ = ("type", "index")
    type: str
    index: int | None

    def __init__(self, type: str | device, index: int | None = None) -> None:
        if isinstance(type, device):
            type, index = type.type, type.index
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


CPU = device("cpu")
DeviceLike = device | str | None     # what `device=` takes


def check_device(where: object, operation: str) -> None:
    """Accept None and the CPU.  Raises RuntimeError for a device on which tensors cannot be placed."""
    if where is None:
        return
    if not isinstance(where, (str, device)):
        raise TypeError(f"{operation}(): device must be a string or a device, got {type(where).__name__}")
    found = device(where)
    if found.type != "cpu":
        raise RuntimeError(f"{operation}(): tensors cannot be placed on {found}: this jitgrad holds tensors on the CPU; "
                           "leave device out, or use 'cpu'")
