"""Programs about the rest of the autograd interface: Functions, hooks, walking the graph; see behaviours.py."""

from __future__ import annotations

import warnings
from typing import Any

from behaviours import behaviour, error, leaf


def square(t: Any, **more: Any) -> Any:
    """A Function class: x * x, with more static methods or attributes."""

    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x * x

    def backward(ctx, g):
        return 2 * g * ctx.saved_tensors[0]

    return type("Square", (t.autograd.Function,), {"forward": staticmethod(forward), "backward": staticmethod(backward), **more})


def warned(f: Any) -> list[str]:
    """The texts of the warnings that f gives."""
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        f()
    return [str(w.message).splitlines()[0] for w in found]


# -- Functions -------------------------------------------------------------------------------------------------------


@behaviour
def setup_context_gets_what_forward_got(t):
    seen = []

    class Scale(t.autograd.Function):
        @staticmethod
        def forward(x, k, flag=True):
            seen.append(("forward", k, flag))
            return x * k, x + k

        @staticmethod
        def setup_context(ctx, inputs, output):
            x, k, flag = inputs
            seen.append(("setup", k, flag, len(output)))
            ctx.k = k
            ctx.mark_non_differentiable(output[1])

        @staticmethod
        def backward(ctx, g, h):
            seen.append(h)
            return g * ctx.k, None, None

    x = leaf(t)
    y, z = Scale.apply(x, 3, False)
    y.sum().backward()
    return seen, x.grad, z, z.requires_grad, y.grad_fn.name()


@behaviour
def function_dirty_leaf(t):
    class Add(t.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.mark_dirty(x)
            return x.add_(1)

        @staticmethod
        def backward(ctx, g):
            return g

    x = leaf(t)
    return error(lambda: Add.apply(x))


@behaviour
def function_dirty_view_of_leaf(t):
    class Add(t.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.mark_dirty(x)
            return x.add_(1)

        @staticmethod
        def backward(ctx, g):
            return g

    x = leaf(t)
    return error(lambda: Add.apply(x[:2]))


@behaviour
def function_dirty_view(t):
    class Double(t.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.mark_dirty(x)
            x.mul_(2)
            return x

        @staticmethod
        def backward(ctx, g):
            return 2 * g

    x = leaf(t)
    y = x * 1
    v = y[1:]
    out = Double.apply(v)
    y.sum().backward()
    return out is v, y, v, x.grad, y.grad_fn.name()


@behaviour
def function_dirty_not_returned(t):
    class Double(t.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.mark_dirty(x)
            x.mul_(2)
            return x + 0

        @staticmethod
        def backward(ctx, g):
            return 2 * g

    x = leaf(t)
    return error(lambda: Double.apply(x * 1))


@behaviour
def function_dirty_twice(t):
    class Double(t.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.mark_dirty(x)
            x.mul_(2)
            return x

        @staticmethod
        def backward(ctx, g):
            return 2 * g

    x = leaf(t)
    y = x.exp()
    out = Double.apply(y)
    return out is y, error(lambda: out.sum().backward()), y._version


@behaviour
def function_dirty_of_no_gradient(t):
    class Double(t.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.mark_dirty(x)
            x.mul_(2)
            return x

        @staticmethod
        def backward(ctx, g):
            return 2 * g

    x = t.ones(2)
    y = Double.apply(x)
    return y is x, x, x._version, y.requires_grad


@behaviour
def function_returns_its_input(t):
    class Same(t.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x

        @staticmethod
        def backward(ctx, g):
            return g * 10

    x = leaf(t)
    y = Same.apply(x)
    y.sum().backward()
    c = t.ones(2)
    return y is x, y.grad_fn.name(), x.grad, Same.apply(c) is c


@behaviour
def function_returns_a_view(t):
    class Part(t.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x[1:]

        @staticmethod
        def backward(ctx, g):
            return t.cat([t.zeros(1), g])

    x = leaf(t)
    y = Part.apply(x * 1)
    return y, error(lambda: y.add_(1))


@behaviour
def function_returns_views(t):
    class Parts(t.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x[1:], x[:1]

        @staticmethod
        def backward(ctx, g, h):
            return t.cat([h, g])

    x = leaf(t)
    y, z = Parts.apply(x * 1)
    return y, error(lambda: y.add_(1))


@behaviour
def function_without_materialized_gradients(t):
    seen = []

    class Two(t.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.set_materialize_grads(False)
            return x * 2, x * 3

        @staticmethod
        def backward(ctx, g, h):
            seen.append((g, h))
            return None if g is None else g * 2

    x = leaf(t)
    a, b = Two.apply(x)
    b.sum().backward()
    return seen, x.grad


@behaviour
def function_materialized_gradients(t):
    seen = []

    class Two(t.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x * 2, x.sum() * 3, 5, None

        @staticmethod
        def backward(ctx, *grads):
            seen.append(grads)
            return grads[0]

    x = leaf(t)
    a, b, c, d = Two.apply(x)
    b.backward()
    return seen, x.grad, c, d


@behaviour
def once_differentiable_twice(t):
    class Cube(t.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x**3

        @staticmethod
        @t.autograd.function.once_differentiable
        def backward(ctx, g):
            return 3 * g * ctx.saved_tensors[0] ** 2

    x = leaf(t)
    (g,) = t.autograd.grad(Cube.apply(x).sum(), x, create_graph=True)
    return g, g.requires_grad, error(lambda: g.sum().backward())


@behaviour
def function_wrong_number_of_gradients(t):
    class Two(t.autograd.Function):
        @staticmethod
        def forward(ctx, x, y):
            return x * y

        @staticmethod
        def backward(ctx, g):
            return g

    class Many(Two):
        @staticmethod
        def backward(ctx, g):
            return g, g, g

    class Padded(Two):
        @staticmethod
        def backward(ctx, g):
            return g, g, None, None

    x = leaf(t)
    return [error(lambda f=f: f.apply(x, x).sum().backward()) for f in (Two, Many, Padded)]


@behaviour
def function_gradient_of_another_shape(t):
    class Shape(t.autograd.Function):
        @staticmethod
        def forward(ctx, x, to):
            ctx.to = to
            return x * 1

        @staticmethod
        def backward(ctx, g):
            return ctx.to(g), None

    x = leaf(t)
    return [
        error(lambda f=f: (Shape.apply(x, f).sum().backward(), x.grad))
        for f in (lambda g: g.sum(), lambda g: g[:2], lambda g: g.expand(4, 3), lambda g: g.double(), lambda g: 3.0, lambda g: [1.0])
    ]


@behaviour
def function_forward_returns_something_else(t):
    class Bad(t.autograd.Function):
        @staticmethod
        def forward(ctx, x, what):
            return what

    x = leaf(t)
    return [error(lambda w=w: Bad.apply(x, w)) for w in (3.0, None, "a", [x], {"a": x}, (x, 3), ())]


@behaviour
def function_without_methods(t):
    class Nothing(t.autograd.Function):
        pass

    class Forward(t.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x * 2

    x = leaf(t)
    return (
        error(lambda: Nothing.apply(x)),
        error(lambda: Forward.apply(x).sum().backward()),
        warned(lambda: Forward()),
        error(lambda: Forward.apply(x).sum()),
    )


@behaviour
def function_by_vjp(t):
    class Double(t.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x * 2

        @staticmethod
        def vjp(ctx, g):
            return g * 2

    x = leaf(t)
    Double.apply(x).sum().backward()
    return x.grad


@behaviour
def function_with_both_backward_and_vjp(t):
    return error(lambda: square(t, vjp=staticmethod(lambda ctx, g: g)).apply(leaf(t)).sum().backward())


@behaviour
def function_saves_what_is_no_tensor(t):
    class Bad(t.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x, 3)
            return x * 2

        @staticmethod
        def backward(ctx, g):
            return g

    return error(lambda: Bad.apply(leaf(t)))


@behaviour
def function_saved_tensors_are_the_ones_given(t):
    seen = []

    class Keep(t.autograd.Function):
        @staticmethod
        def forward(ctx, x, y):
            z = x * y
            ctx.save_for_backward(x, None, z, y)
            ctx.note = "kept"
            return z

        @staticmethod
        def backward(ctx, g):
            x, none, z, y = ctx.saved_tensors
            seen.append(
                (x.requires_grad, x.is_leaf, none, z.requires_grad, z.grad_fn is ctx, y.requires_grad, ctx.note, ctx.needs_input_grad)
            )
            return g * y, None

    x, y = leaf(t), t.ones(3)
    out = Keep.apply(x, y)
    out.sum().backward()
    return seen, out.grad_fn.name(), error(lambda: out.grad_fn.saved_tensors), type(out.grad_fn).__name__


@behaviour
def function_saved_tensor_overwritten(t):
    y = leaf(t) * 1
    z = square(t).apply(y)
    y.add_(1)
    return error(lambda: z.sum().backward())


@behaviour
def function_saved_tensors_twice(t):
    z = square(t).apply(leaf(t)).sum()
    z.backward()
    return error(z.backward)


@behaviour
def function_that_saves_nothing_twice(t):
    class Double(t.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x + x

        @staticmethod
        def backward(ctx, g):
            return g * 2

    x = leaf(t)
    z = Double.apply(x).sum()
    z.backward()
    z.backward()
    return x.grad


@behaviour
def function_under_no_grad(t):
    seen = []

    class Look(t.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            seen.append((ctx.needs_input_grad, t.is_grad_enabled()))
            return x * 2

        @staticmethod
        def backward(ctx, g):
            seen.append(t.is_grad_enabled())
            return g

    x = leaf(t)
    with t.no_grad():
        y = Look.apply(x)
    Look.apply(x).sum().backward()
    t.autograd.grad(Look.apply(x).sum(), x, create_graph=True)
    return seen, y.requires_grad


@behaviour
def function_keyword_arguments(t):
    return error(lambda: square(t).apply(x=leaf(t)))


@behaviour
def function_of_no_tensor(t):
    class Make(t.autograd.Function):
        @staticmethod
        def forward(ctx, n):
            return t.ones(n)

        @staticmethod
        def backward(ctx, g):
            return None

    y = Make.apply(2)
    return y, y.requires_grad


@behaviour
def function_makes_integers(t):
    class Sign(t.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x * 2, (x > 1.5).long()

        @staticmethod
        def backward(ctx, g, h):
            return g * 2 + h.float()

    x = leaf(t)
    a, b = Sign.apply(x)
    a.sum().backward()
    return b.requires_grad, b.dtype, x.grad


@behaviour
def function_jvp_in_transforms(t):
    class Square(t.autograd.Function):
        generate_vmap_rule = True

        @staticmethod
        def forward(x):
            return x * x

        @staticmethod
        def setup_context(ctx, inputs, output):
            ctx.save_for_forward(inputs[0])
            ctx.save_for_backward(inputs[0])

        @staticmethod
        def backward(ctx, g):
            return 2 * g * ctx.saved_tensors[0]

        @staticmethod
        def jvp(ctx, tangent):
            return 200 * ctx.saved_tensors[0] * tangent

    x = t.tensor([1.0, 2.0])
    v = t.tensor([1.0, 3.0])
    return (
        t.func.jvp(Square.apply, (x,), (v,)),
        t.func.jvp(lambda x: Square.apply(x.sin()).sum(), (x,), (v,)),
        t.func.vjp(Square.apply, x)[1](v),
        t.func.jacfwd(lambda x: Square.apply(x * 2))(x),
        t.func.jacrev(lambda x: Square.apply(x * 2))(x),
    )


@behaviour
def function_jvp_with_several(t):
    class Product(t.autograd.Function):
        generate_vmap_rule = True

        @staticmethod
        def forward(x, y, k):
            return x * y, x + k

        @staticmethod
        def setup_context(ctx, inputs, output):
            ctx.k = inputs[2]
            ctx.save_for_backward(*inputs[:2])
            ctx.save_for_forward(*inputs[:2])

        @staticmethod
        def backward(ctx, g, h):
            x, y = ctx.saved_tensors
            return g * y + h, g * x, None

        @staticmethod
        def jvp(ctx, dx, dy, none):
            x, y = ctx.saved_tensors
            seen.append(none)
            return dx * y + x * dy, dx * 10

    seen = []
    x, y, v = t.tensor([1.0, 2.0]), t.tensor([3.0, 5.0]), t.tensor([1.0, -1.0])
    f = t.func
    return (
        f.jvp(lambda x, y: Product.apply(x, y, 2), (x, y), (v, v)),
        f.jvp(lambda x: Product.apply(x, y, 2), (x,), (v,)),
        f.jacfwd(lambda x: Product.apply(x, x, 3))(x),
        f.grad(lambda x: f.jvp(lambda x: Product.apply(x, x, 2)[0].sum(), (x,), (v,))[1])(x),
        f.vmap(lambda x: f.jvp(lambda x: Product.apply(x, x, 2)[0], (x,), (x,)))(x),
        set(seen),
    )


@behaviour
def function_under_two_vmaps(t):
    class Cube(t.autograd.Function):
        generate_vmap_rule = True

        @staticmethod
        def forward(x):
            y = x * x
            return y * x, y

        @staticmethod
        def setup_context(ctx, inputs, output):
            ctx.save_for_backward(output[1])
            ctx.mark_non_differentiable(output[1])

        @staticmethod
        def backward(ctx, g, h):
            return 3 * g * ctx.saved_tensors[0]

    x = t.arange(6.0).reshape(2, 3)

    def one(x):
        return Cube.apply(x)[0]

    return (
        t.vmap(t.vmap(one))(x),
        t.vmap(t.vmap(t.func.grad(one)))(x),
        t.vmap(t.func.jacrev(one))(x),
        t.vmap(one, in_dims=1, out_dims=1)(x),
        t.func.grad(lambda x: t.vmap(lambda x: one(x).sum())(x).sum())(x),
    )


@behaviour
def function_vmap(t):
    class Scale(t.autograd.Function):
        @staticmethod
        def forward(x, y):
            return x * y

        @staticmethod
        def setup_context(ctx, inputs, output):
            ctx.save_for_backward(*inputs)

        @staticmethod
        def backward(ctx, g):
            x, y = ctx.saved_tensors
            return g * y, g * x

        @staticmethod
        def vmap(info, in_dims, x, y):
            seen.append((info.batch_size, info.randomness, in_dims, tuple(x.shape), tuple(y.shape)))
            return Scale.apply(x, y if in_dims[1] is not None else y[None]), 0

    seen = []
    x, y = t.arange(6.0).reshape(2, 3), t.tensor([1.0, 2.0, 3.0])
    both = t.vmap(Scale.apply)(x, x)
    one = t.vmap(Scale.apply, in_dims=(0, None))(x, y)
    g = t.vmap(t.func.grad(lambda a, b: Scale.apply(a, b).sum()))(x, x + 1)
    return both, one, g, seen


@behaviour
def function_generates_its_vmap_rule(t):
    class Scale(t.autograd.Function):
        generate_vmap_rule = True

        @staticmethod
        def forward(x, y):
            return x * y, x.sum()

        @staticmethod
        def setup_context(ctx, inputs, output):
            ctx.save_for_backward(*inputs)

        @staticmethod
        def backward(ctx, g, h):
            x, y = ctx.saved_tensors
            return g * y + h, g * x * 10

    x, y = t.arange(6.0).reshape(2, 3), t.tensor([1.0, 2.0, 3.0])
    p = y.clone().requires_grad_()
    out = t.vmap(Scale.apply, in_dims=(0, None))(x, p)
    out[0].sum().backward()
    return (
        out,
        p.grad,
        t.vmap(t.func.grad(lambda a, b: Scale.apply(a, b)[0].sum(), argnums=(0, 1)))(x, x + 1),
        t.vmap(lambda a: Scale.apply(a, a)[0].sum(), in_dims=1)(x),
        t.func.jacrev(lambda a: Scale.apply(a, a)[0])(y),
    )


@behaviour
def function_with_no_vmap_rule(t):
    class Same(t.autograd.Function):
        @staticmethod
        def forward(x):
            return x * 1

        @staticmethod
        def setup_context(ctx, inputs, output):
            pass

        @staticmethod
        def backward(ctx, g):
            return g

    class Both(Same):
        generate_vmap_rule = True

        @staticmethod
        def vmap(info, in_dims, x):
            return x, 0

    class Short(Same):
        @staticmethod
        def vmap(info, in_dims, x):
            return x

    x = t.ones(2, 3)
    return [error(lambda f=f: t.vmap(f.apply)(x))[:150] for f in (Same, Both, Short)]


@behaviour
def function_in_a_jacobian_by_rows(t):
    x = leaf(t)
    return (
        t.autograd.functional.jacobian(square(t).apply, x),
        t.autograd.functional.hessian(lambda x: square(t).apply(x).sum(), x),
        t.autograd.functional.vjp(square(t).apply, x, t.ones(3)),
        t.autograd.functional.jvp(square(t).apply, x, t.ones(3)),
    )


# -- hooks -----------------------------------------------------------------------------------------------------------


@behaviour
def hooks_in_order(t):
    seen = []
    x = leaf(t)
    y = x * 2
    h1 = y.register_hook(lambda g: seen.append("first"))
    y.register_hook(lambda g: (seen.append("second"), g * 2)[1])
    y.register_hook(lambda g: seen.append(g))
    y.sum().backward()
    h1.remove()
    (x * 1).sum().backward()
    return seen, x.grad


@behaviour
def hook_errors(t):
    x = leaf(t)

    def with_hook(h):
        y = x * 2
        y.register_hook(h)
        y.sum().backward()

    return [error(lambda h=h: with_hook(h)) for h in (lambda g: 3, lambda g: g[:1], lambda g: g.double(), lambda g: "a")] + [
        error(lambda: t.ones(2).register_hook(print)),
        error(lambda: (x * 2).register_post_accumulate_grad_hook(print)),
        error(lambda: t.ones(2).register_post_accumulate_grad_hook(print)),
        error(lambda: t.ones(2).retain_grad()),
    ]


@behaviour
def hook_on_a_leaf_of_grad(t):
    seen = []
    x = leaf(t)
    x.register_hook(lambda g: (seen.append("hook"), g * 2)[1])
    x.register_post_accumulate_grad_hook(lambda p: seen.append(p.grad))
    g = t.autograd.grad((x * x).sum(), x)
    (x * x).sum().backward()
    return g, x.grad, seen


@behaviour
def post_accumulate_hook_may_clear(t):
    x = leaf(t)

    def step(p):
        with t.no_grad():
            p -= 0.1 * p.grad
        p.grad = None

    x.register_post_accumulate_grad_hook(step)
    for _ in range(3):
        (x * x).sum().backward()
    return x, x.grad


@behaviour
def node_hooks(t):
    seen = []
    x = leaf(t)
    y = x * 2
    z = y.square()
    z.grad_fn.register_hook(lambda gi, go: seen.append(("exp", gi, go)))
    y.grad_fn.register_hook(lambda gi, go: (seen.append(("mul", gi, go)), (gi[0] * 10, None))[1])
    z.sum().backward()
    return seen, x.grad


@behaviour
def node_prehooks(t):
    seen = []
    x = leaf(t)
    y = x * 2
    z = y.square()
    h = z.grad_fn.register_prehook(lambda go: (seen.append(go), (go[0] * 3,))[1])
    y.register_hook(lambda g: seen.append(("tensor", g)))
    y.grad_fn.register_prehook(lambda go: seen.append(("pre", go)))
    z.sum().backward(retain_graph=True)
    h.remove()
    z.sum().backward()
    return seen, x.grad


@behaviour
def node_hooks_of_leaves(t):
    seen = []
    x = leaf(t)
    acc = t.autograd.graph.get_gradient_edge(x).node
    acc.register_hook(lambda gi, go: seen.append(("post", gi, go)))
    acc.register_prehook(lambda go: (seen.append(("pre", go)), (go[0] * 2,))[1])
    (x * 3).sum().backward()
    return seen, x.grad, acc.name(), acc.variable is x


@behaviour
def node_hooks_of_functions(t):
    seen = []
    x = leaf(t)
    y = square(t).apply(x)
    y.grad_fn.register_hook(lambda gi, go: seen.append(("post", gi, go)))
    y.grad_fn.register_prehook(lambda go: (go[0] * 2,))
    y.sum().backward()
    return seen, x.grad


@behaviour
def node_hook_errors(t):
    x = leaf(t)

    def run(h, pre):
        y = (x * 2).exp()
        (y.grad_fn.register_prehook if pre else y.grad_fn.register_hook)(h)
        y.sum().backward()

    return [
        error(lambda h=h: run(h, False)) for h in (lambda i, o: 3, lambda i, o: (), lambda i, o: (i[0][:1],), lambda i, o: (None,))
    ] + [error(lambda h=h: run(h, True)) for h in (lambda o: 3, lambda o: (), lambda o: (None,), lambda o: o)]


@behaviour
def node_hooks_of_composites(t):
    seen = []
    x = t.arange(6.0).reshape(2, 3).requires_grad_()
    y = x.softmax(-1)
    y.grad_fn.register_hook(lambda gi, go: seen.append((len(gi), len(go), gi)))
    loss = t.nn.functional.mse_loss(y, t.zeros(2, 3))
    loss.grad_fn.register_hook(lambda gi, go: seen.append((gi[0].shape, len(gi), go)))
    loss.backward()
    return seen, x.grad


@behaviour
def node_hook_under_create_graph(t):
    seen = []
    x = leaf(t)
    y = x**3
    y.grad_fn.register_hook(lambda gi, go: (seen.append(gi[0].requires_grad), (gi[0] * 2,))[1])
    (g,) = t.autograd.grad(y.sum(), x, create_graph=True)
    g.sum().backward()
    return seen, g, x.grad


@behaviour
def metadata_of_nodes(t):
    x = leaf(t)
    y = x * 2
    y.grad_fn.metadata["a"] = 1
    fn = y.grad_fn
    z = square(t).apply(x)
    z.grad_fn.metadata["b"] = 2
    acc = fn.next_functions[0][0]
    return (
        fn.metadata,
        y.grad_fn is fn,
        z.grad_fn.metadata,
        acc.metadata,
        isinstance(fn, t.autograd.graph.Node),
        isinstance(z.grad_fn, t.autograd.graph.Node),
        isinstance(acc, t.autograd.graph.Node),
    )


@behaviour
def walking_the_graph(t):
    x, w = leaf(t), leaf(t)
    y = (x * w).exp() + x.sum() * square(t).apply(w)
    z = t.stack([y, y.sin(), t.ones(3)]).mean()
    seen, stack = [], [(z.grad_fn, 0, 0)]
    while stack:
        fn, nr, depth = stack.pop()
        seen.append("-" * depth + ("None" if fn is None else f"{fn.name()}:{nr}"))
        if fn is not None:
            stack += [(f, n, depth + 1) for f, n in reversed(fn.next_functions)]
    return seen


@behaviour
def multi_grad_hooks(t):
    seen = []
    x = leaf(t)
    y, z, w = x * 2, x * 3, x * 4
    h = t.autograd.graph.register_multi_grad_hook([y, z, w], lambda gs: seen.append(gs))
    (y + z).sum().backward(retain_graph=True)
    (y * 1).sum().backward(retain_graph=True)
    h.remove()
    (y * 1).sum().backward(retain_graph=True)
    h = t.autograd.graph.register_multi_grad_hook([y, z], lambda g: seen.append(("any", g)), mode="any")
    (y + 2 * z).sum().backward(retain_graph=True)
    (z * 5).sum().backward(retain_graph=True)
    return seen, x.grad, error(lambda: t.autograd.graph.register_multi_grad_hook([y], print, mode="some"))


@behaviour
def multi_grad_hooks_of_leaves(t):
    seen = []
    x, w = leaf(t), leaf(t)
    t.autograd.graph.register_multi_grad_hook([x, w], lambda gs: seen.append(gs))
    (x * 3).sum().backward()
    (x * w).sum().backward()
    (x * w).sum().backward(inputs=[w])
    return seen


@behaviour
def gradient_edges(t):
    x = leaf(t)
    y = x * 2
    z = y.square()
    edge, end = t.autograd.graph.get_gradient_edge(y), t.autograd.graph.get_gradient_edge(x)
    loss = z.sum()
    a, b = t.autograd.grad(loss, [edge, end], retain_graph=True)
    (c,) = t.autograd.grad(t.autograd.graph.get_gradient_edge(loss), x, grad_outputs=t.tensor(1.0), retain_graph=True)
    del y
    (d,) = t.autograd.grad(loss, edge, retain_graph=True)
    return (
        edge.node.name(),
        edge.output_nr,
        end.node.name(),
        a,
        b,
        c,
        d,
        error(lambda: t.autograd.graph.get_gradient_edge(t.ones(1))),
        type(edge).__name__,
        edge._fields,
    )


@behaviour
def gradient_edges_of_outputs(t):
    x = t.arange(6.0).requires_grad_()
    parts = (x * 1).split(2)
    edges = [t.autograd.graph.get_gradient_edge(p) for p in parts]
    loss = (parts[0] * 2 + parts[2] * 3).sum()
    return (
        [e.output_nr for e in edges],
        t.autograd.grad(loss, edges[2], retain_graph=True),
        t.autograd.grad(loss, edges, allow_unused=True),
    )


@behaviour
def backward_from_edges(t):
    x = leaf(t)
    y = x.exp()
    edge = t.autograd.graph.get_gradient_edge(y)
    t.autograd.backward(edge, t.ones(3), retain_graph=True)
    z = y * 2
    t.autograd.backward(z.sum(), inputs=[x], retain_graph=True)
    return x.grad, error(lambda: t.autograd.backward(edge)), error(lambda: z.sum().backward(inputs=edge))


@behaviour
def grad_fn_attributes(t):
    x = leaf(t)
    y = x * 2
    return (
        y.grad_fn.name(),
        type(y.grad_fn).__name__,
        y.grad_fn.next_functions[0][0].name(),
        y.grad_fn.next_functions[0][1],
        y.output_nr,
        y.grad_fn == y.grad_fn,
        len({y.grad_fn, y.grad_fn}),
        x.grad_fn,
        y.is_leaf,
        (y > 1).grad_fn,
    )


@behaviour
def detect_anomaly_names_the_line(t):
    x = t.tensor([0.0, 1.0], requires_grad=True)
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        with t.autograd.detect_anomaly():
            y = (x - 1).sqrt()
            z = y * 0
            text = error(lambda: z.sum().backward())
    last = str(found[-1].message)
    return text, "y = (x - 1).sqrt()" in last, last.splitlines()[0][:44], t.is_anomaly_enabled()


@behaviour
def gradcheck_says_what_differs(t):
    x = t.tensor([1.0, 2.0], dtype=t.float64, requires_grad=True)

    class Wrong(t.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x * 2

        @staticmethod
        def backward(ctx, g):
            return g * 3

    check = t.autograd.gradcheck
    return (
        check(lambda x: x.exp(), (x,)),
        check(lambda x: x.exp(), x, fast_mode=True),
        error(lambda: check(Wrong.apply, (x,))),
        check(Wrong.apply, (x,), raise_exception=False),
        error(lambda: check(lambda x: x, (t.ones(2),))),
        check(lambda x: (x.sin(), x.sum()), (x,), check_batched_grad=True, check_forward_ad=True, check_undefined_grad=False),
        t.autograd.gradgradcheck(lambda x: x**3, (x,)),
        t.autograd.gradgradcheck(lambda x: x**3, (x,), gen_non_contig_grad_outputs=True),
        error(lambda: t.autograd.gradgradcheck(Wrong.apply, (x,))),
        warned(lambda: check(lambda x: x * 2, (t.ones(2, requires_grad=True),), atol=1, rtol=1)),
        error(lambda: check(lambda x: x.detach() * 2, (x,))),
        error(lambda: check(lambda x: (x * 2).long(), (x,))),
        t.autograd.gradcheck(lambda x, y: x * y, (x, t.ones(2, dtype=t.float64)), eps=1e-5, nondet_tol=1e-3),
    )


@behaviour
def gradcheck_of_what_changes(t):
    x = t.tensor([1.0, 2.0], dtype=t.float64, requires_grad=True)
    calls = [0]

    class Drifts(t.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x * 2

        @staticmethod
        def backward(ctx, g):
            calls[0] += 1
            return g * 2 + calls[0] * 1e-5

    class Undefined(t.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.set_materialize_grads(False)
            return x * 2, x * 3

        @staticmethod
        def backward(ctx, g, h):
            return g * 2 + h * 3

    return error(lambda: t.autograd.gradcheck(Drifts.apply, (x,))), error(lambda: t.autograd.gradcheck(Undefined.apply, (x,)))


@behaviour
def retain_grad_and_hooks(t):
    x = leaf(t)
    y = x * 2
    y.register_hook(lambda g: g * 10)
    y.retain_grad()
    y.register_hook(lambda g: g * 10)
    y.sum().backward()
    return y.grad, x.grad, y.retains_grad, x.retains_grad


@behaviour
def hook_that_changes_the_gradient_in_place(t):
    x = leaf(t)
    y = x * 2
    y.register_hook(lambda g: g.mul_(3) and None if False else g * 3)
    z = y + 0
    z.sum().backward()
    return x.grad


@behaviour
def hooks_of_views_and_writes(t):
    seen = []
    x = leaf(t)
    y = x * 1
    y.register_hook(lambda g: seen.append(("before", g)))
    y.mul_(2)
    y.register_hook(lambda g: seen.append(("after", g)))
    y.sum().backward()
    return seen, x.grad


@behaviour
def backward_in_a_hook(t):
    x, w = leaf(t), leaf(t)
    y = x * 2

    def inner(g):
        with t.enable_grad():
            (w * w).sum().backward()

    y.register_hook(inner)
    y.sum().backward()
    return x.grad, w.grad


@behaviour
def interface_of_backward(t):
    x = leaf(t)
    y = x * x
    return (
        error(lambda: y.backward()),
        error(lambda: y.backward(t.ones(2))),
        error(lambda: t.autograd.backward([y, y], [t.ones(3)])),
        error(lambda: t.autograd.backward([], [])),
        error(lambda: t.autograd.backward(y, inputs=[])),
        error(lambda: t.autograd.grad(y, x)),
        error(lambda: t.autograd.grad(y.sum(), [])),
        error(lambda: t.autograd.grad(y.sum(), t.ones(1))),
        error(lambda: t.autograd.grad(y.sum(), x, allow_unused=False, materialize_grads=True)),
        error(lambda: t.ones(2).sum().backward()),
        error(lambda: t.autograd.grad(y, x, grad_outputs=t.ones(3).long())),
        error(lambda: t.autograd.grad(y, x, t.ones(2, 3), is_grads_batched=True)),
        error(lambda: t.autograd.grad(y, x, t.tensor(1.0), is_grads_batched=True)),
        warned(lambda: t.autograd.backward((x * x).sum())),
    )


@behaviour
def hooks_of_an_operator_on_one_tensor_twice(t):
    found = []
    for f in (lambda a: a * a, lambda a: a + a, lambda a: a - a, lambda a: a / a, lambda a: t.atan2(a, a), lambda a: t.maximum(a, a),
              lambda a: t.where(a > 1, a, a)):
        a = leaf(t)
        y = f(a)
        y.grad_fn.register_hook(lambda inputs, outputs: found.append(inputs))
        y.sum().backward()
        found.append(a.grad)
    a = leaf(t)
    y = a * a
    y.grad_fn.register_hook(lambda inputs, outputs: (inputs[0] * 2, inputs[1] * 3))
    y.sum().backward()
    return found, a.grad


@behaviour
def hooks_of_a_function_see_none_for_what_has_no_gradient(t):
    class Both(t.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            index = x.argmax()
            ctx.mark_non_differentiable(index)
            return x * 2, x * 3, index

        @staticmethod
        def backward(ctx, g, h, i):
            return 2 * g + 3 * h

    x, found = leaf(t), []
    a, b, index = Both.apply(x)
    a.grad_fn.register_prehook(lambda outputs: found.append(outputs))
    a.grad_fn.register_hook(lambda inputs, outputs: found.append((inputs, outputs)))
    a.sum().backward()
    return found, x.grad


@behaviour
def shifts(t):
    a = t.tensor([7, -8, 1])
    b = a.clone()
    b <<= 2
    b >>= t.tensor([1, 3, 0])
    return (a << 1, a >> 1, 1 << t.tensor([0, 3, 70]), 100 >> t.tensor([1, 3, 70]), a << 64, a >> 64, a >> -1, b,
            t.tensor([7, 8], dtype=t.int32) << 33, t.tensor([True]) << 1, t.bitwise_left_shift(a, a.abs()), a.bitwise_right_shift(2),
            t.tensor([7], dtype=t.uint8) << t.tensor([6], dtype=t.int8), t.tensor([200], dtype=t.uint8) >> 3,
            error(lambda: t.tensor([1.5]) << 1), error(lambda: t.tensor([True]) >> t.tensor([True])),
            error(lambda: t.tensor([1.5]) & 1))
