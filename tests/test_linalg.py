"""Linear algebra where results are determined up to signs, where values coincide, and as views and writes see it."""
from __future__ import annotations

import contextlib

import numpy as np
import pytest
from oracle import torch

import jitgrad

pytestmark = pytest.mark.full

LIBS = (jitgrad, torch)


def matrix(lib, n=4, symmetric=True, seed=0):
    a = np.random.default_rng(seed).normal(size=(n, n))
    return lib.tensor(a @ a.T + np.eye(n) if symmetric else a, requires_grad=True)


def derivatives(lib, f, *leaves):
    """f's value, its gradients, and the gradients of a weighted sum of those."""
    y = f(lib, *leaves)
    first = lib.autograd.grad(y, leaves, create_graph=True)
    total = sum([(g * lib.tensor(np.cos(np.arange(g.numel())).reshape(tuple(g.shape)))).sum() for g in first])
    second = lib.autograd.grad(total, leaves)
    return [t.detach().numpy() for t in (y, *first, *second)]


FUNCTIONS = {
    "eigh": lambda T, a: ((v := T.linalg.eigh(a + a.T)).eigenvectors ** 2 @ T.sin(v.eigenvalues)).sum(),
    "eigh of the upper triangle": lambda T, a: ((v := T.linalg.eigh(a + a.T, "U")).eigenvectors ** 2 @ T.sin(v[0])).prod(),
    "svd": lambda T, a: (((v := T.linalg.svd(a, full_matrices=False)).U * v.S ** 0.5 @ v.Vh) ** 3).sum(),
    "svd of a wide matrix": lambda T, a: (((v := T.linalg.svd(a[:3], full_matrices=False))[0] * v[1].sin() @ v[2]) ** 2).sum(),
    "svd of a tall matrix": lambda T, a: ((v := T.linalg.svd(a[:, :3], False))[0] ** 2 @ v[1]).sum() + (v[2] ** 4).sum(),
    "qr": lambda T, a: ((v := T.linalg.qr(a)).Q ** 2 @ v.R ** 2).sum(),
    "log-determinant by Cholesky": lambda T, a: 2 * T.linalg.cholesky(a @ a.T + T.eye(4, dtype=a.dtype)).diagonal().log().sum(),
    "Gaussian process": lambda T, a: T.linalg.solve_triangular(T.linalg.cholesky(a @ a.T + T.eye(4, dtype=a.dtype)), a[:, :1],
                                                               upper=False).square().sum() + T.logdet(a @ a.T),
    "least squares": lambda T, a: T.linalg.lstsq(a[:, :2], a[:, 2:]).solution.square().sum(),
    "a sum over the diagonal of a view": lambda T, a: a.T.diagonal(1).exp().sum() + a.trace() ** 2,
}


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("interpreted", [True, False], ids=["interpreted", "compiled"])
def test_two_orders_agree_with_pytorch(name, interpreted):
    with jitgrad.interpret() if interpreted else contextlib.nullcontext():
        ours = derivatives(jitgrad, FUNCTIONS[name], matrix(jitgrad))
    for got, want in zip(ours, derivatives(torch, FUNCTIONS[name], matrix(torch)), strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-8, atol=1e-8)


def test_equal_eigenvalues_have_finite_gradients_unless_vectors_are_asked_for():
    for f in (lambda T, a: T.linalg.eigvalsh(a).square().sum(), lambda T, a: T.linalg.svdvals(a).square().sum(),
              lambda T, a: T.linalg.norm(a, "nuc")):
        found = []
        for lib in LIBS:
            a = lib.eye(3, dtype=lib.float64).requires_grad_()
            f(lib, a).backward()
            found.append(a.grad.numpy())
        np.testing.assert_allclose(*found, atol=1e-12)


def test_singular_matrices_raise_where_they_are_computed():
    for lib in LIBS:
        with pytest.raises(lib.linalg.LinAlgError, match="the input matrix is singular"):
            lib.linalg.inv(lib.zeros(2, 2)).sum().item()
        with pytest.raises(RuntimeError, match=r"not positive-definite \(the leading minor of order 2"):
            lib.linalg.cholesky(lib.tensor([[1., 0.], [0., -1.]])).sum().item()
        with pytest.raises(RuntimeError, match="A must be batches of square matrices, but they are 2 by 3 matrices"):
            lib.linalg.inv(lib.zeros(2, 3))


def test_a_diagonal_is_a_view():
    for lib in LIBS:
        x = lib.zeros(3, 4)
        d = x.diagonal(1)
        d += lib.arange(3.)
        d[0] = 7
        x.diagonal(-1).fill_(5)
        assert x.tolist() == [[0, 7, 0, 0], [5, 0, 1, 0], [0, 5, 0, 2]]
        assert (d.stride(), d.storage_offset(), d.is_contiguous()) == ((5,), 1, False)
        a = lib.ones(3, 3, requires_grad=True)
        y = a * 2
        y.diagonal().mul_(3)
        (y * lib.arange(9.).reshape(3, 3)).sum().backward()
        assert a.grad.tolist() == [[0, 2, 4], [6, 24, 10], [12, 14, 48]]


def test_sizes_do_not_recompile():
    def loss(n):
        a = jitgrad.tensor(np.random.default_rng(n).normal(size=(n, n)), requires_grad=True)
        s = a @ a.T + jitgrad.eye(n, dtype=jitgrad.float64)
        (jitgrad.linalg.cholesky(s).diagonal().log().sum() + jitgrad.cumsum(jitgrad.triu(a), 1).square().sum()).backward()

    jitgrad.clear_cache()
    loss(4)
    before = jitgrad.cache_info().compilations
    for n in (5, 6, 7):
        loss(n)
    assert jitgrad.cache_info().compilations == before


@pytest.mark.parametrize("code", ["inv_ex(a)", "cholesky_ex(a)", "cholesky_ex(a, upper=True)", "solve_ex(a, b)",
                                  "solve_ex(a, b[..., 0])"])
def test_what_fails_is_told_matrix_by_matrix(code: str) -> None:
    found = []
    for lib in LIBS:
        stack = np.stack([np.eye(3), np.array([[1.0, 2, 0], [2, 4, 0], [0, 0, -1]]), np.diag([2.0, 1, 3])])
        a = lib.tensor(stack, requires_grad=True)
        result, info = eval(f"lib.linalg.{code}", {"lib": lib, "a": a, "b": lib.ones(3, 3, 2, dtype=lib.float64)})
        good = (info == 0).nonzero().flatten()
        result[good].sum().backward()
        found.append((info.numpy(), str(info.dtype), result[good].detach().numpy(), a.grad[good].numpy()))
        with pytest.raises(RuntimeError) as error:
            eval(f"lib.linalg.{code[:-1]}, check_errors=True)", {"lib": lib, "a": a, "b": lib.ones(3, 3, 2, dtype=lib.float64)})
        found[-1] = (*found[-1], str(error.value))
    for ours, theirs in zip(*found, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-10) if isinstance(ours, np.ndarray) else None
        assert isinstance(ours, np.ndarray) or ours == theirs


@pytest.mark.parametrize("code", ["matrix_rank(a)", "matrix_rank(a, tol=t)", "matrix_rank(a, atol=t)",
                                  "matrix_rank(a, rtol=t, hermitian=True)",
                                  "pinv(a, hermitian=True)",
                                  "(eigh(a)[0].unsqueeze(-2) * eigh(a)[1] ** 2).cos()"])
def test_matrices_that_are_read_below_the_diagonal(code: str) -> None:
    found = []
    for lib in LIBS:
        a = lib.tensor(np.random.default_rng(1).normal(size=(2, 3, 3)), requires_grad=True)
        known = {"a": a, "t": lib.tensor([0.5, 2.0]), **{n: getattr(lib.linalg, n) for n in ("matrix_rank", "pinv", "eigh")}}
        result = eval(code, known)
        found.append([result.detach().numpy()])
        if result.requires_grad:
            g, = lib.autograd.grad((result * lib.arange(result.numel()).reshape(result.shape)).sum(), a, create_graph=True)
            found[-1] += [g.detach().numpy(), lib.autograd.grad(g.sin().sum(), a)[0].numpy()]
    for ours, theirs in zip(*found, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-8, atol=1e-10)
