"""Random numbers, of streams other than PyTorch's: the same seed gives other numbers than there, the same at each run here.

Numbers are counter-based (Philox4x32-10): each is a function of the generator's seed and of how many were drawn before.  So they depend
neither on threads nor on when and whether values are computed, nor on what computes them: NumPy, the CPU's kernels and CUDA's agree, in
integers and uniform numbers to the bit.  What is an elementwise function of uniform or normal numbers is recorded and fused like any
operation where it belongs to a graph, and `jitgrad.compile` replays it with new numbers at each call.  Poisson, binomial, gamma and
beta numbers are drawn by NumPy's algorithms, over NumPy's own Philox generator keyed by seed and offset."""
from __future__ import annotations

from jitgrad.random import creation, sampling, writing
from jitgrad.random.creation import bernoulli, normal, rand, rand_like, randint, randint_like, randn, randn_like, randperm
from jitgrad.random.generator import (
    Generator,
    default_generator,
    get_rng_state,
    initial_seed,
    manual_seed,
    seed,
    set_rng_state,
)
from jitgrad.random.generator import fork_rng as fork_rng  # of torch.random alone
from jitgrad.random.sampling import binomial, multinomial, poisson
from jitgrad.tensors.tensor import Tensor

__all__ = ["Generator", "bernoulli", "binomial", "default_generator", "get_rng_state", "initial_seed", "manual_seed", "multinomial",
           "normal", "poisson", "rand", "rand_like", "randint", "randint_like", "randn", "randn_like", "randperm", "seed",
           "set_rng_state"]

for _method in (*creation.METHODS, *writing.METHODS, *sampling.METHODS):
    setattr(Tensor, _method.__name__, _method)
