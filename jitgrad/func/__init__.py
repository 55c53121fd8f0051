"""Function transforms, as in torch.func: they compose in any order and depth, and what they give compiles."""
from __future__ import annotations

from jitgrad.func.modules import functional_call, stack_module_state
from jitgrad.func.transforms import grad, grad_and_value, hessian, jacfwd, jacrev, jvp, linearize, vjp
from jitgrad.func.vmap import vmap

__all__ = ["functional_call", "grad", "grad_and_value", "hessian", "jacfwd", "jacrev", "jvp", "linearize", "stack_module_state", "vjp",
           "vmap"]


def __dir__() -> list[str]:
    return sorted(__all__)
