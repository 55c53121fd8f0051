"""torch.backends, as programs ask for it: which accelerators and libraries there are (none), and switches that change nothing."""
from __future__ import annotations

from types import SimpleNamespace
from typing import Any

__all__ = ["cpu", "cuda", "cudnn", "mkl", "mkldnn", "mps", "openmp"]


def _no() -> bool:
    """False: it is not here."""
    return False


def _absent(**switches: Any) -> SimpleNamespace:
    return SimpleNamespace(is_available=_no, is_built=_no, **switches)


cudnn = _absent(enabled=False, benchmark=False, deterministic=False, allow_tf32=False, version=lambda: None)
cuda = SimpleNamespace(is_built=_no, matmul=SimpleNamespace(allow_tf32=False))
mps, mkl, mkldnn, openmp = _absent(), _absent(), _absent(enabled=False), _absent()
cpu = SimpleNamespace(get_cpu_capability=lambda: "DEFAULT")
