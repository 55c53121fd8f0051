"""Probability distributions, as in torch.distributions: log_prob, rsample, entropy and divergences, as composites of operators."""
from __future__ import annotations

from jitgrad.distributions import constraints, transforms
from jitgrad.distributions.by_transform import Gumbel, HalfCauchy, HalfNormal, LogNormal, Pareto, Weibull
from jitgrad.distributions.composed import Independent, MixtureSameFamily, TransformedDistribution
from jitgrad.distributions.continuous import Cauchy, Exponential, Laplace, Normal, Uniform
from jitgrad.distributions.discrete import Bernoulli, Binomial, Categorical, Geometric, Poisson
from jitgrad.distributions.distribution import Distribution, ExponentialFamily
from jitgrad.distributions.gamma_family import Beta, Chi2, Dirichlet, Gamma, StudentT
from jitgrad.distributions.kl import register_kl
from jitgrad.distributions.kl_pairs import kl_divergence
from jitgrad.distributions.multivariate_normal import MultivariateNormal
from jitgrad.distributions.transforms import (
    AbsTransform,
    AffineTransform,
    ComposeTransform,
    ExpTransform,
    IndependentTransform,
    LowerCholeskyTransform,
    PowerTransform,
    SigmoidTransform,
    SoftmaxTransform,
    SoftplusTransform,
    StickBreakingTransform,
    TanhTransform,
    Transform,
    identity_transform,
)

__all__ = ["AbsTransform", "AffineTransform", "Bernoulli", "Beta", "Binomial", "Categorical", "Cauchy", "Chi2", "ComposeTransform",
           "Dirichlet", "Distribution", "ExpTransform", "Exponential", "ExponentialFamily", "Gamma", "Geometric", "Gumbel",
           "HalfCauchy",
           "HalfNormal", "Independent", "IndependentTransform", "Laplace", "LogNormal", "LowerCholeskyTransform", "MixtureSameFamily",
           "MultivariateNormal", "Normal", "Pareto", "Poisson", "PowerTransform", "SigmoidTransform", "SoftmaxTransform",
           "SoftplusTransform", "StickBreakingTransform", "StudentT", "TanhTransform", "Transform", "TransformedDistribution",
           "Uniform",
           "Weibull", "constraints", "identity_transform", "kl_divergence", "register_kl", "transforms"]
