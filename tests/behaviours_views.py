"""Programs about views, writes and versions, as PyTorch's notes on autograd's mechanics and on views tell them; see behaviours.py."""

from __future__ import annotations

from typing import Any

from behaviours import behaviour, error


def each(t: Any, *texts: str) -> list[Any]:
    """What each text gives, of a fresh leaf x, a result y of it, and a constant c."""
    found = []
    for text in texts:
        rows = [[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]]
        x = t.tensor(rows, requires_grad=True)
        names = {"t": t, "x": x, "y": x * 1, "c": t.tensor(rows), "error": error}

        def run(text=text, names=names):
            *lines, last = text.split("; ")
            for line in lines:
                exec(line, names)
            return eval(last, names)

        found.append((text, error(run)))
    return found


@behaviour
def which_operators_share_memory(t):
    views = (
        "c[0]",
        "c[:, 1:]",
        "c[None]",
        "c[...]",
        "c.T",
        "c.t()",
        "c.transpose(0, 1)",
        "c.permute(1, 0)",
        "c.view(3, 2)",
        "c.view(-1)",
        "c.reshape(6)",
        "c.flatten()",
        "c.squeeze()",
        "c.unsqueeze(1)",
        "c.expand(4, 2, 3)",
        "c.diagonal()",
        "c.narrow(1, 0, 2)",
        "c.select(0, 1)",
        "c.split(1)[1]",
        "c.chunk(3, 1)[2]",
        "c.unbind(1)[0]",
        "c.detach()",
        "c.data",
        "c.view_as(c)",
        "c.expand_as(c)",
        "c.movedim(0, 1)",
        "c.swapaxes(0, 1)",
        "c.mT",
        "c.unflatten(1, (3, 1))",
        "c.tensor_split(2)[0]",
        "c.hsplit(3)[0]",
        "c.contiguous()",
        "c.to(c.dtype)",
        "c.float()",
        "c.clone()",
        "c + 0",
        "c[[0]]",
        "c[c > 1]",
        "c.T.reshape(6)",
        "c.T.contiguous()",
        "c.T.flatten()",
        "c.repeat(1, 1)",
        "c.flip(0)",
        "c.roll(1)",
        "c.index_select(0, t.tensor([0]))",
        "c.double()",
        "t.atleast_3d(c)",
        "t.ravel(c)",
        "t.broadcast_to(c, (2, 3))",
        "c.type_as(c)",
        "c.cpu()",
        "c.requires_grad_()",
    )
    found = []
    for text in views:
        c = t.arange(6.0).reshape(2, 3)
        v = eval(text, {"t": t, "c": c})
        with t.no_grad():
            v.sum()
            c.add_(100)
        found.append((text, bool((v >= 100).all()), v._version, v.is_contiguous()))
    return found


@behaviour
def versions_count_writes(t):
    return each(
        t,
        "c._version",
        "c.add_(1); c._version",
        "c[0] = 1; c._version",
        "v = c[0]; v.add_(1); (c._version, v._version)",
        "v = c[0]; c.add_(1); (c._version, v._version)",
        "d = c.detach(); d.add_(1); (c._version, d._version)",
        "d = c.data; d.add_(1); (c._version, d._version)",
        "e = c.clone(); e.add_(1); (c._version, e._version)",
        "c.zero_(); c.fill_(1); c.copy_(c + 1); c._version",
        "c.add_(1).mul_(2); c._version",
        "c += 1; c._version",
        "c[0] += 1; c._version",
        "c[c > 2] = 0; c._version",
        "c[:, 0], c[:, 1] = 1, 2; c._version",
        "c.data = t.ones(2, 3); c._version",
        "y.mul_(2); y._version",
        "x.grad = c; x._version",
        "c.requires_grad_(); c._version",
    )


@behaviour
def writes_to_leaves(t):
    return each(
        t,
        "x.add_(1)",
        "x[0].add_(1)",
        "x[0] = 1; x",
        "x.view(-1).mul_(2)",
        "x.detach().add_(1); x",
        "x.data.add_(1); (x, x._version)",
        "x.zero_()",
        "v = c[0].requires_grad_(); v.zero_()",
        "v = c.view(-1).requires_grad_(); v.copy_(v + 1)",
        "x.copy_(c)",
        "x.t()[0] = 2; x",
        "x.unbind()[0].add_(1)",
        "x.requires_grad_(False).add_(1)",
        "x.grad = c; x.grad.add_(1)",
        "x += 1; x",
        "x[x > 1] = 0; x",
        "x.data = c + 1; (x, x.is_leaf, x.requires_grad)",
        "x.data = t.ones(5); x.shape",
        "x.t_()",
        "x.unsqueeze_(0)",
        "c.copy_(x); (c, c.requires_grad, c.is_leaf)",
        "c.add_(x); (c, c.is_leaf)",
        "c[0] = x[0]; (c, c.grad_fn)",
        "v = c[0]; c.mul_(x); (v, v.requires_grad)",
        "v = c[0]; v.mul_(x[0]); (c, v)",
        "c.fill_(x[0, 0]); c",
    )


@behaviour
def gradients_through_writes(t):
    return each(
        t,
        "y[0] = 0; y.sum().backward(); x.grad",
        "y.mul_(3); y.sum().backward(); x.grad",
        "y[0].mul_(3); y.sum().backward(); x.grad",
        "v = y[0]; y.mul_(2); v.sum().backward(); x.grad",
        "v = y[0]; v.mul_(2); y.sum().backward(); x.grad",
        "v, w = y[0], y[0, 1:]; w.mul_(5); v.sum().backward(); x.grad",
        "y.zero_(); (y.requires_grad, y.grad_fn.name())",
        "y.copy_(c); y.sum().backward(); x.grad",
        "y.copy_(x * 2); y.sum().backward(); x.grad",
        "y.t()[1] *= 7; y.sum().backward(); x.grad",
        "y.diagonal().mul_(4); y.sum().backward(); x.grad",
        "y[:, 0] += y[:, 1]; y.sum().backward(); x.grad",
        "y += y; y.sum().backward(); x.grad",
        "y.view(-1)[1:] *= y.view(-1)[:-1].clone(); y.sum().backward(); x.grad",
        "c[0] = x[0] * 2; c.sum().backward(); x.grad",
        "c.mul_(x); c[1] = 0; c.sum().backward(); x.grad",
        "v = c.view(-1); c.mul_(x); v[:3].sum().backward(); x.grad",
        "v = c[1]; v.copy_(x[0]); c.mul_(2); v.sum().backward(); x.grad",
        "y[y > 2] = 0; y.sum().backward(); x.grad",
        "y.masked_fill_(y > 2, 9.0); y.sum().backward(); x.grad",
        "y.index_add_(0, t.tensor([0]), x[1:]); y.sum().backward(); x.grad",
        "y[[0, 0]] = x[[1, 1]] * 3; y.sum().backward(); x.grad",
        "y.clamp_(min=2); y.sum().backward(); x.grad",
        "y.t_(); (y * c.t()).sum().backward(); x.grad",
        "y.unsqueeze_(0).mul_(2); y.sum().backward(); x.grad",
        "t.add(c, 1, out=c); c",
        "t.mul(x, 2, out=c)",
        "t.mul(c, 2, out=y)",
    )


@behaviour
def saved_values_and_writes(t):
    return each(
        t,
        "z = y.exp(); z.add_(1); z.sum().backward()",
        "z = y.exp(); y.add_(1); z.sum().backward(); x.grad.shape",
        "z = y.sin(); y.add_(1); z.sum().backward()",
        "z = y * y; y[0, 0] = 1; z.sum().backward()",
        "z = y * c; c.add_(1); z.sum().backward()",
        "z = y + c; c.add_(1); z.sum().backward(); x.grad",
        "z = y[0] * 2; y.add_(1); z.sum().backward(); x.grad",
        "v = y[0]; z = v * v; y.add_(1); z.sum().backward()",
        "z = y.square(); v = y[0]; v.add_(1); z.sum().backward()",
        "z = y * c; c.data.add_(100); z.sum().backward(); x.grad.shape",
        "z = y * c.detach(); c.add_(1); z.sum().backward()",
        "z = y.relu(); z.mul_(2); z.sum().backward(); x.grad",
        "z = y.relu(); z.mul_(z); z.sum().backward()",
        "z = y.sigmoid(); z.mul_(2); z.sum().backward()",
        "z = y.sqrt(); z += 1; z.sum().backward()",
        "y.exp_(); y.sum().backward(); x.grad.shape",
        "y.exp_().mul_(2); y.sum().backward()",
        "y.sin_(); y.sum().backward(); x.grad.shape",
        "z = y.max(1)[0]; y.add_(1); z.sum().backward(); x.grad",
        "i = t.tensor([0, 1]); z = y[i]; i.add_(0); z.sum().backward()",
        "i = t.tensor([0, 1]); z = y.index_select(0, i); i.fill_(0); z.sum().backward()",
        "z = x * x; x.data.add_(1); z.sum().backward(); x.grad.shape",
    )


@behaviour
def no_grad_and_views(t):
    return each(
        t,
        "exec('with t.no_grad(): v = y[0]'); v.requires_grad",
        "exec('with t.no_grad(): v = x[0]'); v.add_(1)",
        "exec('with t.no_grad(): v = y[0]'); v.add_(1)",
        "exec('with t.no_grad(): x.add_(1)'); (x, x.is_leaf)",
        "exec('with t.no_grad(): y.mul_(2)'); y.sum().backward(); x.grad",
        "exec('with t.no_grad(): y[0] = 100'); y.sum().backward(); x.grad",
        "exec('with t.no_grad(): z = y * 2'); (z.requires_grad, z.is_leaf)",
        "v = y[0]; exec('with t.no_grad(): v.mul_(2)'); y.sum().backward(); (x.grad, y)",
        "exec('with t.no_grad(): c.copy_(x)'); (c, c.requires_grad)",
        "exec('with t.no_grad(): x[0] = 5'); x",
        "exec('with t.inference_mode(): z = c + 1'); z.requires_grad",
        "d = y.detach(); d.requires_grad_(); (d * 2).sum().backward(); (d.grad, x.grad)",
        "d = y.detach(); d.zero_(); y",
        "y.detach_(); (y.requires_grad, y.is_leaf, y.grad_fn)",
        "v = y[0]; v.detach_()",
        "y[0].detach().requires_grad",
        "x.detach_(); (x.requires_grad, x.is_leaf)",
        "exec('with t.no_grad(): v = c[0]'); v.requires_grad_(); v.is_leaf",
        "v = c[0]; v.requires_grad_(); (v.is_leaf, v.requires_grad, c.requires_grad)",
        "v = c[0].requires_grad_(); v.sum().backward(); v.grad",
        "v = c[0].requires_grad_(); c.mul_(2); (v, v.is_leaf)",
        "v = c[0].requires_grad_(); v.add_(1)",
    )


@behaviour
def several_views_of_one_call(t):
    return each(
        t,
        "a, b = y.unbind(); a.add_(1)",
        "a, b = y.split(1); a.mul_(2)",
        "a, b, d = y.chunk(3, 1); d.zero_()",
        "a, b = y.unbind(); y.add_(1); a.sum()",
        "a, b = y.unbind(); y.add_(1); y.sum().backward(); x.grad",
        "a, b = c.unbind(); a.add_(1); c",
        "a, b = c.unbind(); a.add_(x[0]); c",
        "a, b = x.unbind(); a.add_(1)",
        "a = y.split(1)[0]; a.clone().add_(1).sum().backward(); x.grad",
        "[r.sum() for r in y]",
        "exec('for r in y: r.add_(1)')",
        "a, b = y.tensor_split(2); a.add_(1)",
        "exec('with t.no_grad(): [r.add_(1) for r in c]'); c",
        "exec('with t.no_grad(): [r.add_(1) for r in y.unbind()]'); y.sum().backward(); (y, x.grad)",
    )


@behaviour
def leaves_and_their_gradients(t):
    return each(
        t,
        "(x.is_leaf, y.is_leaf, c.is_leaf, x[0].is_leaf)",
        "(x.grad_fn, y.grad_fn.name(), x[0].grad_fn.name(), c.grad_fn)",
        "y.retain_grad(); y.sum().backward(); (y.grad, y.is_leaf)",
        "y.sum().backward(); (y.is_leaf, x.grad)",
        "x.grad = t.ones(3); x.grad",
        "x.grad = t.ones(2, 3, dtype=t.float64); x.grad",
        "x.grad = 3; x.grad",
        "x.grad = x; x.grad",
        "x.sum().backward(); del x.grad; x.grad",
        "x.sum().backward(); x.grad.zero_(); x.grad",
        "x.requires_grad = False; x.requires_grad",
        "y.requires_grad = False; y",
        "y.requires_grad_(); y.is_leaf",
        "c.long().requires_grad_()",
        "t.tensor([1, 2], requires_grad=True)",
        "x.numpy()",
        "x.detach().numpy().tolist()",
        "float(x.sum())",
        "x.tolist()",
        "t.tensor(x).requires_grad",
        "x.clone().is_leaf",
        "x.float() is x",
        "x.double().is_leaf",
        "x.data.requires_grad",
        "(x.data.data_ptr() == x.data_ptr())",
        "x.new_tensor([1.0]).requires_grad",
        "t.zeros_like(x).requires_grad",
        "t.nn.Parameter(c).requires_grad",
        "t.nn.Parameter(y).is_leaf",
    )


# -- in place, of another shape --------------------------------------------------------------------------------------

_RESHAPING = (("t_", ()), ("transpose_", (0, 1)), ("swapaxes_", (0, 1)), ("swapdims_", (0, 1)), ("unsqueeze_", (0,)), ("squeeze_", ()))


@behaviour
def another_shape_in_place_is_a_write(t):
    found = []
    for name, args in _RESHAPING:
        x = t.arange(6.0).reshape(2, 3)
        row, y = x[1], x * x.clone().requires_grad_()
        getattr(x, name)(*args)
        found.append((name, x.shape, x._version, row._version, row, error(lambda y=y: y.sum().backward()).partition("[")[0]))
    return found


@behaviour
def another_shape_of_a_detached_alias(t):
    x = t.arange(6.0).reshape(2, 3)
    d, data = x.detach(), x.data
    d.t_()
    data.unsqueeze_(0)
    data[0, 0, 0] = 7
    return x, d, data, x._version, d._version, data._version


@behaviour
def another_shape_of_what_has_a_history(t):
    x = t.arange(6.0).reshape(2, 3).requires_grad_()
    y = x * 2
    shapes = []
    y.register_hook(lambda g: shapes.append(g.shape))
    v = y[0]
    v.unsqueeze_(0)
    y.t_()
    y[0, 1] = 9
    (y * y).sum().backward()
    return y.shape, v, shapes, x.grad, y._version


@behaviour
def another_shape_of_a_leaf(t):
    p = t.nn.Parameter(t.arange(6.0).reshape(2, 3))
    q = t.nn.Parameter(t.arange(6.0).reshape(2, 3))
    data = p.data
    refused = error(p.t_)
    with t.no_grad():
        p.t_()
        p.mul_(2)
        q.unsqueeze_(dim=0)
    data[0, 0] = 100
    (p * p).sum().backward()
    optimizer = t.optim.SGD([q], lr=0.25)
    for _ in range(4):
        optimizer.zero_grad()
        (q * q).sum().backward()
        optimizer.step()
    return refused, p, p.is_leaf, p.grad, data, q, q.grad, p._version
