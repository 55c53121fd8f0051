"""Programs about autograd whose printed text is the contract; see test_behaviours.py.

Each takes the module (jitgrad or torch) and returns what a user would see."""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

BEHAVIOURS: dict[str, Callable[[Any], Any]] = {}


def behaviour(f: Callable[[Any], Any]) -> Callable[[Any], Any]:
    BEHAVIOURS[f.__name__] = f
    return f


def error(f: Callable[[], Any]) -> str:
    """The type and text of the exception that f raises, or its result."""
    try:
        return f"no error: {f()}"
    except Exception as e:
        return f"{type(e).__name__}: {str(e).splitlines()[0]}"


def leaf(t, values=(1.0, 2.0, 3.0)):
    return t.tensor(values, requires_grad=True)


@behaviour
def values_are_those_at_the_line(t):
    x = leaf(t)
    y = 2 * x
    x.data *= 100
    z = y + x
    return y, z, x


@behaviour
def second_backward_is_refused(t):
    x = leaf(t)
    y = (x * x).sum()
    y.backward()
    return error(y.backward), x.grad


@behaviour
def second_backward_where_nothing_was_saved(t):
    x = leaf(t)
    y = (x + 2).sum()
    y.backward()
    y.backward()
    m = (x + 2).mean()
    m.backward()
    m.backward()
    return x.grad, error(lambda: [(x * 2).mean().backward() for _ in range(2)])


@behaviour
def second_backward_of_a_product_by_a_number(t):
    x = leaf(t)
    m = (x * 2).mean()
    m.backward()
    return error(m.backward)


@behaviour
def retain_graph(t):
    x = leaf(t)
    y = (x * x).sum()
    y.backward(retain_graph=True)
    y.backward()
    return x.grad, error(y.backward)


@behaviour
def shared_subgraph_freed(t):
    x = leaf(t)
    h = x.exp()
    a, b = (h * 2).sum(), (h * 3).sum()
    a.backward()
    return error(b.backward), x.grad


@behaviour
def non_scalar_root(t):
    x = leaf(t)
    return error((x * 2).backward), error(lambda: (x * 2).backward(t.ones(2)))


@behaviour
def root_without_gradient(t):
    return error(t.tensor(1.0).backward), error(lambda: t.autograd.grad(t.tensor(1.0), t.tensor(1.0)))


@behaviour
def unused_input(t):
    x, w = leaf(t), leaf(t)
    y = (x * 2).sum()
    return (error(lambda: t.autograd.grad(y, [x, w], retain_graph=True)),
            t.autograd.grad(y, [x, w], allow_unused=True, retain_graph=True),
            t.autograd.grad(y, [x, w], materialize_grads=True))


@behaviour
def saved_value_overwritten(t):
    x = leaf(t)
    y = x * 2
    z = y.exp()
    s = (z * z).sum()
    z.add_(1)
    return error(s.backward)


@behaviour
def saved_leaf_overwritten(t):
    w = leaf(t)
    s = (w * w).sum()
    with t.no_grad():
        w.add_(1)
    return error(s.backward), w


@behaviour
def unsaved_value_overwritten(t):
    x = leaf(t)
    y = x * 2
    y.add_(1)
    y.sum().backward()
    return x.grad, y


@behaviour
def data_write_after_recording(t):
    w = leaf(t)
    s = (w + 1).sum()
    w.data.zero_()
    s.backward()
    return s, w, w.grad


@behaviour
def leaf_in_place(t):
    x = leaf(t)
    v = x[:1]
    return error(lambda: x.add_(1)), error(lambda: x.__setitem__(0, 5.0)), error(lambda: v.mul_(2))


@behaviour
def integers_cannot_require_grad(t):
    return error(lambda: t.tensor([1, 2], requires_grad=True)), error(lambda: t.tensor([1, 2]).requires_grad_())


@behaviour
def requires_grad_off_on_a_non_leaf(t):
    x = leaf(t)
    return error(lambda: (x * 2).requires_grad_(False))


@behaviour
def in_place_through_a_view(t):
    x = leaf(t)
    y = x * 2
    v = y[1:]
    v.mul_(10)
    y.sum().backward()
    return y.detach(), v.detach(), x.grad


@behaviour
def in_place_through_the_base(t):
    x = leaf(t)
    y = x * 2
    v = y.view(3, 1)
    y.mul_(10)
    v.sum().backward()
    return v.detach(), x.grad


@behaviour
def assignment_by_index(t):
    x = leaf(t)
    y = t.zeros(3)
    y[0] = x[2] * 2
    y[1:] = x[:2] ** 2
    y.sum().backward()
    return y, x.grad, y.is_leaf


@behaviour
def constant_views_share(t):
    a = t.zeros(2, 3)
    b = a.t()
    b[0, 1] = 5.0
    a[0] = 1.0
    c = a.view(-1)
    c[5] = 9.0
    return a, b, c, a.data, b.is_contiguous(), b.stride()


@behaviour
def detach_shares(t):
    x = leaf(t)
    y = x * 2
    d = y.detach()
    d[0] = 100.0
    return y, d, d.requires_grad


@behaviour
def detach_keeps_the_history_of_the_base(t):
    x = leaf(t)
    y = x + 1
    y.detach().mul_(3)
    y.sum().backward()
    return y, x.grad


@behaviour
def hooks_change_gradients(t):
    x = leaf(t)
    y = x * 2
    seen = []
    y.register_hook(lambda g: seen.append(g.clone()))
    handle = y.register_hook(lambda g: g * 10)
    x.register_hook(lambda g: g + 1)
    (y * y).sum().backward()
    first = x.grad.clone()
    handle.remove()
    x.grad = None
    (x * 2).sum().backward()
    return seen, first, x.grad


@behaviour
def hook_added_after_recording(t):
    x = leaf(t)
    y = x * 2
    z = (y * 3).sum()
    out = []
    y.register_hook(out.append)
    z.backward()
    return out, x.grad


@behaviour
def post_accumulate_hook(t):
    x = leaf(t)
    out = []
    x.register_post_accumulate_grad_hook(lambda p: out.append(p.grad.clone()))
    (x * 2).sum().backward()
    (x * 3).sum().backward()
    return out


@behaviour
def retain_grad_on_intermediates(t):
    x = leaf(t)
    y = x * 2
    z = y * y
    y.retain_grad()
    z.retain_grad()
    z.sum().backward()
    return y.grad, z.grad, x.grad, y.retains_grad


@behaviour
def accumulation_is_seen_by_old_references(t):
    x = leaf(t)
    (x * 2).sum().backward()
    g = x.grad
    (x * 3).sum().backward()
    return g, x.grad is g


@behaviour
def backward_into_chosen_inputs(t):
    x, w = leaf(t), leaf(t)
    (x * w).sum().backward(inputs=[x])
    return x.grad, w.grad


@behaviour
def grad_of_an_intermediate(t):
    x = leaf(t)
    y = x * 2
    z = (y * y).sum()
    return t.autograd.grad(z, [y, x])


@behaviour
def grad_outputs(t):
    x = leaf(t)
    y = x * x
    return t.autograd.grad(y, x, t.tensor([1.0, 10.0, 100.0]))


@behaviour
def several_roots(t):
    x = leaf(t)
    y, z = (x * x).sum(), x * 3
    t.autograd.backward([y, z], [None, t.ones(3)])
    return x.grad


@behaviour
def root_inside_another(t):
    x = leaf(t)
    y = (x * x).sum()
    z = y * 3
    return t.autograd.grad([y, z], x)


@behaviour
def third_derivative(t):
    x = t.tensor(2.0, requires_grad=True)
    y = x ** 4
    out = []
    for _ in range(3):
        y, = t.autograd.grad(y, x, create_graph=True)
        out.append(y.detach())
    return out


@behaviour
def create_graph_accumulates(t):
    x = leaf(t)
    y = (x ** 3).sum()
    y.backward(create_graph=True)
    g = x.grad
    out = g.detach().clone()
    x.grad = None
    (g * g).sum().backward()
    return out, x.grad


@behaviour
def gradient_penalty(t):
    w = t.tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
    x = t.tensor([[0.1, -0.3], [0.5, -0.2]], requires_grad=True)
    y = t.tanh(x @ w).sum()
    g, = t.autograd.grad(y, x, create_graph=True)
    (g ** 2).sum().backward()
    return w.grad, x.grad


@behaviour
def no_grad_results(t):
    x = leaf(t)
    with t.no_grad():
        a = x * 2
        with t.enable_grad():
            b = x * 2
    with t.set_grad_enabled(False):
        c = x * 2
    d = x * 2

    @t.no_grad()
    def f():
        return x * 2
    return [v.requires_grad for v in (a, b, c, d, f())], t.is_grad_enabled()


@behaviour
def function_with_several_outputs(t):
    class TwoWays(t.autograd.Function):
        @staticmethod
        def forward(ctx, x, scale):
            ctx.scale = scale
            ctx.save_for_backward(x)
            return x * scale, x * x

        @staticmethod
        def backward(ctx, ga, gb):
            x, = ctx.saved_tensors
            return ga * ctx.scale + gb * 2 * x, None

    x = leaf(t)
    a, b = TwoWays.apply(x, 3.0)
    a.sum().backward(retain_graph=True)
    first = x.grad.clone()
    (a + b).sum().backward()
    return a, b, first, x.grad


@behaviour
def function_needs_input_grad(t):
    class Mul(t.autograd.Function):
        @staticmethod
        def forward(ctx, a, b):
            ctx.save_for_backward(a, b)
            return a * b

        @staticmethod
        def backward(ctx, g):
            a, b = ctx.saved_tensors
            print_needs.append(ctx.needs_input_grad)
            return (g * b if ctx.needs_input_grad[0] else None), (g * a if ctx.needs_input_grad[1] else None)

    print_needs = []
    x, c = leaf(t), t.tensor([4.0, 5.0, 6.0])
    Mul.apply(x, c).sum().backward()
    return print_needs, x.grad


@behaviour
def function_double_backward(t):
    class Cube(t.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x ** 3

        @staticmethod
        def backward(ctx, g):
            x, = ctx.saved_tensors
            return g * 3 * x ** 2

    x = leaf(t)
    g, = t.autograd.grad(Cube.apply(x).sum(), x, create_graph=True)
    h, = t.autograd.grad(g.sum(), x)
    return g.detach(), h


@behaviour
def function_saves_its_output(t):
    class Exp(t.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            y = x.exp()
            ctx.save_for_backward(y)
            return y

        @staticmethod
        def backward(ctx, g):
            y, = ctx.saved_tensors
            return g * y

    x = leaf(t)
    g, = t.autograd.grad(Exp.apply(x).sum(), x, create_graph=True)
    h, = t.autograd.grad(g.sum(), x)
    y = Exp.apply(x).sum()
    y.backward()
    return h, error(y.backward)


@behaviour
def function_errors(t):
    class Wrong(t.autograd.Function):
        @staticmethod
        def forward(ctx, x, k):
            return x * k

        @staticmethod
        def backward(ctx, g):
            return g, g, g

    class Number(Wrong):
        @staticmethod
        def backward(ctx, g):
            return g, g

    class Shape(Wrong):
        @staticmethod
        def backward(ctx, g):
            return t.ones(2), None

    x = leaf(t)
    return [error(lambda f=f: f.apply(x, 2).sum().backward()) for f in (Wrong, Number, Shape)]


@behaviour
def function_marks_non_differentiable(t):
    class Sort(t.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            y, mask = x * 2, x > 1.5
            ctx.mark_non_differentiable(mask)
            return y, mask

        @staticmethod
        def backward(ctx, g, _):
            return g * 2

    x = leaf(t)
    y, mask = Sort.apply(x)
    y.sum().backward()
    return mask, mask.requires_grad, x.grad


@behaviour
def once_differentiable(t):
    class Square(t.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x * x

        @staticmethod
        @t.autograd.function.once_differentiable
        def backward(ctx, g):
            x, = ctx.saved_tensors
            return 2 * g * x

    x = leaf(t)
    g, = t.autograd.grad(Square.apply(x).sum(), x, create_graph=True)
    return g.detach(), error(g.sum().backward)


@behaviour
def functions_and_recorded_operations_mixed(t):
    class Double(t.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x * 2

        @staticmethod
        def backward(ctx, g):
            return g * 2

    x = leaf(t)
    h = x.sin()
    a = Double.apply(h)
    b = Double.apply(a * h)
    loss = (b * a + h).sum()
    loss.backward()
    return x.grad


@behaviour
def next_functions(t):
    x = leaf(t)
    y = (x * 2 + 1).exp()
    fn, names = y.grad_fn, []
    while fn is not None:
        names.append(fn.name())
        fn = fn.next_functions[0][0] if fn.next_functions else None
    loss = t.nn.functional.mse_loss(x, t.zeros(3))
    return names, loss, [f and f[0] and f[0].name() for f in loss.grad_fn.next_functions], y.grad_fn is y.grad_fn


@behaviour
def names_of_composites(t):
    x = t.tensor([[1.0, 2.0], [3.0, 5.0]], requires_grad=True)
    f = t.nn.functional
    return [v.grad_fn.name() for v in (x.mean(), x.std(), x.var(), x.softmax(1), x.log_softmax(1), x.logsumexp(1), x.sum(1),
            x.t(), x[0], x[:, 1:], x.reshape(4), x.view(4), x.prod(), x.amax(), x @ x,
            f.relu(x), f.softplus(x), x.pow(3), 2 ** x, x ** x, x.unsqueeze(0), x.max(), x.flatten(), x.expand(3, 2, 2),
            x.clamp(0, 1), x.double(), t.cat([x, x]), t.stack([x, x]), -x, x.abs(), x.sigmoid(), 1 / x, x / 2, x - 1)]


@behaviour
def gradients_of_views(t):
    x = t.arange(6.0).requires_grad_()
    y = x.view(2, 3).t()[1:].flatten().flip(0)
    (y * t.arange(4.0)).sum().backward()
    return y, x.grad


@behaviour
def broadcasting_gradients(t):
    a = t.ones(3, 1, requires_grad=True)
    b = t.arange(4.0).requires_grad_()
    c = t.tensor(2.0, requires_grad=True)
    ((a * b + c) ** 2).sum().backward()
    return a.grad, b.grad, c.grad


@behaviour
def shared_leaf_and_diamond(t):
    x = leaf(t)
    y = x * 2
    z = y * y + y * x + x
    z.sum().backward()
    return x.grad


@behaviour
def mixed_dtypes(t):
    x = t.tensor([1.0, 2.0], dtype=t.float64, requires_grad=True)
    w = t.tensor([1.0, 2.0], requires_grad=True)
    i = t.tensor([1, 2])
    y = x * w + i * x + w * 2 + 1
    y.sum().backward()
    return y.dtype, x.grad, w.grad, w.grad.dtype


@behaviour
def grad_assignment(t):
    x = leaf(t)
    x.grad = t.ones(3)
    (x * 2).sum().backward()
    return x.grad, error(lambda: setattr(x, "grad", t.ones(2))), error(lambda: setattr(x, "grad", 1.0))


@behaviour
def looks_between(t):
    x = leaf(t)
    out = []
    for _ in range(4):
        h = x * x
        loss = h.sum()
        out.append(loss.item())
        out.append(float(h[0]))
        loss.backward()
        out.append(h.detach().tolist())
        with t.no_grad():
            x -= 0.1 * x.grad
        x.grad = None
    return out, x


@behaviour
def running_totals(t):
    x = leaf(t)
    total, seen = 0, []
    for i in range(5):
        loss = (x * i).sum()
        total += loss
        seen.append(loss.detach())
        loss.backward(retain_graph=True)
    total.backward()
    return total, seen, x.grad


@behaviour
def truncated_history(t):
    w = t.tensor(0.5, requires_grad=True)
    state = t.tensor(1.0)
    out = []
    for _ in range(4):
        state = t.tanh(w * state.detach() + 1)
        (state ** 2).backward()
        out.append(round(state.item(), 5))
    return out, w.grad


@behaviour
def control_flow_on_values(t):
    x = t.tensor(3.0, requires_grad=True)
    n = 0
    y = x
    while y < 100:
        y = y * x
        n += 1
    y.backward()
    return n, y, x.grad


@behaviour
def grads_batched(t):
    x = leaf(t)
    y = x * x
    return t.autograd.grad(y, x, t.eye(3), is_grads_batched=True)


@behaviour
def deep_chain(t):
    x = t.tensor(1.0, requires_grad=True)
    y = x
    for _ in range(3000):
        y = y + 0.001 * x
    y.backward()
    return round(x.grad.item(), 3)


@behaviour
def data_assignment_keeps_aliases(t):
    x = t.zeros(3, requires_grad=True)
    alias = x.detach()
    x.data += 1
    x.data -= 0.5
    net = t.nn.Linear(1, 1, bias=False)
    net.weight.data.fill_(1.0)
    state = net.state_dict()
    net.weight.data -= 0.25
    net.weight.data -= 0.25
    return alias, x, state["weight"]


@behaviour
def hooks_of_leaves_that_only_the_graph_remembers(t):
    seen = []
    for i in range(6):
        x = t.tensor([1.5, 2.0], requires_grad=True)
        x.register_hook(lambda g: seen.append(g.tolist()))
        y = x * x * (i + 1.0)
        if i % 2:
            y.register_hook(lambda g: g * 2)
        x = x.detach().clone().requires_grad_()
        (y.sum() + x.sum()).backward(retain_graph=i > 3)
        seen.append(x.grad.tolist())
    return seen


@behaviour
def hooks_of_leaves_are_not_recorded(t):
    w, x = t.tensor([2.0, 3.0], requires_grad=True), t.ones(2, requires_grad=True)
    x.register_hook(lambda g: g * w)
    (x * x).sum().backward()
    p = t.ones(2, requires_grad=True)
    p.register_post_accumulate_grad_hook(lambda q: q.sub_(q.grad))
    (p * p).sum().backward()
    return x.grad, p


@behaviour
def accumulation_onto_a_recorded_gradient(t):
    x = t.tensor([1.0, 2.0], requires_grad=True)
    (x ** 3).sum().backward(create_graph=True)
    (x ** 2).sum().backward()
    before = x.grad.detach().clone()
    x.grad.sum().backward()
    return before, x.grad.detach()


@behaviour
def saved_constants_overwritten(t):
    x = leaf(t)
    a, mask = t.ones(3), t.tensor([True, False, True])
    first, second = (x * a).sum(), t.where(mask, x, 0.0).sum()
    a[0] = 5.0
    mask[0] = False
    return [error(loss.backward)[:110] for loss in (first, second)]


@behaviour
def views_made_without_grad_mode(t):
    x = t.ones(3, requires_grad=True)
    with t.no_grad():
        v = x[1:]
    refused = error(lambda: v.add_(1))[:60]
    with t.no_grad():
        v.add_(1)
    w = x[1:]
    return refused, x, error(lambda: w.add_(1))


@behaviour
def a_hook_that_fails_frees_the_graph(t):
    x = leaf(t)
    y = x * x

    def fail(grad):
        raise KeyError("hook")

    handle = y.register_hook(fail)
    z = (y * y).sum()
    first = error(z.backward)
    handle.remove()
    return first, error(z.backward), t.is_grad_enabled()


@behaviour
def recursion_through_writes(t):
    x = t.tensor(1.0, requires_grad=True)
    states = t.zeros(700)
    for i in range(699):
        states[i + 1] = states[i] * 0.5 + x
    states.sum().backward()
    return x.grad
