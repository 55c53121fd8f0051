"""Programs about dual tensors, torch.autograd.forward_ad; see behaviours.py."""
from __future__ import annotations

from importlib import import_module
from typing import Any

from behaviours import behaviour, error


def _ad(t: Any) -> Any:
    """The module forward_ad of torch or jitgrad."""
    return import_module(f"{t.__name__}.autograd.forward_ad")


def _given(t: Any) -> tuple[Any, Any]:
    return t.tensor([1.0, 2.0, 3.0]), t.tensor([2.0, 0.5, -1.0])


@behaviour
def a_dual_is_a_value_and_a_tangent(t):
    ad = _ad(t)
    x, v = _given(t)
    with ad.dual_level():
        d = ad.make_dual(x, v)
        y = d.sin() * d
        found = ad.unpack_dual(y), ad.unpack_dual(d), ad.unpack_dual(x), ad.unpack_dual(y.argmax()), ad.unpack_dual(d.round())
        primal, tangent = ad.unpack_dual(y)
        own = ad.unpack_dual(d).tangent is v
    return found, primal.requires_grad, tangent.requires_grad, own, ad.unpack_dual(d).tangent, ad.unpack_dual(y).tangent


@behaviour
def duals_are_told_what_is_wrong(t):
    ad = _ad(t)
    x, v = _given(t)
    found = [error(lambda: ad.make_dual(x, v)), error(ad.exit_dual_level), ad.unpack_dual(x)]
    with ad.dual_level():
        found += [error(lambda: ad.make_dual(t.tensor([1, 2]), v)), error(lambda: ad.make_dual(x, t.tensor([1, 2, 3]))),
                  error(lambda: ad.make_dual(x, t.ones(2))), error(lambda: ad.dual_level().__enter__()),
                  error(lambda: ad.exit_dual_level(level=3)), error(lambda: ad.make_dual(ad.make_dual(x, v), v))]
    return found


@behaviour
def levels_are_numbers(t):
    ad = _ad(t)
    x, v = _given(t)
    level = ad.enter_dual_level()
    found = ad.unpack_dual(ad.make_dual(x, v, level=level) * 3, level=level)
    ad.exit_dual_level(level=level)
    return level, found


@behaviour
def duals_need_no_grad_mode(t):
    ad = _ad(t)
    x, v = _given(t)
    w = t.ones(3, requires_grad=True)
    with t.no_grad(), ad.dual_level():
        found = ad.unpack_dual((ad.make_dual(x, v) * w).exp())
    return found, found.tangent.requires_grad, t.is_grad_enabled()


@behaviour
def a_tangent_is_differentiable(t):
    ad = _ad(t)
    x, v = _given(t)
    w, u = t.ones(3, requires_grad=True), v.clone().requires_grad_()
    with ad.dual_level():
        ad.unpack_dual((ad.make_dual(x, v) * w).exp()).tangent.sum().backward()
        by_tangent = t.autograd.grad(ad.unpack_dual(ad.make_dual(x, u).sin()).tangent.sum(), u)
        d = ad.make_dual(w, v)
        g, = t.autograd.grad((d**3).sum(), d, create_graph=True)
        return w.grad, by_tangent, ad.unpack_dual(g).tangent.detach()


@behaviour
def duals_through_modules_functions_and_writes(t):
    ad = _ad(t)
    x, v = _given(t)

    class Exp(t.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.kept = x.exp()
            return ctx.kept.clone()

        @staticmethod
        def jvp(ctx, tangent):
            return 10 * tangent * ctx.kept

    module = t.nn.Linear(3, 2)
    t.nn.init.constant_(module.weight, 0.5)
    t.nn.init.zeros_(module.bias)
    with ad.dual_level():
        duals = {name: ad.make_dual(p, t.ones_like(p)) for name, p in module.named_parameters()}
        out = t.func.functional_call(module, duals, x[None])
        written = t.zeros(2, 3)
        written[1] = ad.make_dual(x, v)
        scaled = ad.make_dual(x.clone(), v.clone())
        scaled *= 3
        scaled[0] = 5
        a, b = ad.make_dual(x, v), ad.make_dual(x + 1, 3 * v)
        return (ad.unpack_dual(out).tangent.detach(), ad.unpack_dual(Exp.apply(ad.make_dual(x, v))), ad.unpack_dual(written),
                ad.unpack_dual(scaled.view(3, 1)), ad.unpack_dual(a * b), ad.unpack_dual(b * 2))


@behaviour
def duals_in_a_loop(t):
    ad = _ad(t)
    x, v = _given(t)

    @ad.dual_level()
    def derivative(k):
        d = ad.make_dual(x * k, v * (k + 1))
        return round(ad.unpack_dual((d.tanh() * d).sum()).tangent.item(), 3)

    return [derivative(i / 10) for i in range(40)]
