"""Exceptions of jitgrad's own; what a PyTorch user would catch keeps PyTorch's type.

Those are RuntimeError, TypeError, ValueError and IndexError; what is here has no counterpart in PyTorch, but for the last."""
from __future__ import annotations


class ConfigError(ValueError):
    """A `JITGRAD_*` environment variable that is unknown or has a value out of its list."""


class InternalError(RuntimeError):
    """jitgrad contradicts itself: a graph, program or generated source that breaks an invariant.  Always a bug."""


class CacheWarning(UserWarning):
    """The disk cache cannot be used or held a damaged entry; said once, and the program goes on without it."""


class LinAlgError(RuntimeError):
    """A matrix that has no inverse, is not positive definite, or a decomposition that does not converge (torch.linalg.LinAlgError)."""
