"""autograd.functional, gradcheck, anomaly mode, batched gradients, checkpoint, hooks on several tensors, states of generators."""
from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import jitgrad

torch = pytest.importorskip("torch")
pytestmark = [pytest.mark.usefixtures("interpreted"),
              pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")]      # PyTorch's own, on the way to a jvp
RNG = np.random.default_rng(0)
x, y = RNG.normal(size=4), RNG.normal(size=4)


def vector(T: Any) -> Callable:
    return lambda x: T.tanh(x * x.sum()) * x[0]


def two(T: Any) -> Callable:
    return lambda x, y: (x.exp() * y.sum(), (x * y).sum())


def scalar(T: Any) -> Callable:
    return lambda x, y: (x.sin() * y.sum() * y).exp().sum()


def leaves(value: Any) -> list[Any]:
    return [t for v in value for t in leaves(v)] if isinstance(value, (tuple, list)) else [value]


CASES: dict[str, Callable] = {
    "jacobian": lambda T, A, x, y: A.jacobian(vector(T), x), "jacobian of two": lambda T, A, x, y: A.jacobian(two(T), (x, y),
                                                                                                              vectorize=True),
    "forward": lambda T, A, x, y: A.jacobian(two(T), (x, y), vectorize=True, strategy="forward-mode"),
    "independent": lambda T, A, x, y: A.jacobian(lambda a, b: (a * 2, b.sum()), (x, y)),
    "hessian": lambda T, A, x, y: A.hessian(scalar(T), (x, y)), "hessian of one": lambda T, A, x,
    y: A.hessian(lambda x: (x**3).sum() * x[0], x),
    "vjp": lambda T, A, x, y: A.vjp(two(T), (x, y), (x, x.sum())), "jvp": lambda T, A, x, y: A.jvp(two(T), (x, y), (y, x)),
    "vhp": lambda T, A, x, y: A.vhp(scalar(T), (x, y), (y, x)), "hvp": lambda T, A, x, y: A.hvp(scalar(T), (x, y), (y, x))}


@pytest.mark.parametrize("name", CASES)
def test_functional(name: str) -> None:
    found = [leaves(CASES[name](xp, xp.autograd.functional, xp.tensor(x), xp.tensor(y))) for xp in (jitgrad, torch)]
    for a, b in zip(*found, strict=True):
        assert tuple(a.shape) == tuple(b.shape) and not a.requires_grad
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-10, atol=1e-12)


def test_jacobians_are_recorded() -> None:
    found = []
    for xp in (jitgrad, torch):
        v = xp.tensor(x, requires_grad=True)
        j = xp.autograd.functional.jacobian(vector(xp), v, create_graph=True)
        found.append(xp.autograd.grad(j.pow(2).sum(), v)[0].numpy())
    np.testing.assert_allclose(*found, rtol=1e-10)


@pytest.mark.parametrize("code", [
    "A.jacobian(lambda a, b: a * 2, (T.ones(2), T.ones(2)), strict=True)", "A.vjp(lambda a: a * 2, T.ones(3))",
    "A.jvp(lambda a: a * 2, T.ones(3), T.ones(2))",
    "A.hvp(lambda a: a, T.ones(3), T.ones(3))", "A.jacobian(lambda a: 3, T.ones(2))", "A.jacobian(lambda a: a, [T.ones(2)])",
    "A.jacobian(lambda a: a, T.ones(2), strategy='sideways')", "A.jacobian(lambda a: a, T.ones(2), strategy='forward-mode')",
    "A.jacobian(lambda a: T.ones(2), T.ones(2), strict=True)", "A.hessian(lambda a: a * 2, T.ones(2))",
    "A.hvp(lambda a, b: (a * 2).sum(), (T.ones(2), T.ones(2)), (T.ones(2), T.ones(2)), strict=True)",
    "A.hessian(lambda a: (a * 2).sum(), T.ones(2), strict=True)"])
def test_functional_refuses(code: str) -> None:
    messages = []
    for xp in (jitgrad, torch):
        with pytest.raises((TypeError, RuntimeError, AssertionError, NotImplementedError)) as error:
            eval(code, {"T": xp, "A": xp.autograd.functional})
        messages.append((error.type, str(error.value)))
    assert messages[0] == messages[1]


def test_batched_gradients() -> None:
    found = []
    for xp in (jitgrad, torch):
        v = xp.tensor(x, requires_grad=True)
        z = (v.exp() * v.sum()).tanh()
        rows, = xp.autograd.grad(z, v, xp.eye(4, dtype=xp.float64), is_grads_batched=True, create_graph=True)
        found.append([rows.detach().numpy(), xp.autograd.grad(rows.sum(), v)[0].numpy()])
    for a, b in zip(*found, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-10)


def test_batched_gradients_go_through_functions() -> None:
    calls = []

    class Square(jitgrad.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            ctx.save_for_backward(x)
            return x * x

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            calls.append(tuple(g.shape))
            return 2 * g * ctx.saved_tensors[0]

    v = jitgrad.tensor(x, requires_grad=True)
    rows, = jitgrad.autograd.grad(Square.apply(v) * 3, v, jitgrad.eye(4, dtype=jitgrad.float64), is_grads_batched=True)
    np.testing.assert_allclose(rows.numpy(), np.diag(6 * x))
    assert calls == [(4,)]          # once for all rows


def wrong(xp: Any) -> Any:
    class Wrong(xp.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            return x * x

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            return 3 * g
    return Wrong


def test_gradcheck() -> None:
    a, b = jitgrad.tensor(RNG.normal(size=(3, 2)), requires_grad=True), jitgrad.tensor(RNG.normal(size=2), requires_grad=True)

    def f(a: Any, b: Any) -> Any:
        return (a * b).tanh().sum(0), a.exp()

    assert jitgrad.autograd.gradcheck(f, (a, b), check_batched_grad=True, check_forward_ad=True)
    assert jitgrad.autograd.gradgradcheck(f, (a, b), check_fwd_over_rev=True)
    assert not jitgrad.autograd.gradcheck(wrong(jitgrad).apply, (b,), raise_exception=False)
    with pytest.raises(jitgrad.autograd.gradcheck.__globals__["GradcheckError"],
                       match="Jacobian mismatch for output 0 with respect to input 0,\nnumerical:"):
        jitgrad.autograd.gradcheck(wrong(jitgrad).apply, (b,))
    with pytest.raises(ValueError, match="at least one input tensor to require gradient"):
        jitgrad.autograd.gradcheck(f, (a.detach(), b.detach()))
    with pytest.warns(UserWarning, match="not a double precision floating point"):
        assert jitgrad.autograd.gradcheck(lambda t: t * 2, (jitgrad.ones(1, requires_grad=True),), eps=1e-2, atol=1e-2)


def test_anomaly_mode_names_operator_and_line() -> None:
    for xp in (jitgrad, torch):
        with pytest.warns(UserWarning, match="Anomaly Detection has been enabled"):
            mode = xp.autograd.detect_anomaly()
        with mode:
            assert xp.is_anomaly_enabled()
            v = xp.tensor([0.0, 1.0], requires_grad=True)
            z = v.sqrt() * 0
            with pytest.warns(UserWarning, match="Error detected in SqrtBackward0. Traceback of forward call(.|\n)*v.sqrt()"):
                with pytest.raises(RuntimeError, match="Function 'SqrtBackward0' returned nan values in its 0th output."):
                    z.sum().backward()
            assert v.grad is None
            (v * 2).sum().backward()
            assert v.grad.tolist() == [2, 2]
        assert not xp.is_anomaly_enabled()
        v.sqrt().mul(0).sum().backward()            # as always
        with xp.autograd.set_detect_anomaly(True, check_nan=False):
            v.sqrt().mul(0).sum().backward()


def test_checkpoint() -> None:
    found = []
    for xp in (jitgrad, torch):
        import importlib
        checkpoint = importlib.import_module(f"{xp.__name__}.utils.checkpoint")
        w, v = xp.tensor([2.0, 3.0], requires_grad=True), xp.tensor([4.0, 1.0], requires_grad=True)
        calls: list[int] = []

        def part(v: Any, w: Any = w, calls: list[int] = calls) -> Any:
            calls.append(1)
            return (v * w).sin(), v.sum() * 2

        a, b = checkpoint.checkpoint(part, v * 1, use_reentrant=False)
        assert len(calls) == 1
        (a.sum() * b).backward()
        a, b = checkpoint.checkpoint(part, v, use_reentrant=False)
        g, = xp.autograd.grad(a.sum() * b, v, create_graph=True)
        model = xp.nn.Sequential(*[xp.nn.Tanh() for _ in range(4)])
        out = checkpoint.checkpoint_sequential(model, 2, v, use_reentrant=False)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")         # PyTorch's reentrant one warns of its own
            old = checkpoint.checkpoint(lambda v: v.exp(), v, use_reentrant=True)
        old.sum().backward()
        found.append([len(calls), v.grad.tolist(), w.grad.tolist(), xp.autograd.grad(g.sum(), w)[0].tolist(), out.tolist()])
    assert found[0][0] == found[1][0]
    for a, b in zip(*[f[1:] for f in found], strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5)


def test_checkpoint_draws_the_same_numbers_again() -> None:
    v = jitgrad.ones(1000, requires_grad=True)
    out = jitgrad.utils.checkpoint.checkpoint(lambda v: v * (jitgrad.rand(1000) < 0.5), v, use_reentrant=False)
    jitgrad.rand(3)
    out.sum().backward()
    assert (v.grad == out.detach()).all() and 0 < out.sum() < 1000


def test_hooks_on_several_tensors() -> None:
    found = []
    for xp in (jitgrad, torch):
        log: list[Any] = []
        a, b = xp.ones(1, requires_grad=True), xp.ones(1, requires_grad=True)
        handles = [xp.autograd.graph.register_multi_grad_hook((a, b), lambda gs, log=log: log.append([g.tolist() for g in gs])),
                   xp.autograd.graph.register_multi_grad_hook((a, b), lambda g, log=log: log.append(g.tolist()), mode="any")]
        for _ in range(2):
            (a * b * 3).sum().backward()
        for handle in handles:
            handle.remove()
        (a * b * 3).sum().backward()
        edge = xp.autograd.graph.get_gradient_edge(a * b)
        found.append([sorted(map(str, log)), edge.output_nr, edge.node.name()])
    assert found[0] == found[1]


def test_states_of_generators() -> None:
    jitgrad.manual_seed(5)
    state = jitgrad.get_rng_state()
    first = jitgrad.rand(3, dtype=jitgrad.float32)
    with jitgrad.random.fork_rng():
        jitgrad.rand(7)
    second = jitgrad.rand(3)
    jitgrad.set_rng_state(state)
    assert (jitgrad.rand(3) == first).all() and (jitgrad.rand(3) == second).all()
    other = jitgrad.Generator()
    other.set_state(state)
    assert other.initial_seed() == 5 and (jitgrad.rand(3, generator=other) == first).all()
    with pytest.raises(RuntimeError, match="RNG state is wrong size"):
        other.set_state(jitgrad.ones(3, dtype=jitgrad.uint8))
    with pytest.raises(RuntimeError, match="RNG state must be a torch.ByteTensor"):
        other.set_state(jitgrad.ones(3, dtype=jitgrad.int64))
    with pytest.raises(TypeError, match="must be Tensor, not int"):
        other.set_state(3)


@pytest.mark.compiled
def test_derivatives_on_numpy_arrays() -> None:
    optimize = pytest.importorskip("scipy.optimize")
    t = jitgrad.tensor(np.linspace(0, 4, 20))

    def residuals(p: Any, scale: Any = 1.0) -> Any:
        return (p[0] * jitgrad.exp(-p[1] * t) + p[2]) * scale

    def rosenbrock(x: Any) -> Any:
        return (100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2).sum()

    p = np.array([2.0, 1.3, 0.5])
    value, jacobian = jitgrad.value_and_jacobian(residuals)(p)
    expected = torch.func.jacfwd(lambda p: p[0] * torch.exp(-p[1] * torch.tensor(t.numpy())) + p[2])(torch.tensor(p)).numpy()
    np.testing.assert_allclose(jacobian, expected, rtol=1e-12)
    np.testing.assert_allclose(value, residuals(jitgrad.tensor(p)).numpy(), rtol=1e-12)
    both = jitgrad.jacobian(residuals, strict=True)
    np.testing.assert_allclose(both(p, 2.0), 2 * expected, rtol=1e-12)
    np.testing.assert_allclose(both([2.0, 1.3, 0.5], 2.0), 2 * expected, rtol=1e-12)
    before = jitgrad.cache_info().compilations
    both(p + 1, 3.0)
    assert jitgrad.cache_info().compilations == before
    wide = jitgrad.jacobian(lambda x: jitgrad.stack([x.sum(), (x * x).sum()]))          # reverse
    np.testing.assert_allclose(wide(p), [np.ones(3), 2 * p], rtol=1e-12)
    v = np.array([1.0, -1.0, 0.5])
    np.testing.assert_allclose(jitgrad.hessian(rosenbrock)(p), optimize.rosen_hess(p), rtol=1e-10, atol=1e-9)
    np.testing.assert_allclose(jitgrad.hvp(rosenbrock)(p, v), optimize.rosen_hess_prod(p, v), rtol=1e-10)
    fit = optimize.minimize(jitgrad.value_and_grad(rosenbrock), p, jac=True, hessp=jitgrad.hvp(rosenbrock), method="Newton-CG")
    np.testing.assert_allclose(fit.x, 1, rtol=1e-4)
