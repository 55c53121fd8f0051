"""jitgrad.func against torch.func: transforms, their compositions, and what is refused."""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import jitgrad
from jitgrad import func

torch = pytest.importorskip("torch")
pytestmark = [pytest.mark.usefixtures("interpreted"),
              pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning"),       # PyTorch's own, on the way to a jvp
              pytest.mark.filterwarnings("ignore:Attempted to insert a get_attr Node:UserWarning")]
RNG = np.random.default_rng(0)
x, y, A, B = RNG.normal(size=4), RNG.normal(size=4), RNG.normal(size=(4, 3)), RNG.normal(size=(3, 4))


def scalar(T: Any) -> Callable:
    return lambda x: (x.sin() * x.sum()).exp().sum()


def vector(T: Any) -> Callable:
    return lambda x: T.tanh(x * x.sum()) * x[0]


def written(r: Any) -> Any:
    z = r.clone()
    z[1] = r[0] * 2
    z.mul_(3)
    return z


def leaves(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return [t for v in value.values() for t in leaves(v)]
    return [t for v in value for t in leaves(v)] if isinstance(value, (tuple, list)) else [value]


CASES: dict[str, tuple[Callable, tuple]] = {
    "grad": (lambda T, F, x: F.grad(scalar(T))(x), (x,)),
    "grad of grad": (lambda T, F, x: F.grad(lambda x: F.grad(scalar(T))(x).pow(2).sum())(x), (x,)),
    "third order": (lambda T, F, x: F.grad(lambda x: F.grad(lambda x: F.grad(scalar(T))(x).pow(2).sum())(x).sum())(x), (x,)),
    "argnums": (lambda T, F, x, y: F.grad(lambda a, b: (a * b * b).sum(), argnums=(0, 1))(x, y), (x, y)),
    "aux": (lambda T, F, x: F.grad_and_value(lambda x: (x.sum() ** 2, x * 2), has_aux=True)(x), (x,)),
    "trees": (lambda T, F, x, y: F.grad(lambda d: (d["a"] * d["b"][0] ** 2).sum())({"a": x, "b": [y]}), (x, y)),
    "vjp": (lambda T, F, x: [F.vjp(vector(T), x)[0], F.vjp(vector(T), x)[1](x)], (x,)),
    "jvp": (lambda T, F, x, y: F.jvp(vector(T), (x,), (y,)), (x, y)),
    "jvp of jvp": (lambda T, F, x, y: F.jvp(lambda x: F.jvp(vector(T), (x,), (y,))[1], (x,), (y,)), (x, y)),
    "jvp of grad": (lambda T, F, x, y: F.jvp(F.grad(scalar(T)), (x,), (y,))[1], (x, y)),
    "grad of jvp": (lambda T, F, x, y: F.grad(lambda x: F.jvp(scalar(T), (x,), (y,))[1])(x), (x, y)),
    "linearize": (lambda T, F, x, y: (lambda out, f: [out, f(y), f(x)])(*F.linearize(vector(T), x)), (x, y)),
    "jacrev": (lambda T, F, x: F.jacrev(vector(T))(x), (x,)),
    "jacfwd": (lambda T, F, x: F.jacfwd(vector(T))(x), (x,)),
    "jacobian of trees": (lambda T, F, x, y: F.jacrev(lambda d: {"o": d["a"] * d["b"], "p": d["a"].sum()})({"a": x, "b": y}), (x, y)),
    "jacobians by both": (lambda T, F, x, y: F.jacfwd(lambda a, b: (a * b, a.sum()), argnums=(0, 1))(x, y), (x, y)),
    "hessian": (lambda T, F, x: F.hessian(scalar(T))(x), (x,)),
    "hessian of two": (lambda T, F, x, y: F.hessian(lambda a, b: (a * b).sum().exp(), argnums=(0, 1))(x, y), (x, y)),
    "reverse over forward": (lambda T, F, x: F.jacrev(F.jacfwd(vector(T)))(x), (x,)),
    "forward over forward": (lambda T, F, x: F.jacfwd(F.jacfwd(vector(T)))(x), (x,)),
    "reverse over reverse": (lambda T, F, x: F.jacrev(F.jacrev(vector(T)))(x), (x,)),
    "kinks": (lambda T, F, x: F.hessian(lambda z: T.relu(z).pow(3).sum() + z.abs().max())(x), (x,)),
    "vmap": (lambda T, F, A: F.vmap(lambda r: (r * r.sum()).softmax(0))(A), (A,)),
    "dims": (lambda T, F, A: F.vmap(lambda r, s: r.outer(s), in_dims=(1, None), out_dims=2)(A, A[0]), (A,)),
    "dims of trees": (lambda T, F, A, B: F.vmap(lambda d, s: (d["a"] * s, d["b"].sum()), in_dims=({"a": 0, "b": 1}, None),
                                                out_dims=(1, 0))(
        {"a": A, "b": B}, A[0, 0]), (A, B)),
    "vmap of grad": (lambda T, F, A: F.vmap(F.grad(scalar(T)))(A), (A,)),
    "grad of vmap": (lambda T, F, A: F.grad(lambda A: F.vmap(scalar(T))(A).sum())(A), (A,)),
    "vmap of hessian": (lambda T, F, A: F.vmap(F.hessian(scalar(T)))(A), (A,)),
    "vmap of jvp": (lambda T, F, A: F.vmap(lambda r: F.jvp(scalar(T), (r,), (r,))[1])(A), (A,)),
    "nested": (lambda T, F, A, B: F.vmap(F.vmap(T.dot, in_dims=(None, 1)), in_dims=(0, None))(A, B), (A, B)),
    "jacrev of vmap": (lambda T, F, A: F.jacrev(F.vmap(lambda r: r.sin() * r.sum()))(A), (A,)),
    "jacfwd of vmap": (lambda T, F, A: F.jacfwd(F.vmap(lambda r: r.sin() * r.sum()))(A), (A,)),
    "chunks": (lambda T, F, A: F.vmap(lambda r: (r.sin(), r.sum()), chunk_size=3, out_dims=(1, 0))(A), (A,)),
    "writes": (lambda T, F, A: F.vmap(written)(A), (A,)),
    "grad of writes": (lambda T, F, A: F.vmap(F.grad(lambda r: written(r).pow(2).sum()))(A), (A,)),
    "products": (lambda T, F, A, B: [F.vmap(T.matmul, in_dims=(0, None))(A, B), F.vmap(T.mv, in_dims=(None, 1))(B, A)], (A, B)),
    "positions": (lambda T, F, A: F.vmap(lambda r: A[r.argmax().reshape(1)])(A.abs()[:, :3]), (np.abs(A),)),
    "gather": (lambda T, F, A: F.vmap(lambda r: r.gather(0, r.argmax(0, keepdim=True)))(A), (A,)),
    "reductions": (lambda T, F, A: F.vmap(F.grad(lambda r: r.std() + r.norm() + r.logsumexp(0) + r.max() + r.prod()))(A), (A,)),
    "branches by where": (lambda T, F, A: F.vmap(F.grad(lambda r: T.where(r > 0, r, -2 * r * r).sum()))(A), (A,)),
    "constant": (lambda T, F, A: F.vmap(lambda r: T.ones(2))(A).double(), (A,)),
    "detach": (lambda T, F, x: F.grad(lambda x: (x * x.detach()).sum())(x), (x,))}


@pytest.mark.parametrize("name", CASES)
def test_as_torch(name: str) -> None:
    code, arrays = CASES[name]
    found = [leaves(code(xp, xp.func, *[xp.tensor(a) for a in arrays])) for xp in (jitgrad, torch)]
    for a, b in zip(*found, strict=True):
        assert tuple(a.shape) == tuple(b.shape) and a.requires_grad == b.requires_grad
        np.testing.assert_allclose(a.detach().numpy(), b.detach().numpy(), rtol=1e-9, atol=1e-11)


def test_through_parameters_that_require_gradients() -> None:
    found = []
    for xp in (jitgrad, torch):
        w = xp.tensor(y, requires_grad=True)
        gradient = xp.func.grad(lambda z, w=w: (z * w).sin().sum())(xp.tensor(x))
        mapped = xp.func.vmap(lambda r, w=w: (r * w).cos())(xp.tensor(B))
        found.append([gradient.detach().numpy(), *[g.numpy() for g in xp.autograd.grad(gradient.sum() + mapped.sum(), w)]])
    for a, b in zip(*found, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-10)


def test_gradients_of_each_sample() -> None:
    theirs = torch.nn.Sequential(torch.nn.Linear(3, 5), torch.nn.Tanh(), torch.nn.Linear(5, 1)).double()
    ours = jitgrad.nn.Sequential(jitgrad.nn.Linear(3, 5), jitgrad.nn.Tanh(), jitgrad.nn.Linear(5, 1)).double()
    ours.load_state_dict({k: jitgrad.tensor(v.numpy()) for k, v in theirs.state_dict().items()})
    found = []
    for xp, net in ((jitgrad, ours), (torch, theirs)):
        F, p = xp.func, {k: v.detach() for k, v in net.named_parameters()}
        found.append(F.vmap(F.grad(lambda p, x, F=F, net=net: F.functional_call(net, p, (x,)).sum()), in_dims=(None, 0))(p,
                                                                                                                         xp.tensor(A)))
    assert found[0].keys() == found[1].keys()
    for k in found[0]:
        np.testing.assert_allclose(found[0][k].numpy(), found[1][k].numpy(), rtol=1e-10)
    parameters, _ = func.stack_module_state([ours, ours])
    both = func.vmap(lambda p, x: func.functional_call(ours, p, (x,)), in_dims=(0, None))(parameters, jitgrad.tensor(A))
    np.testing.assert_allclose(both[1].detach().numpy(), theirs(torch.tensor(A)).detach().numpy(), rtol=1e-10)
    with pytest.raises(RuntimeError, match=r"Unexpected key\(s\): 'q'"):
        func.functional_call(ours, {**dict(ours.named_parameters()), "q": jitgrad.ones(1)}, (jitgrad.tensor(A),), strict=True)
    assert type(ours[0].weight) is jitgrad.nn.Parameter


@pytest.mark.parametrize(("function", "error", "message"), [
    (lambda r: r if r.sum() > 0 else -r, RuntimeError, r"calling .item\(\) on a Tensor"),
    (lambda r: r * r.sum().item(), RuntimeError, "rewrite what you're doing"), (lambda r: r + jitgrad.randn(3), RuntimeError,
                                                                                "randomness"),
    (lambda r: 3, ValueError, "must only return Tensors, got type <class 'int'>")])
def test_what_vmap_refuses(function: Callable, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        func.vmap(function)(jitgrad.tensor(A))


def test_dims_that_are_wrong() -> None:
    a, b = jitgrad.tensor(A), jitgrad.tensor(B)
    for given, args, message in [((0, 2), (a, b), "Got in_dim=2"), (0, (a, b), "same size in the mapped dimension"),
                                 (0, (a, 3.0), "non-Tensor"),
                                 (None, (a,), "in_dims"), ((0,), (a, b), "in_dims")]:
        with pytest.raises(ValueError, match=message):
            func.vmap(lambda *r: r[0], in_dims=given)(*args)
    with pytest.raises(ValueError, match="out_dims"):
        func.vmap(lambda r: r, out_dims=None)(a)
    same = func.vmap(lambda r: r + jitgrad.randn(3), randomness="same")(jitgrad.zeros(2, 3))
    assert same[0].tolist() == same[1].tolist() and same[0].any()
    with pytest.raises(NotImplementedError, match="randomness='different'"):
        func.vmap(lambda r: r + jitgrad.randn(3).uniform_(), randomness="different")(a)


@pytest.mark.parametrize("draw", [
    lambda T, r: r + T.rand(3), lambda T, r: T.randn_like(r), lambda T, r: T.randint(0, 1000, (3,)), lambda T, r: T.randperm(40)[:3],
    lambda T, r: T.bernoulli(T.full((3,), 0.5)), lambda T, r: T.bernoulli(r * 0 + 0.5), lambda T, r: T.normal(r, 1.0),
    lambda T, r: T.nn.functional.dropout(r + 1, 0.5), lambda T, r: T.func.vmap(lambda s: s + T.rand(()), randomness="different")(r),
    lambda T, r: T.func.grad(lambda s: (s * T.rand(3)).sum())(r)])
@pytest.mark.parametrize("randomness", ["same", "different"])
def test_random_numbers_in_vmap(draw: Callable, randomness: str) -> None:
    def seen(T: Any) -> Any:
        try:
            found = T.func.vmap(lambda r: draw(T, r), randomness=randomness)(T.zeros(20, 3))
        except RuntimeError as error:
            return str(error)
        return tuple(found.shape), all([T.equal(found[0], row) for row in found])

    assert seen(jitgrad) == seen(torch)


def test_scalars_are_asked_for() -> None:
    with pytest.raises(RuntimeError, match="scalar tensor"):
        func.grad(lambda x: x * 2)(jitgrad.tensor(x))
    with pytest.raises(RuntimeError, match="floating point"):
        func.grad(lambda x: x.sum())(jitgrad.tensor([1, 2]))


@pytest.mark.compiled
def test_transforms_compile() -> None:
    """A Hessian-vector product of a compiled loss is one compiled function: nothing is compiled again for other values."""
    @jitgrad.compile(strict=True)
    def product(x: Any, v: Any) -> Any:
        return func.jvp(func.grad(scalar(jitgrad)), (x,), (v,))[1]

    mapped = jitgrad.compile(func.vmap(func.grad(scalar(jitgrad))), strict=True)
    given = [jitgrad.tensor(a) for a in (x, y)]
    expected = torch.func.jvp(torch.func.grad(scalar(torch)), (torch.tensor(x),), (torch.tensor(y),))[1]
    for _ in range(3):
        np.testing.assert_allclose(product(*given).numpy(), expected.numpy(), rtol=1e-10)
        mapped(jitgrad.tensor(A)).numpy()
    before = jitgrad.cache_info().compilations
    product(given[1], given[0]).numpy()
    mapped(jitgrad.tensor(2 * A)).numpy()
    assert jitgrad.cache_info().compilations == before
