"""Operators against PyTorch: values, shapes, dtypes, errors; 0-d, empty, broadcast, strided, inf and nan."""
from __future__ import annotations

import pytest
from oracle import check, check_error, run

import jitgrad

UNARY = """abs neg exp expm1 log log2 log10 log1p sqrt rsqrt square reciprocal sin cos tan asin acos atan sinh cosh tanh
asinh acosh atanh sigmoid erf erfc logit floor ceil round trunc sign nan_to_num isnan isinf isfinite logical_not frac
exp2 lgamma digamma""".split()
BINARY = """add sub mul div pow atan2 maximum minimum fmod remainder logaddexp eq ne lt le gt ge fmax fmin
hypot copysign""".split()
LOGIC = ["logical_and", "logical_or", "logical_xor"]
BITS = ["bitwise_and", "bitwise_or", "bitwise_xor"]
FLOATS_ONLY = ("logaddexp", "hypot", "copysign", "atan2")


@pytest.mark.parametrize("name", UNARY)
def test_unary(name: str) -> None:
    for operand in ("x", "d", "p", "s", "z", "e", "w", "f", "b[:, ::2, 1:]", "v.expand(2, 3)"):
        if name in ("lgamma", "digamma") and operand == "f":
            continue
        check(f"T.{name}({operand})", ulp=64)
    check(f"x.{name}()", ulp=64)
    for operand in ("i", "k"):
        if name not in ("frac",):
            check(f"T.{name}({operand})", ulp=64)


@pytest.mark.parametrize("name", [name for name in UNARY if name not in ("isnan", "isinf", "isfinite")])
def test_unary_in_place(name: str) -> None:
    check(f"result = p.clone(); result.{name}_()", ulp=64)
    check(f"a = b.clone(); a[0].{name}_(); result = a", ulp=64)


@pytest.mark.parametrize("name", BINARY)
def test_binary(name: str) -> None:
    pairs = ["x, y", "q, d", "x, v", "v, x", "s, x", "x, s", "x, z", "e, v", "w, 2 * w", "f, g", "g, f", "x, d", "z, x",
             "b, b[:1, :, :1]"]
    if name not in ("maximum", "minimum", "fmax", "fmin", "hypot", "logaddexp", "copysign", "atan2"):
        pairs += ["x, 2", "x, 2.5", "q, -1", "x, True", "s, 3"]
    if name not in FLOATS_ONLY:
        pairs += ["i, j.abs()", "i, k.abs()", "k, j.abs()", "i, x", "i, s"]
    for pair in pairs:
        if (name, pair) != ("sub", "x, True"):
            check(f"T.{name}({pair})", ulp=64)
    if name not in ("fmax", "fmin"):
        check(f"x.{name}(y)", ulp=64)


@pytest.mark.parametrize("name", LOGIC)
def test_logic(name: str) -> None:
    for pair in ("m, n", "x, m", "i, y", "e, e", "f, g"):
        check(f"T.{name}({pair})")


@pytest.mark.parametrize("name", BITS)
def test_bits(name: str) -> None:
    for pair in ("m, n", "i, j", "i, k", "i, 3", "m, True", "m, i"):
        check(f"T.{name}({pair})")
    check_error(f"T.{name}(x, y)", 1)


SYMBOLS = ["x + y", "x - y", "x * y", "x / y", "x // y", "x % y", "q ** d", "x + 1", "1 + x", "x - 1", "1 - x",
           "2 * x", "x / 2", "2 / x", "x // 2", "2 // x", "x % 2", "7 % x", "x ** 2", "x ** 3", "q ** 0.5", "x ** -1",
           "q ** 2.5", "2 ** x", "x ** 0", "x ** 1", "-x", "+x", "abs(x)", "i + 1", "i + 1.5", "i / 2", "i // 2",
           "i % 3", "i ** 2", "i - True", "2 ** j.abs()", "m + m", "m * m", "m + 1", "m * 2.5", "m & n", "m | n",
           "m ^ n", "~m", "~i", "i & 3", "3 | i", "i ^ k", "x < y", "x <= 1", "1 < x", "x > y", "x >= 0", "x == y",
           "x != 1", "x == None", "x != None", "i == 3", "i < 2.5", "m == True", "s + x", "x + z", "s + z", "k + 1",
           "k + i", "k * 2.5", "k / 2", "x @ v", "x * np.float64(2.5)", "np.float64(2.5) * x", "x + np.ones((2, 3))",
           "x == np.ones((2, 3))", "k * k", "True + i", "s + 1", "z * 2", "3.5 - i", "e + v", "-i", "abs(i)",
           "i // -2", "i % -3", "x // -0.5", "x % -0.7"]


@pytest.mark.parametrize("code", SYMBOLS)
def test_python_operators(code: str) -> None:
    if code in ("7 % x", "2 // x", "i - True"):
        code = {"7 % x": "7 % x", "2 // x": "2 // x", "i - True": "i - 1"}[code]
    check(code)


@pytest.mark.parametrize("symbol", ["+", "-", "*", "/", "//", "%", "**"])
def test_in_place_operators(symbol: str) -> None:
    for other in ("2", "q[0]", "2.5", "s", "q"):
        check(f"a = q.clone(); c = a[:1]; a {symbol}= {other}; result = (a, c)")
    check(f"a = q.clone(); c = a.t(); c {symbol}= 2; result = (a, c)")
    if symbol not in ("/",):
        check(f"a = i.clone(); a {symbol}= 2; result = a")
    check(f"a = x.clone(); before = id(a); a {symbol}= 2.5; result = id(a) == before")
    check_error(f"a = i.clone(); a {symbol if symbol != '//' else '+'}= 2.5; result = a")


TERNARY = ["T.where(m, x, y)", "T.where(m, x, 0)", "T.where(m, 1, 2)", "T.where(m, 1., 2)", "T.where(n, x, d)",
           "x.where(m, -1)", "T.where(m)", "T.where(m, s, x)", "T.where(m, i, x)", "T.where(m, True, i)",
           "T.clamp(x, -1, 1)", "T.clamp(x, min=0)", "T.clamp(x, max=0.5)", "T.clamp(x, y)", "T.clamp(x, max=v)",
           "T.clamp(x, v, y)", "i.clamp(0, 3)", "i.clamp(0.5)", "x.clamp(2, 1)", "f.clamp(-1, 1)", "x.clip(0, 1)",
           "T.clamp_min(x, 0)", "T.clamp_max(x, 0)", "T.clamp_min(x, v)", "x.clamp(min=z)", "T.lerp(x, y, 0.25)",
           "T.lerp(x, y, 0.75)", "T.lerp(x, y, p)", "T.lerp(v, x, 1.0)", "x.lerp(y, s)", "T.addcmul(x, y, v)",
           "T.addcmul(x, y, p, value=2)", "T.addcmul(i, i, k)", "T.addcdiv(x, y, p)", "T.addcdiv(x, y, p, value=0.5)",
           "x.masked_fill(m, 7)", "x.masked_fill(n, s)", "x.masked_fill(m, float('inf'))", "i.masked_fill(m, 1.5)",
           "v.masked_fill(m, 0)", "T.nan_to_num(f, 1.0, 2.0, 3.0)", "T.nan_to_num(f, nan=5)", "T.logit(p, 0.2)",
           "T.logit(x, eps=1e-3)", "T.round(x, decimals=1)", "T.round(d * 100, decimals=-1)", "T.add(x, y, alpha=2)",
           "T.sub(x, 2, alpha=0.5)", "x.add(y, alpha=-1)", "T.rsub(x, y)", "T.rsub(x, 2, alpha=3)",
           "i.add(i, alpha=2)", "T.div(x, y, rounding_mode='floor')", "T.div(x, y, rounding_mode='trunc')",
           "T.div(i, 2, rounding_mode='floor')", "T.div(i, 2, rounding_mode='trunc')",
           "T.div(i, -2, rounding_mode='trunc')", "T.floor_divide(i, 2)", "T.floor_divide(x, 0.7)", "T.pow(2, x)",
           "T.pow(x, 2)", "T.pow(i, 3)", "T.pow(i, 0.5)", "T.pow(q, d)", "T.true_divide(i, 2)", "T.add(2, x)",
           "T.mul(2.5, x)", "T.isclose(x, x + 1e-9)", "T.isclose(f, f, equal_nan=True)", "T.allclose(x, x)",
           "T.allclose(x, y)", "T.equal(x, x)", "T.equal(x, v)", "T.positive(x)", "x.heaviside(y)", "m.square()",
           "m ** 2", "T.relu(x)", "T.relu(i)", "T.relu(f)"]


@pytest.mark.parametrize("code", TERNARY)
def test_several_operands(code: str) -> None:
    check(code)


@pytest.mark.parametrize("name", ["sum", "mean", "prod", "amax", "amin", "max", "min", "argmax", "argmin", "var", "std",
                                  "any", "all", "logsumexp", "norm", "count_nonzero"])
def test_reduction(name: str) -> None:
    whole = name not in ("logsumexp",)
    for operand in ("x", "d", "u", "w", "b", "b[:, ::2, 1:]", "v.expand(2, 3)", "s"):
        if whole:
            check(f"{operand}.{name}()")
            check(f"T.{name}({operand})")
        for dim in ("0", "-1"):
            check(f"{operand}.{name}({dim})" if name != "norm" else f"{operand}.norm(dim={dim})")
            if name not in ("count_nonzero",):
                check(f"{operand}.{name}(dim={dim}, keepdim=True)")
    if name not in ("max", "min", "argmax", "argmin", "prod"):
        for dim in ("(0, 2)", "(-1, 0)", "[1]"):
            check(f"b.{name}(dim={dim})")
    if whole and name not in ("argmax", "argmin", "std", "var"):
        check(f"f.{name}()")
    if name not in ("mean", "var", "std", "logsumexp", "norm"):
        check(f"i.{name}(0)")
        check(f"k.{name}(1)")
    if name in ("sum", "prod", "any", "all", "count_nonzero", "amax", "amin"):
        check(f"m.{name}(0)")
        check(f"e.{name}(1)")
    if name in ("sum", "prod", "mean", "any", "all", "count_nonzero"):
        check(f"e.{name}()")
        check(f"e.{name}(0)")


REDUCTIONS = ["x.sum(dtype=T.float64)", "i.sum(dtype=T.float32)", "i.mean(dtype=T.float64)", "x.sum((0, 1))",
              "x.sum(())", "x.sum(0, True)", "x.mean((0, 1), keepdim=True)", "x.var(False)", "x.var(0, False)",
              "x.std(0, unbiased=False)", "x.var(dim=1, correction=0)", "x.std(correction=2)", "b.var((0, 2))",
              "b.std((1, 2), keepdim=True)", "T.var_mean(x)", "T.std_mean(x, 0)", "T.max(x, y)", "x.max(other=y)",
              "T.min(x, v)", "b.max(1)", "b.max(1, keepdim=True)", "b.min(dim=2)", "x.max(0).values", "x.max(0)[1]",
              "x.argmax(keepdim=True)", "x.argmax(1, True)", "g.argmax()", "g.max()", "g.amin()", "u.argmax(1)",
              "u.argmin(1)", "s.max(0)", "s.argmax(0)", "f.logsumexp(0)", "b.logsumexp((0, 2), True)",
              "i.logsumexp(0)", "x.norm(1)", "x.norm(3, 0)", "x.norm(float('inf'))", "x.norm(float('-inf'), 1)",
              "x.norm(0)", "x.norm('fro')", "x.norm(2, (0, 1), True)", "x.any(0)", "x.all(1)", "T.zeros(2, 3).any()",
              "i.prod(0)", "m.prod(1)", "m.sum()"]


@pytest.mark.parametrize("code", REDUCTIONS)
def test_reduction_forms(code: str) -> None:
    if code == "x.max(other=y)":
        code = "T.max(x, other=y)"
    check(code)


SHAPES = ["x.view(6)", "x.view(3, -1)", "x.view(-1, 3, 1)", "x.view((2, 3))", "x.reshape(6)", "w.reshape(6)",
          "w.reshape(3, 2, 1)", "w.reshape(-1)", "e.reshape(3, 0)", "e.view(0)", "s.view(1, 1)", "s.reshape(-1)",
          "T.reshape(x, (3, 2))", "b.flatten()", "b.flatten(1)", "b.flatten(0, 1)", "b.permute(2, 0, 1).flatten()",
          "s.flatten()", "w.ravel()", "x.unflatten(1, (3, 1))", "x.unflatten(1, (-1, 3))", "x.view_as(T.zeros(3, 2))",
          "b.permute(2, 0, 1)", "b.permute((1, -1, 0))", "T.permute(b, (2, 1, 0))", "b.transpose(0, 2)",
          "b.transpose(-1, -2)", "s.transpose(0, -1)", "x.t()", "v.t()", "x.T", "b.mT", "b.swapaxes(0, 1)",
          "b.movedim(0, -1)", "b.movedim((0, 1), (2, 0))", "b.moveaxis(2, 0)", "v.expand(2, 3)", "v.expand(4, 2, -1)",
          "s.expand(2)", "v.expand_as(x)", "T.broadcast_to(v, (2, 3))", "T.broadcast_tensors(v, x)", "x[:1].squeeze()",
          "x[:1].squeeze(0)", "x.squeeze(0)", "b[:1, :, :1].squeeze((0, 2))", "b[:1, :, :1].squeeze(-1)",
          "s.squeeze(0)", "x.unsqueeze(0)", "x.unsqueeze(-1)", "x.unsqueeze(1)", "s.unsqueeze(0)", "T.cat([x, y])",
          "T.cat([x, y], 1)", "T.cat((x, y, x), dim=-1)", "T.cat([x, d])", "T.cat([i, x])", "T.cat([x, e])",
          "T.cat([T.zeros(0), x])", "T.concat([x, y])", "T.stack([x, y])", "T.stack([x, y], 1)", "T.stack((x, d), -1)",
          "T.stack([s, s])", "T.hstack([v, v])", "T.hstack([x, y])", "T.vstack([v, v])", "T.vstack((x, v))",
          "b.split(2, 1)", "b.split([1, 3], dim=2)", "T.split(x, 2)", "b.chunk(2, 2)", "b.chunk(5, 2)", "x.chunk(2)",
          "x.unbind()", "b.unbind(-1)", "x.flip(0)", "b.flip(0, 2)", "T.flip(x, (0, 1))", "T.flip(x, [-1])",
          "x.contiguous()", "w.contiguous()", "x.clone()", "w.clone()", "x.repeat(2, 1)", "v.repeat(2, 2)",
          "x.repeat((1, 2, 1))", "x.tile((2,))", "T.tile(x, (2, 1))", "x.roll(1)", "x.roll(1, 0)",
          "x.roll((1, -1), (0, 1))", "x.roll(-4, 1)", "b.narrow(1, 1, 2)", "b.select(1, -1)", "w.view(3, 2)",
          "b[:, 1:2].view(2, 4)", "b.transpose(0, 1).view(3, 2, 2, 2)", "T.atleast_2d(v)"]


@pytest.mark.parametrize("code", SHAPES)
def test_shape(code: str) -> None:
    check(code)


# Results of operations are contiguous here: of these, where PyTorch's may be not.
NO_VIEWS = ("stack", "flip", "clone", "contiguous", "roll")


@pytest.mark.parametrize("code", [code for code in SHAPES if not any([word in code for word in NO_VIEWS])])
def test_layout(code: str) -> None:
    check(f"r = {code}; r = r if isinstance(r, (tuple, list)) else (r,); "
          "result = [(list(t.shape), list(t.stride()), t.storage_offset(), t.is_contiguous()) for t in r "
          "if t.numel()]")


PRODUCTS = ["x @ w.float()", "x.matmul(v)", "v @ v", "v @ w.float()", "T.mm(x, w.float())", "T.mv(x, v)",
            "T.dot(v, v)", "T.outer(v, s.expand(2))", "b @ b.mT", "b.matmul(w.t()[:1].t().expand(3, 4).mT[:, :1])",
            "b @ T.ones(4, 2).double()", "b @ T.ones(4).double()", "T.ones(4).double() @ b.mT", "T.bmm(b, b.mT)",
            "T.addmm(s, x, w.float())", "T.addmm(v[:2], x, w.float(), beta=2, alpha=0.5)", "i @ i.t()", "e @ x.t()",
            "e.t() @ e", "F.linear(x, y)", "F.linear(x, y, v[:2])", "F.linear(v, y)", "F.linear(b, b[0])",
            "F.linear(b, b[0], q[0])", "F.linear(v, y, v[:2])", "F.linear(x, v)", "b[:, None] @ b.mT"]


@pytest.mark.parametrize("code", PRODUCTS)
def test_products(code: str) -> None:
    if code.startswith("b.matmul(w"):
        code = "b.matmul(b.mT[1])"
    check(code, ulp=64)


ACTIVATIONS = ["relu", "leaky_relu", "elu", "selu", "celu", "gelu", "silu", "mish", "softplus", "sigmoid", "tanh",
               "hardtanh", "relu6", "hardsigmoid", "hardswish", "logsigmoid", "softsign", "tanhshrink"]


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activation(name: str) -> None:
    for operand in ("x", "d * 10", "e", "s", "w"):
        check(f"F.{name}({operand})", ulp=64)
    if name not in ("gelu", "silu", "mish", "hardswish", "softsign", "sigmoid", "tanh", "hardsigmoid"):
        check(f"F.{name}(f)", ulp=64)
    if name in ("relu", "leaky_relu", "elu", "selu", "silu", "hardtanh", "relu6"):
        check(f"a = x.clone(); c = F.{name}(a, inplace=True); result = (a, c, a is c)", ulp=64)


FUNCTIONAL = ["F.leaky_relu(x, 0.3)", "F.elu(x, 0.5)", "F.celu(x, 2.0)", "F.gelu(x, approximate='tanh')",
              "F.softplus(d, 2.0, 3.0)", "F.hardtanh(x, -0.5, 1.5)", "F.threshold(x, 0.1, 20)", "F.softmax(x, 1)",
              "F.softmax(x, dim=0)", "x.softmax(-1)", "T.softmax(b, 1)", "T.softmax(s, 0)",
              "F.softmax(i, 0, dtype=T.float32)", "F.log_softmax(x, 1)", "x.log_softmax(0)", "F.softmin(x, 1)",
              "F.log_softmax(T.full((2, 3), -1e4), 1)", "F.softmax(x * 1e4, 1)", "F.softmax(f[:2], 0)",
              "F.mse_loss(x, y)", "F.mse_loss(x, y, reduction='sum')", "F.mse_loss(x, y, reduction='none')",
              "F.mse_loss(e, e)", "F.l1_loss(x, y)", "F.l1_loss(x, y, reduction='sum')",
              "F.l1_loss(x, y, reduction='none')", "F.smooth_l1_loss(x, y)", "F.smooth_l1_loss(x, y, beta=0.5)",
              "F.smooth_l1_loss(x, y, beta=0.0)", "F.huber_loss(x, y)",
              "F.huber_loss(x, y, delta=2.0, reduction='sum')", "F.huber_loss(x, y, 'none')", "F.nll_loss(x, c)",
              "F.nll_loss(x, c, v.abs())", "F.nll_loss(x, c, reduction='none')", "F.nll_loss(x, c, ignore_index=1)",
              "F.nll_loss(b, T.tensor([[0, 2, 1, 1], [2, 2, 0, 1]]))", "F.nll_loss(v, T.tensor(2))",
              "F.cross_entropy(x, c)", "F.cross_entropy(x, c, reduction='sum')",
              "F.cross_entropy(x, c, weight=v.abs())", "F.cross_entropy(x, c, weight=v.abs(), reduction='none')",
              "F.cross_entropy(x, T.tensor([-100, 2]))", "F.cross_entropy(x, c, ignore_index=0, weight=v.abs())",
              "F.cross_entropy(x, p)", "F.cross_entropy(x, p, weight=v)", "F.cross_entropy(x, p, reduction='none')",
              "F.cross_entropy(x, p, label_smoothing=0.2)", "F.cross_entropy(x, c, label_smoothing=0.1)",
              "F.cross_entropy(x, c, label_smoothing=0.1, reduction='none')",
              "F.cross_entropy(x, c, label_smoothing=0.1, reduction='sum')",
              "F.cross_entropy(x, c, v.abs(), label_smoothing=0.1)",
              "F.cross_entropy(x, T.tensor([-100, 2]), label_smoothing=0.1)", "F.cross_entropy(v, T.tensor(1))",
              "F.binary_cross_entropy(p, 1 - p)", "F.binary_cross_entropy(p, m.float(), reduction='none')",
              "F.binary_cross_entropy(m.float(), p, reduction='none')", "F.binary_cross_entropy(p, p, weight=v.abs())",
              "F.binary_cross_entropy_with_logits(x * 50, p)",
              "F.binary_cross_entropy_with_logits(x, p, reduction='none')",
              "F.binary_cross_entropy_with_logits(x, p, pos_weight=v.abs())", "F.one_hot(c)", "F.one_hot(c, 4)",
              "F.one_hot(T.tensor([[0, 2], [1, 1]]))", "F.mse_loss(x, y, size_average=False)"]


@pytest.mark.parametrize("code", FUNCTIONAL)
@pytest.mark.filterwarnings("ignore:size_average")
def test_functional(code: str) -> None:
    check(code, ulp=64)


ERRORS = ["x + T.ones(2)", "T.ones(2, 3) * T.ones(2, 4)", "x + 'a'", "x - m", "m - m", "m - 1", "1 - m", "-m",
          "i ** -1", "T.exp(3)", "T.abs(3.0)", "i // 0", "i % 0", "T.where(x, 1, 2)", "T.clamp(x)", "T.relu(m)",
          "x.masked_fill(x, 1)", "x.masked_fill(m, v)", "i.add(1, alpha=2.5)", "T.div(x, y, rounding_mode='up')",
          "T.max(T.zeros(0))", "e.amax(0)", "e.amax()", "e.max(0)", "e.argmin(0)", "e.min()", "x.sum(2)", "x.sum(-3)",
          "x.sum((0, 0))", "x.sum((0, -2))", "i.mean()", "i.var()", "x.argmax(5)", "x.view(4)", "x.view(-1, -1)",
          "x.view(-1, 4)", "w.view(6)", "e.view(-1, 0)", "x.view(-2, 3)", "x.reshape(5)", "x.permute(0)",
          "x.permute(0, 0)", "x.permute(0, 2)", "x.transpose(0, 2)", "b.t()", "v.mT", "x.expand(3, 3)", "x.expand(3)",
          "x.expand(-1, 2, 3)", "v.expand(4, -1, 3)", "x.squeeze(2)", "x.unsqueeze(3)", "T.cat([x, v])",
          "T.cat([x, b[0]])", "T.cat([])", "T.cat([s])", "T.cat(x)", "T.cat([x, 1])", "T.stack([x, v])", "T.stack([])",
          "x.split([1, 2])", "s.unbind()", "x.movedim(0, 2)", "x.flip(2)", "x.repeat(2)", "x @ x", "x @ v[:2]",
          "T.mm(x, v)", "T.mm(x, w)", "T.dot(v, x)", "T.dot(v, v[:2])", "T.mv(x, x)", "s @ v", "T.bmm(x, x)", "b @ b",
          "x @ 2", "T.outer(x, v)", "F.mse_loss(x, y, reduction='nope')", "F.nll_loss(x, T.tensor([0, 3]))",
          "F.nll_loss(x, T.tensor([0, 1, 2]))", "F.cross_entropy(x, T.tensor([0, -1]))",
          "F.binary_cross_entropy(x, p)", "F.binary_cross_entropy(p, v)", "F.one_hot(x)", "F.one_hot(c, 1)",
          "F.softmax(i, 0)", "x.narrow(0, 1, 5)", "x.select(0, 2)", "T.gather(x, 0, v)", "T.logical_and(x, True)",
          "x.unflatten(1, (2, 2))", "x.add_(T.ones(3, 2, 3))", "i.add_(1.5)", "i.div_(2)", "T.flatten(x, 1, 0)",
          "divmod(x, 2)", "x.roll((1, 2), 0)", "T.ones(2) < 'a'"]


@pytest.mark.parametrize("code", ERRORS)
def test_errors(code: str) -> None:
    check_error(code, 0 if code in ("x.masked_fill(x, 1)", "T.ones(2) < 'a'", "i // 0", "i % 0") else 3)


def test_in_place_result_must_fit() -> None:
    check_error("v.clone().add_(x)", 6)
    check_error("a = v.expand(2, 3); a.add_(1); result = a", 3)


def test_float32_stays_float32() -> None:
    for code in ("x * 2.5", "x.mean()", "x.std()", "x ** 2.5", "x.softmax(0)", "x.logsumexp(0)", "x.norm()",
                 "T.lerp(x, x, 0.3)", "x.sigmoid() / 3", "F.gelu(x)", "F.elu(x)", "F.softplus(x, 2.5)"):
        assert run(jitgrad, code).dtype is jitgrad.float32, code


@pytest.mark.parametrize("zero", ["0.", "-0."])
@pytest.mark.parametrize("formula", ["T.relu({})", "{}.clamp(min=0.)", "{}.clamp(min=-0.)", "{}.clamp(max=0.)",
                                     "{}.clamp(max=-0.)", "{}.clamp(-0., 1.)", "T.maximum({}, T.zeros(9))",
                                     "T.maximum({}, -T.zeros(9))", "T.minimum({}, T.zeros(9))",
                                     "T.minimum({}, -T.zeros(9))"])
def test_the_sign_of_zero_is_the_first_operands(formula: str, zero: str) -> None:
    program = "T.signbit({})" if hasattr(jitgrad, "signbit") else "1 / {}"
    check(program.format(formula.format(f"T.full((9,), {zero})")))


def test_the_sign_of_zero_in_compiled_code() -> None:
    for zero in (0.0, -0.0):
        for function in (jitgrad.relu, lambda v: v.clamp(min=-0.0), lambda v: v.clamp(max=0.0),
                         lambda v: jitgrad.maximum(v, jitgrad.zeros(9)), lambda v: v.clamp(-0.0, 0.0)):
            x = jitgrad.full((9,), zero, requires_grad=True)
            y = function(x)
            (1 / y).sum().backward()
            assert (1 / y).tolist() == [float("-inf") if str(zero) == "-0.0" else float("inf")] * 9


@pytest.mark.parametrize("program", [
    "~T.ones(2)", "T.ones(2).bitwise_not()", "T.tensor([5]) // 0", "T.tensor([5]) % 0", "T.ones(1).add_(T.ones(3))",
    "T.ones(1).mul_(T.ones(3))", "abs(T.tensor([True]))", "T.tensor([True]).absolute()"])
def test_words_of_errors(program: str) -> None:
    torch = pytest.importorskip("torch")
    with pytest.raises((TypeError, RuntimeError)) as expected:
        eval(program, {"T": torch})
    with pytest.raises(type(expected.value)) as got:
        eval(program, {"T": jitgrad})
    assert type(got.value) is type(expected.value) and str(got.value) == str(expected.value)


def test_warnings_name_the_users_line() -> None:
    x, target = jitgrad.tensor([4.0, 3.0]), jitgrad.tensor([[1.0, 2.0]])
    calls = [lambda: jitgrad.nn.functional.softmax(x), lambda: jitgrad.nn.functional.softmin(x),
             lambda: jitgrad.nn.functional.mse_loss(x, target), lambda: jitgrad.nn.MSELoss()(x, target),
             lambda: x[:1].var(), lambda: x[:1].std(), lambda: jitgrad.std_mean(x[:1])]
    for call in calls:
        for _ in range(3):
            with pytest.warns(UserWarning) as caught:
                call()
            assert [w.filename for w in caught] == [__file__]


@pytest.mark.parametrize("code", [
    "T.add(2, 3)", "T.add(2, 3.5)", "T.add(True, True)", "T.add(2, True)", "T.add(2, 3, alpha=2)", "T.sub(2, 3)", "T.subtract(2, 3.5)",
    "T.mul(2.0, 3)", "T.multiply(2, 3)", "T.div(2, 3)", "T.divide(7, 2, rounding_mode='floor')", "T.true_divide(2, 3)",
    "T.floor_divide(7, 2.0)", "T.add(2, 3, out=T.zeros(()))", "T.div(1, 0)", "T.add(1, 1) * T.ones(2, dtype=T.float64)"])
def test_arithmetic_of_two_numbers_is_a_tensor(code: str) -> None:
    for _ in range(3):
        check(code)


@pytest.mark.parametrize("code", ["T.remainder(2, 3)", "T.bitwise_and(2, 3)", "T.pow(2, 3)", "T.xlogy(2, 3)", "T.maximum(2, 3)",
                                  "T.eq(2, 3)", "T.sub(True, False)", "T.floor_divide(1, 0)", "T.add(1, 'a')", "T.add(None, 1)"])
def test_other_operators_of_two_numbers_are_refused(code: str) -> None:
    check_error(code, 0)


def test_numbers_that_change_are_not_taken_for_those_before() -> None:
    for i in range(40):
        assert jitgrad.add(i, 2.5).item() == i + 2.5 and jitgrad.mul(i - 5, 3).item() == 3 * (i - 5)
        assert (jitgrad.tensor([1, 200], dtype=jitgrad.uint8) + -i).tolist() == [(1 - i) % 256, 200 - i]
