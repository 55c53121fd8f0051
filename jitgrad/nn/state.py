"""What a state_dict holds of a module, and how it is loaded again."""
from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple, Protocol

from jitgrad.graph.recording import in_grad_mode
from jitgrad.nn.parameter import Parameter
from jitgrad.tensors.tensor import Tensor


class IncompatibleKeys(NamedTuple):
    """What load_state_dict did not find, and what it did not know."""

    missing_keys: list[str]
    unexpected_keys: list[str]

    def __repr__(self) -> str:
        if not self.missing_keys and not self.unexpected_keys:
            return "<All keys matched successfully>"
        return f"_IncompatibleKeys(missing_keys={self.missing_keys}, unexpected_keys={self.unexpected_keys})"


class Stateful(Protocol):
    """What is needed of a Module."""

    _parameters: dict[str, Parameter | None]
    _buffers: dict[str, Tensor | None]
    _non_persistent_buffers_set: set[str]

    def named_modules(self, *, remove_duplicate: bool = True) -> Iterable[tuple[str, Stateful]]:
        """Dotted names and modules, this one first."""
        ...


def own_state(module: Stateful) -> dict[str, Tensor]:
    """The parameters and persistent buffers of this module alone."""
    transient = module._non_persistent_buffers_set
    found = {name: value for name, value in module._parameters.items() if value is not None}
    return found | {n: value for n, value in module._buffers.items() if value is not None and n not in transient}


def load_state(to: Stateful, state_dict: Mapping[str, Any], strict: bool, assign: bool) -> IncompatibleKeys:
    """Module.load_state_dict."""
    if not isinstance(state_dict, Mapping):
        raise TypeError(f"Expected state_dict to be dict-like, got {type(state_dict)}.")
    missing: list[str] = []
    errors: list[str] = []
    known: set[str] = set()
    for path, module in to.named_modules(remove_duplicate=False):
        for name, value in own_state(module).items():
            key = f"{path}.{name}" if path else name
            known.add(key)
            if key in state_dict:
                error = _load_entry(module, key, name, value, state_dict[key], assign)
                if error is not None:
                    errors.append(error)
            else:
                missing.append(key)
    unexpected = [key for key in state_dict if key not in known]
    if strict:
        errors = [f"{kind} key(s) in state_dict: " + ", ".join(f'"{name}"' for name in names) + ". "
                  for kind, names in (("Missing", missing), ("Unexpected", unexpected)) if names] + errors
    if errors:
        raise RuntimeError(f"Error(s) in loading state_dict for {type(to).__name__}:\n\t" + "\n\t".join(errors))
    return IncompatibleKeys(missing, unexpected)


def _load_entry(module: Stateful, key: str, name: str, value: Tensor, new: Any, assign: bool) -> str | None:
    """Load one entry of the state_dict; the error, if it does not fit."""
    if not isinstance(new, Tensor):
        return (f'While copying the parameter named "{key}", expected torch.Tensor or Tensor-like object from '
                f"checkpoint but received {type(new)}")
    if new.shape != value.shape:
        return (f"size mismatch for {key}: copying a param with shape {new.shape!r} from checkpoint, the shape in "
                f"current model is {value.shape!r}.")
    if not assign:
        in_grad_mode(False, value.copy_, new)       # type: ignore[attr-defined]
    elif name in module._parameters:
        module._parameters[name] = new if isinstance(new, Parameter) else Parameter(new, value.requires_grad)
    else:
        module._buffers[name] = new
    return None
