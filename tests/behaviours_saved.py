"""Programs about hooks on saved tensors; see behaviours.py."""

from __future__ import annotations

import weakref
from typing import Any

from behaviours import behaviour, error, leaf


def packed(t: Any, f: Any, change: Any = lambda x: x) -> Any:
    """What f gives, and what hooks have seen of what it saved; `change`: what unpacking does."""
    seen = []

    def pack(x):
        seen.append(
            (
                tuple(x.shape),
                str(x.dtype),
                x.requires_grad,
                t.is_grad_enabled(),
                [round(v, 4) for v in x.flatten()[:2].tolist()],
            )
        )
        return x

    def unpack(x):
        seen.append("unpack")
        return change(x)

    with t.autograd.graph.saved_tensors_hooks(pack, unpack):
        result = f()
    return result, seen


def by_operator(t: Any, *texts: str) -> list[Any]:
    """What is packed of expressions, and the gradients where unpacking doubles what is floating-point."""
    found = []
    for text in texts:
        names = {
            "t": t,
            "F": t.nn.functional,
            "a": t.tensor([[0.5, 1.5, 2.5], [0.25, 0.75, 1.25]], requires_grad=True),
            "b": t.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]], requires_grad=True),
            "c": t.tensor([[2.0, 4.0, 8.0], [1.0, 2.0, 4.0]]),
            "i": t.tensor([1, 0]),
        }
        out, seen = packed(
            t, lambda text=text, names=names: eval(text, names), lambda x: x * 2 if x.dtype.is_floating_point else x
        )
        out = out if isinstance(out, t.Tensor) else out[0]
        out.sum().backward()
        found.append((text, seen, names["a"].grad, names["b"].grad))
    return found


@behaviour
def packed_by_arithmetic(t):
    return by_operator(
        t,
        "a * b",
        "a * c",
        "a * 2.0",
        "a + b",
        "a / b",
        "a ** 2",
        "a.square()",
        "a.sqrt()",
        "a.reciprocal()",
        "a * a",
        "-a",
    )


@behaviour
def packed_by_products(t):
    return by_operator(t, "a @ b.T", "a.mm(c.T)", "F.linear(c, a)", "t.dot(a[0], b[0])")


@behaviour
def packed_by_reductions(t):
    return by_operator(
        t, "a.sum()", "a.mean()", "a.max(1)", "a.amax(1)", "F.mse_loss(a, b)", "a.norm()", "t.var_mean(a)"
    )


@behaviour
def packed_by_indexing(t):
    return by_operator(
        t,
        "a[i]",
        "a.index_select(0, i)",
        "a.gather(1, i[:, None])",
        "t.where(a > 1, a, b)",
        "a[1]",
        "a.reshape(3, 2)",
        "a.masked_fill(a > 1, 0.0)",
        "t.cat([a, b])",
        "a.clamp(min=1.0)",
        "a.abs()",
        "a.relu()",
    )


@behaviour
def packed_in_place(t):
    return by_operator(
        t, "(a * 1).mul_(b)", "(a * 1).sqrt_()", "(a * 1).add_(b)", "(a * 1).relu_()", "(a * 1)[0].mul_(c[0])"
    )


@behaviour
def hooks_on_saved_tensors_nest(t):
    seen = []

    def pair(name):
        return t.autograd.graph.saved_tensors_hooks(
            lambda x: (seen.append(name), x)[1], lambda x: (seen.append(name.lower()), x)[1]
        )

    x = leaf(t)
    with pair("A"):
        with pair("B"):
            y = x.square()
        z = y.square()
    w = z.square()
    w.sum().backward()
    return seen, x.grad, error(lambda: w.sum().backward())


@behaviour
def hooks_on_saved_tensors_change_them(t):
    x, w = leaf(t), t.tensor([2.0, 0.5, 4.0], requires_grad=True)

    def run():
        return ((x * w).square() * w + t.nn.functional.softplus(x * 0)).sum()

    loss, seen = packed(t, run, lambda x: x + 1)
    loss.backward()
    return loss, x.grad, w.grad, len(seen)


@behaviour
def second_order_under_hooks_on_saved_tensors(t):
    x = leaf(t)
    y, _ = packed(t, lambda: (x**3).sum())
    (g,) = t.autograd.grad(y, x, create_graph=True)
    (h,) = t.autograd.grad(g.sum(), x, create_graph=True)
    h.sum().backward()
    z, _ = packed(t, lambda: (x * x * x.reciprocal()).sum())
    (k,) = t.autograd.grad(z, x, create_graph=True)
    return g, h, x.grad, k, t.autograd.grad((k * k).sum(), x)


@behaviour
def hooks_on_what_a_function_saves(t):
    class Product(t.autograd.Function):
        @staticmethod
        def forward(ctx, x, y):
            z = x * y
            ctx.save_for_backward(x, None, z, y)
            return z

        @staticmethod
        def backward(ctx, g):
            x, none, z, y = ctx.saved_tensors
            seen.append((none, x.requires_grad, z.requires_grad, y.requires_grad))
            return g * y + z * 0, g * x

    seen = []
    x, y = leaf(t), t.tensor([2.0, 3.0, 4.0])
    z, hooks = packed(t, lambda: Product.apply(x, y), lambda x: x * 2)
    (g,) = t.autograd.grad(z.sum(), x, create_graph=True)
    return hooks, seen, g, g.requires_grad


@behaviour
def hooks_on_saved_tensors_refused(t):
    graph = t.autograd.graph
    x = leaf(t)

    def run(pack, unpack):
        with graph.saved_tensors_hooks(pack, unpack):
            y = (x * 1).square().square()
        y.sum().backward()

    def disabled():
        with graph.disable_saved_tensors_hooks("no hooks here"), graph.saved_tensors_hooks(lambda x: x, lambda x: x):
            pass

    def too_late():
        with graph.saved_tensors_hooks(lambda x: x, lambda x: x), graph.disable_saved_tensors_hooks("too late"):
            pass

    def fails(x):
        raise ValueError("it fails")

    return [
        error(lambda: run(lambda x: x.add_(1), lambda x: x)),
        error(lambda: run(lambda x: 3, lambda x: x)),
        error(lambda: run(fails, lambda x: x)),
        error(lambda: run(lambda x: x, fails)),
        error(disabled),
        error(too_late),
        error(lambda: run(lambda x: x, lambda x: x)),
        x.grad,
    ]


@behaviour
def hooks_on_saved_tensors_keep_anything(t):
    store = []

    def pack(x):
        store.append(x.detach().numpy().copy())
        return len(store) - 1

    def unpack(i):
        return t.from_numpy(store[i])

    x = leaf(t)
    y = None
    for _ in range(5):
        with t.autograd.graph.saved_tensors_hooks(pack, unpack):
            y = (x * 2).square() * x
        y.sum().backward()
    return x.grad, len(store)


@behaviour
def saved_tensors_on_the_cpu(t):
    x = leaf(t)
    with t.autograd.graph.save_on_cpu():
        y = x.square() * x
    y.sum().backward(retain_graph=True)
    y.sum().backward()
    return x.grad, error(lambda: y.sum().backward())


@behaviour
def what_was_packed_is_let_go_of(t):
    class Packed:
        def __init__(self, tensor):
            self.tensor = tensor

    class Square(t.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x * x

        @staticmethod
        def backward(ctx, g):
            return 2 * g * ctx.saved_tensors[0]

    refs = []

    def pack(tensor):
        packed = Packed(tensor.detach())
        refs.append(weakref.ref(packed))
        return packed

    x = leaf(t)
    with t.autograd.graph.saved_tensors_hooks(pack, lambda packed: packed.tensor):
        y = (x.exp() * Square.apply(x)).sum()
    y.backward(retain_graph=True)
    kept = [ref() is not None for ref in refs]
    y.backward()
    return kept, [ref() is not None for ref in refs], x.grad, error(y.backward).partition("(")[0]


@behaviour
def an_unpack_hook_that_raises_can_be_tried_again(t):
    def unpack(packed):
        raise ValueError("not now")

    x = leaf(t)
    with t.autograd.graph.saved_tensors_hooks(lambda tensor: tensor, unpack):
        y = x.exp().sum()
    return error(y.backward), error(y.backward), x.grad


@behaviour
def a_function_that_reads_nothing_saved_goes_backward_twice(t):
    class Twice(t.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x * 2

        @staticmethod
        def backward(ctx, g):
            return g * 2

    x = leaf(t)
    y = Twice.apply(x)
    y.backward(t.ones(3))
    y.backward(t.ones(3))
    return x.grad, error(lambda: y.grad_fn.saved_tensors).partition("(")[0]


@behaviour
def what_a_grad_fn_has_saved(t):
    x, w = leaf(t), leaf(t, (2.0, 3.0, 4.0))
    y = x.exp()
    result = y.grad_fn._saved_result
    product = x * w
    stale = x * 1
    z = stale * w
    stale.add_(1)
    done = x.tanh()
    done.sum().backward()
    return (result, result is y, result.grad_fn is y.grad_fn, product.grad_fn._saved_self is x, product.grad_fn._saved_other is w,
            (x * 2).sin().grad_fn._saved_self, error(lambda: (x + w).grad_fn._saved_self), error(lambda: y.grad_fn._saved_self),
            error(lambda: z.grad_fn._saved_self), error(lambda: done.grad_fn._saved_result), hasattr(y.grad_fn, "_saved_anything"))
