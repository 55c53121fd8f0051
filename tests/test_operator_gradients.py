"""Gradients, grad_fn names and edges of the operators against PyTorch, by the interpreter."""
from __future__ import annotations

import warnings
from typing import Any

import pytest
from oracle import check_gradients, first_floating, history, namespace, run, torch

import jitgrad

pytestmark = pytest.mark.full

# (expression, inputs that require gradients)
CASES = [
    ("x + y", "xy"), ("x + 1", "x"), ("1 + x", "x"), ("x - 1", "x"), ("1 - x", "x"), ("T.rsub(x, y)", "xy"),
    ("x * y", "xy"), ("x * 2.5", "x"), ("x / y", "xy"), ("x / 2", "x"), ("3 / x", "x"), ("x ** 2", "x"),
    ("x ** 3", "x"), ("q ** 0.5", "q"), ("x ** -1", "x"), ("x ** 1", "x"), ("x ** 0", "x"), ("q ** 2.5", "q"),
    ("q ** d", "qd"), ("2 ** x", "x"), ("q ** s", "qs"), ("-x", "x"), ("abs(x)", "x"), ("x % 2", "x"),
    ("q % q[0]", "q"), ("T.fmod(x, 2)", "x"), ("T.fmod(q, d)", "q"), ("T.div(x, y, rounding_mode='floor')", "xy"),
    ("T.where(m, x, y)", "xy"), ("T.where(m, x, 0.)", "x"), ("T.where(m, 0, x)", "x"), ("T.clamp(x, -1, 1)", "x"),
    ("T.clamp(x, min=1)", "x"), ("T.clamp(x, max=s)", "xs"), ("T.clamp(x, y, v)", "xyv"), ("T.clamp_min(x, 1)", "x"),
    ("T.clamp_min(x, s)", "xs"), ("T.clamp_max(x, 1)", "x"), ("T.lerp(x, y, 0.25)", "xy"), ("T.lerp(x, y, p)", "xyp"),
    ("T.addcmul(x, y, v, value=2)", "xyv"), ("T.addcdiv(x, y, p, value=2)", "xyp"), ("x.masked_fill(m, 0.)", "x"),
    ("x.masked_fill(m, s)", "xs"), ("T.logit(p)", "p"), ("T.logit(p, eps=0.2)", "p"), ("T.nan_to_num(g)", "g"),
    ("T.logaddexp(x, y)", "xy"), ("T.maximum(x, y)", "xy"), ("T.minimum(x, v)", "xv"), ("T.fmax(x, y)", "xy"),
    ("T.atan2(x, y)", "xy"), ("T.hypot(x, y)", "xy"), ("T.frac(x)", "x"), ("T.round(x)", "x"),
    ("T.round(x, decimals=1)", "x"), ("T.sign(x)", "x"), ("x.sub(y, alpha=2)", "xy"), ("x * d", "xd"), ("x + z", "xz"),
    ("x * m", "x"), ("d * s", "ds"), ("T.copysign(x, y)", "xy"), ("T.square(x)", "x"), ("x.sum()", "x"),
    ("x.sum(0)", "x"), ("x.sum((0, 1))", "x"), ("x.sum(0, keepdim=True)", "x"), ("x.sum(dtype=T.float64)", "x"),
    ("x.mean()", "x"), ("x.mean(1)", "x"), ("x.prod()", "x"), ("x.prod(0)", "x"), ("u.prod(1)", "u"),
    ("x.amax()", "x"), ("u.amax(1)", "u"), ("u.amin(0)", "u"), ("u.max()", "u"), ("u.max(1)", "u"),
    ("u.min(1, keepdim=True)", "u"), ("T.max(x, y)", "xy"), ("x.var()", "x"), ("x.var(0)", "x"), ("x.std()", "x"),
    ("x.std(1, unbiased=False)", "x"), ("T.full((3,), 2.).add(v * 0).std()", "v"), ("T.var_mean(x)", "x"),
    ("T.std_mean(x, 0)", "x"), ("x.logsumexp(0)", "x"), ("x.norm()", "x"), ("x.norm(2, 0)", "x"), ("x.norm(1)", "x"),
    ("x.norm(3)", "x"), ("(x * 0).norm()", "x"), ("x.view(6)", "x"), ("x.reshape(6)", "x"), ("x.t().reshape(6)", "x"),
    ("x.flatten()", "x"), ("x.t().flatten()", "x"), ("x.t()", "x"), ("x.T", "x"), ("x.mT", "x"),
    ("x.transpose(0, 1)", "x"), ("x.permute(1, 0)", "x"), ("x.movedim(0, 1)", "x"), ("x.expand(2, 2, 3)", "x"),
    ("v.expand_as(x)", "v"), ("T.broadcast_to(v, (2, 3))", "v"), ("x.squeeze()", "x"), ("x.squeeze(0)", "x"),
    ("x.squeeze((0, 1))", "x"), ("x.unsqueeze(0)", "x"), ("T.cat([x, y])", "xy"), ("T.cat([x, d])", "xd"),
    ("T.stack([x, y])", "xy"), ("T.hstack([x, y])", "xy"), ("T.vstack([v, v])", "v"), ("x.split(1)", "x"),
    ("x.split([1, 2], 1)", "x"), ("x.chunk(2)", "x"), ("x.unbind(0)", "x"), ("x.flip(0)", "x"),
    ("x.t().contiguous()", "x"), ("x.clone()", "x"), ("x.repeat(2, 1)", "x"), ("x.tile((2,))", "x"),
    ("x.roll(1, 0)", "x"), ("x.view_as(y)", "x"), ("x.unflatten(1, (3, 1))", "x"), ("x.narrow(0, 0, 1)", "x"),
    ("x.select(0, 1)", "x"), ("x.double()", "x"), ("x.to(T.float64)", "x"), ("x[0]", "x"), ("x[0, 1]", "x"),
    ("x[:]", "x"), ("x[...]", "x"), ("x[0:1]", "x"), ("x[0, 0:1]", "x"), ("x[None]", "x"), ("x[:, None]", "x"),
    ("x[[0, 1]]", "x"), ("x[c]", "x"), ("x[c, c]", "x"), ("x[0, c]", "x"), ("x[m]", "x"), ("x[n[:2]]", "x"),
    ("x[T.tensor(1)]", "x"), ("x[:, c]", "x"), ("x[[0, 0, 1]]", "x"), ("T.gather(x, 1, c[None])", "x"),
    ("T.index_select(x, 1, c)", "x"), ("T.masked_select(x, m)", "x"), ("x @ y.t()", "xy"), ("x @ v", "xv"),
    ("v @ v", "v"), ("T.mm(x, y.t())", "xy"), ("T.bmm(b, b.mT)", "b"), ("T.mv(x, v)", "xv"), ("T.dot(v, v * 2)", "v"),
    ("T.addmm(s, x, y.t())", "sxy"), ("T.addmm(s, x, y.t(), beta=0.5, alpha=2)", "sxy"), ("F.linear(x, y)", "xy"),
    ("F.linear(x, y, v[:2])", "xyv"), ("F.relu(x)", "x"), ("F.leaky_relu(x)", "x"), ("F.elu(x)", "x"),
    ("F.elu(d * 100)", "d"), ("F.selu(x)", "x"), ("F.celu(x)", "x"), ("F.gelu(x)", "x"),
    ("F.gelu(x, approximate='tanh')", "x"), ("F.silu(x)", "x"), ("F.mish(x)", "x"), ("F.softplus(d)", "d"),
    ("F.softplus(d * 30)", "d"), ("F.relu6(x)", "x"), ("F.hardtanh(x)", "x"), ("F.hardsigmoid(x)", "x"),
    ("F.hardswish(x)", "x"), ("F.logsigmoid(x)", "x"), ("F.softsign(x)", "x"), ("F.tanhshrink(d)", "d"),
    ("F.threshold(x, 0.1, 20)", "x"), ("F.softmax(x, 1)", "x"), ("F.softmin(x, 1)", "x"), ("F.log_softmax(x, 1)", "x"),
    ("F.mse_loss(x, y)", "xy"), ("F.mse_loss(x, y, reduction='none')", "xy"),
    ("F.mse_loss(x, y, reduction='sum')", "x"), ("F.l1_loss(x, y)", "xy"), ("F.l1_loss(x, y, reduction='none')", "x"),
    ("F.smooth_l1_loss(x, y, beta=2.)", "xy"), ("F.huber_loss(x, y, delta=1.5)", "xy"), ("F.cross_entropy(x, c)", "x"),
    ("F.nll_loss(x, c)", "x"), ("F.nll_loss(x, c, weight=v.abs())", "x"),
    ("F.binary_cross_entropy(p, y.sigmoid().detach())", "p"), ("F.binary_cross_entropy(x.sigmoid(), p)", "xp"),
    ("F.binary_cross_entropy_with_logits(x, p)", "x"),
    ("F.binary_cross_entropy_with_logits(x, p, pos_weight=v.abs())", "xp"), ("a = x * 1; a.mul_(2); result = a", "x"),
    ("a = x * 1; a += y; result = a", "xy"), ("a = x * 1; a[0] = v; result = a", "xv"),
    ("a = x * 1; a[0] *= 2; result = a", "x"), ("a = x * 1; c = a[0]; c.mul_(3); result = a * a", "x"),
    ("a = x * 1; a[m] = 0; result = a * 2", "x"), ("a = x * 1; a[:, 1] = s; result = a * 2", "xs"),
    ("a = x * 1; a[c] = y; result = a * 2", "xy"), ("a = x * 1; a.t()[0] += 1; result = a * a", "x"),
    ("a = x.clone(); a.copy_(y); result = a * 2", "xy"), ("a = x.clone(); a.fill_(3); result = a * x", "x"),
    ("a = x.clone(); a.zero_(); result = a + x", "x"), ("a = T.zeros(2, 3); a[1] = v; result = a * a", "v"),
]
SPELLED = ["exp", "expm1", "log", "log2", "log10", "log1p", "sqrt", "rsqrt", "reciprocal", "sin", "cos", "tan", "asin",
           "acos", "atan", "sinh", "cosh", "tanh", "asinh", "atanh", "sigmoid", "erf", "erfc", "exp2", "lgamma",
           "digamma", "floor", "ceil", "trunc"]

# What differs from PyTorch in the shape of the history: how batched products and classes' losses are composed.
OTHER_HISTORY = {"T.std_mean(x, 0)"}


@pytest.fixture(autouse=True)
def interpreted() -> object:
    with jitgrad.interpret():
        yield


@pytest.mark.parametrize(("code", "names"), CASES)
def test_gradients(code: str, names: str) -> None:
    check_gradients(code, names)


@pytest.mark.parametrize("name", SPELLED)
def test_unary(name: str) -> None:
    check_gradients(f"p.{name}()", "p", ulp=256)
    if name != "reciprocal":
        check_gradients(f"T.tensor(0.3) * p.{name}()", "p", ulp=256)
    assert history(run(jitgrad, f"p.{name}()", "p")) == history(run(torch, f"p.{name}()", "p"))


MULTIPLE_VIEWS = ("split", "chunk", "unbind")      # PyTorch forbids writing to what these return


def _after(lib: Any, code: str, names: str, what: str) -> str:
    """What backward says after the operator's first input or its result was overwritten, or when it runs twice."""
    scope = namespace(lib, requires_grad=names)
    for name in names:
        scope[name] = scope[name] * 1
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        result = first_floating(eval(code, scope))
    try:
        with lib.no_grad():
            if what != "again":
                (scope[names[0]] if what == "input" else result).mul_(1.5)
        result.sum().backward()
        if what == "again":
            result.sum().backward()
    except RuntimeError as error:
        return " ".join(str(error).split()[:8])
    return "no error"


@pytest.mark.parametrize("what", ["input", "result", "again"])
def test_what_is_saved(what: str) -> None:
    cases = [c for c in CASES if "result = " not in c[0]] + [(f"p.{name}()", "p") for name in SPELLED]
    for code, names in cases:
        if not any(word in code for word in MULTIPLE_VIEWS):
            assert _after(jitgrad, code, names, what) == _after(torch, code, names, what), code


@pytest.mark.parametrize(("code", "names"), [c for c in CASES if ";" not in c[0]])
def test_history(code: str, names: str) -> None:
    ours, theirs = run(jitgrad, code, names), run(torch, code, names)
    assert not isinstance(ours, BaseException), ours
    if code not in OTHER_HISTORY:
        assert history(first_floating(ours)) == history(first_floating(theirs))


def _leaf_gradients(library: Any, expression: str, *data: list) -> list[Any]:
    leaves = [library.tensor(d, requires_grad=True) for d in data]
    value = eval(expression, {"T": library, "x": leaves[0], "y": leaves[-1]})
    (value * value.detach()).sum().backward()
    return [None if v.grad is None else v.grad.tolist() for v in leaves]


@pytest.mark.parametrize("expression, data", [
    ("T.cat([x, y])", ([], [1.0, 2.0])), ("T.cat([y, x, y])", ([], [1.0, 2.0])), ("T.cat([x, x])", ([],)),
    ("T.cat([x, y])", ([], [[1.0, 2.0]])), ("T.cat([y, x], 1)", ([], [[1.0, 2.0], [3.0, 4.0]])),
    ("T.stack([x, y])", ([], [])), ("x.roll(3)", ([1.0, 2.0, 3.0, 4.0, 5.0],)), ("x.roll(-1, 1)", ([[1.0, 2.0, 3.0]],)),
    ("x.roll((1, 1), (0, 1))", ([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]],))])
def test_compiled_gradients_of_joining(expression: str, data: tuple) -> None:
    assert _leaf_gradients(jitgrad, expression, *data) == _leaf_gradients(torch, expression, *data)


@pytest.mark.parametrize("data", [[1.0, float("nan"), 2.0], [float("nan"), 0.0, float("nan")], [3.0, 1.0, 3.0],
                                  [float("inf"), float("-inf"), 1.0], [[1.0, 2.0], [2.0, 1.0]], 2.0])
@pytest.mark.parametrize("name", ["max", "min"])
def test_gradient_of_a_full_extremum(name: str, data: Any) -> None:
    found = []
    for library in (jitgrad, torch):
        x = library.tensor(data, requires_grad=True)
        getattr(library, name)(x).backward()
        found.append(x.grad.tolist())
    with jitgrad.interpret():
        x = jitgrad.tensor(data, requires_grad=True)
        getattr(x, name)().backward()
        found.append(x.grad.tolist())
    assert found[0] == found[1] == found[2]


@pytest.mark.parametrize("product", ["T.addmm(T.ones(2), x, w)", "x.mv(w[:, 0])", "T.dot(x[0], w[:, 0])"])
def test_a_product_saves_only_what_its_gradients_need(product: str) -> None:
    leaf, w = jitgrad.ones(2, 3, requires_grad=True), jitgrad.ones(3, 2)
    x = leaf * 1
    y = eval(product, {"T": jitgrad, "x": x, "w": w}).sum()
    x.mul_(2.0)             # only w is needed
    y.backward()
    y = eval(product, {"T": jitgrad, "x": leaf * 1, "w": w}).sum()
    w.mul_(2.0)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.backward()


def outcome(library: Any, statements: str) -> str:
    """What statements end in: the repr of `result`, or the error's type and first words."""
    x = library.tensor([[1.0, 3.0], [4.0, 2.0]], requires_grad=True)
    scope = {"x": x, "T": library}
    try:
        exec(statements, scope)
    except RuntimeError as error:
        return " ".join(["RuntimeError", *str(error).split()[:12]])
    return repr(scope["result"])


@pytest.mark.parametrize("name", ["max", "min"])
@pytest.mark.parametrize("statements", [
    "s = x.{}(1).values.sum(); s.backward(); s.backward(); result = x.grad",
    "y = (x + 1).{}(1, keepdim=True)[0]; y.sum().backward(); y.sum().backward(); result = x.grad",
    "s = x[0].{}(0).values; s.backward(); s.backward(); result = x.grad",
    "s = x.{}(1).values.sum(); s.backward(retain_graph=True); s.backward(); result = x.grad",
    "m = x.{}(1, keepdim=True); m.indices.add_(0); m.values.sum().backward(); result = x.grad",
    "y = x * 1; m = y.{}(1); y.mul_(2); m.values.sum().backward(); result = x.grad",
    "m = x.{}(1); m.values.mul_(2); m.values.sum().backward(); result = x.grad",
])
def test_an_extremum_along_a_dimension_saves_its_positions(name: str, statements: str) -> None:
    for _ in range(2):          # recorded, and by the template
        assert outcome(jitgrad, statements.format(name)) == outcome(torch, statements.format(name))


@pytest.mark.parametrize("call", ["x.std(1)", "x.var(1)", "T.std_mean(x, dim=1)", "T.var_mean(x, dim=1)"])
def test_the_warning_names_the_operator(call: str) -> None:
    words = []
    for library in (jitgrad, torch):
        with pytest.warns(UserWarning, match="degrees of freedom") as caught:
            eval(call, {"x": library.ones(2, 1), "T": library})
        words.append(str(caught[0].message).split(" (Trig")[0])
    assert words[0] == words[1]
