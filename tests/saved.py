"""Programs about what a graph saves, and what a backward frees; see test_saved.py.  Each takes the module and gives a line a case,
of those cases that are asked for."""
from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

# Expressions of a, b, ...; the shapes of these.
OPERATIONS = """
F.linear(a, b, c): 2x3 4x3 4; F.linear(a, b): 2x3 4x3; F.linear(a, b, c): 3 4x3 4; F.linear(a, b): 3 4x3
F.linear(a, b, c): 2x2x3 4x3 4; F.linear(a, b): 2x2x3 4x3; F.linear(a, b): 3 3; F.linear(a, b, c): 3 3 -; F.linear(a, b): 2x3 3
t.addmm(a, b, c): 2x2 2x3 3x2; t.addmm(a, b, c, beta=2., alpha=3.): 2x2 2x3 3x2; a @ b: 2x3 3x2; a @ b: 3 3x2; a @ b: 2x3 3
a @ b: 3 3; a @ b: 2x2x3 3x2; a @ b: 2x2x3 2x3x2; a @ b: 2x2x3 3; t.mm(a, b): 2x3 3x2; t.mv(a, b): 2x3 3; t.dot(a, b): 3 3
t.bmm(a, b): 2x2x3 2x3x2; t.outer(a, b): 3 3; F.mse_loss(a, b): 2x3 2x3; F.mse_loss(a, b, reduction="none"): 2x3 2x3
F.mse_loss(a, b, reduction="sum"): 2x3 2x3; F.l1_loss(a, b): 2x3 2x3; F.l1_loss(a, b, reduction="sum"): 2x3 2x3
F.smooth_l1_loss(a, b): 2x3 2x3; F.huber_loss(a, b): 2x3 2x3; F.cross_entropy(a, idx): 2x3; F.cross_entropy(a, b): 2x3 2x3
F.cross_entropy(a, idx, label_smoothing=.1): 2x3; F.nll_loss(a, idx): 2x3; F.binary_cross_entropy(a*.1, b*.1): 2x3 2x3
F.binary_cross_entropy_with_logits(a, b): 2x3 2x3; a.softmax(-1): 2x3; a.log_softmax(-1): 2x3; F.softmin(a, -1): 2x3
a.logsumexp(-1): 2x3; a.norm(): 2x3; a.norm(dim=1): 2x3; t.addcmul(a, b, c): 3 3 3; t.addcdiv(a, b, c): 3 3 3
t.lerp(a, b, c): 3 3 3; t.lerp(a, b, .3): 3 3; t.where(a > b, a, b): 3 3; t.maximum(a, b): 3 3; t.minimum(a, b): 3 3
t.fmax(a, b): 3 3; a ** b: 3 3; a ** 2: 3; a ** 1: 3; 2 ** a: 3; a / b: 3 3; a * b: 3 3; a * 2: 3; 2 / a: 3; t.atan2(a, b): 3 3
t.hypot(a, b): 3 3; t.fmod(a, b): 3 3; t.remainder(a, b): 3 3; t.logaddexp(a, b): 3 3; F.silu(a): 3; F.mish(a): 3; F.gelu(a): 3
F.gelu(a, approximate="tanh"): 3; F.elu(a): 3; F.celu(a): 3; F.selu(a): 3; F.leaky_relu(a): 3; F.relu(a): 3; F.relu6(a): 3
F.hardtanh(a): 3; F.hardsigmoid(a): 3; F.hardswish(a): 3; F.tanhshrink(a): 3; F.softplus(a): 3; F.softsign(a): 3
F.logsigmoid(a): 3; F.threshold(a, .3, 0.): 3; a.sigmoid(): 3; a.tanh(): 3; (a*.3).logit(): 3; a.var(): 2x3; a.var(1): 2x3
a.std(): 2x3; a.std(1): 2x3; a.mean(): 2x3; a.sum(1): 2x3; a.prod(): 3; a.prod(1): 2x3; a.max(): 3; a.max(1)[0]: 2x3
a.amax(1): 2x3; t.var_mean(a)[0]: 2x3; t.std_mean(a)[0]: 2x3; a.clamp(.3, .4): 3; a.clamp(b, c): 3 3 3; t.clamp(a, min=b): 3 3
a.masked_fill(a > .3, 0.): 3; a.gather(1, t.tensor([[0], [1]])): 2x3; a.index_select(0, idx): 2x3; a[idx]: 2x3; a[a > .3]: 3
a.take_along_dim(idx, 0): 3; t.cat([a, b]): 3 3; t.stack([a, b]): 3 3; a.flip(0): 3; a.roll(1): 3; a.repeat(2): 3
t.rsub(a, b, alpha=2.): 3 3; t.add(a, b, alpha=2.): 3 3; a.abs(): 3; a.sign(): 3; a.exp(): 3; a.exp2(): 3; a.expm1(): 3
a.log(): 3; a.log1p(): 3; a.sqrt(): 3; a.rsqrt(): 3; a.square(): 3; a.reciprocal(): 3; a.erf(): 3; a.lgamma(): 3
a.digamma(): 3; a.tan(): 3; (a*.3).asin(): 3; a.atan(): 3; a.sinh(): 3; a.cosh(): 3; a.sin(): 3; a.cos(): 3; -a: 3
a.round(): 3; a.frac(): 3; a.nan_to_num(): 3
"""


def short(error: Exception) -> str:
    """S and F for the errors of what was overwritten and what was freed, others as they are."""
    text = str(error)
    return "S" if "modified by an inplace operation" in text else "F" if "a second time" in text else f"{type(error).__name__}: {text}"


def operands(t: Any, shapes: str) -> list[Any]:
    result = []
    for shape in shapes.split():
        lengths = [int(n) for n in shape.split("x")] if shape != "-" else []
        count = 1
        for n in lengths:
            count *= n
        result.append(t.tensor([0.2 + 0.07 * i + 0.03 * (i * 7 % 5) for i in range(count)]).reshape(lengths))
    return result


def overwritten(t: Any, part: slice) -> Iterator[str]:
    """Whether backward notices that an operand, or the result, was overwritten, and that it has been there; of all operands
    that may require grad."""
    names = {"t": t, "F": t.nn.functional, "idx": t.tensor([0, 1])}
    cases = [(line, needs) for line in OPERATIONS.replace("\n", "; ").split("; ") if line
             for needs in itertools.product((False, True), repeat=len(line.rpartition(": ")[2].split())) if any(needs)]
    for line, needs in cases[part]:
        code, _, shapes = line.rpartition(": ")
        found = ""
        for target in (*range(len(needs)), "result", "again"):
            given = [x.clone().requires_grad_(need) for x, need in zip(operands(t, shapes), needs, strict=True)]
            y = eval(code, names | dict(zip("abcde", given, strict=False)))
            if target == "again":
                y.sum().backward()
            else:
                with t.no_grad():
                    (y if target == "result" else given[target]).add_(1.0)
            try:
                y.sum().backward()
                found += "."
            except RuntimeError as error:
                found += short(error)
        yield f"{line} {''.join(['x' if need else '-' for need in needs])} {found}"


WRITES = """
y[1:].zero_(); y[1:] = 0; y[1:].fill_(2.0); y[1:].copy_(t.ones(2)); y[0] = 5.0; y[0] = x[1]; y[1:].add_(1.0); y[1:].mul_(x[1:])
y[1:].exp_(); y[1:] = t.ones(2); y[y > 2] = 0.0; y.detach().zero_(); y.detach()[1:].zero_(); y[1:].copy_(x[1:])
y.masked_fill_(y > 3, 1.0); y.sub_(1.0); y.relu_(); y[1:].clamp_(0, 1); y.copy_(x * 2)
y.zero_(); y.fill_(3.0); y[:] = 0.5; y.view(-1)[1:].zero_(); y.view(-1).zero_(); y.unsqueeze(0)[0][1:].fill_(1.0)
"""
LOSSES = ("(y * y).sum()", "(x * y).sum()", "(x * y).sum() + y.exp().sum()", "(y.sum() * x).sum()", "(y.view(-1) ** 2 * x).sum()",
          "(y[1:] ** 2 * x[1:]).sum()", "(y + x).sum()")


def written(t: Any, part: slice) -> Iterator[str]:
    """What backward says, or gives, where a value was written to after the loss was computed."""
    writes = [write for write in WRITES.replace("\n", "; ").split("; ") if write]
    for made, write, loss in [*itertools.product(("x * 2", "x.exp()", "x.detach() + 1"), writes, LOSSES)][part]:
        x = t.tensor([1.0, 2.0, 3.0], requires_grad=True)
        names = {"t": t, "x": x}
        names["y"] = eval(made, names)
        value = eval(loss, names)
        exec(write, names)
        try:
            value.backward()
            found = str([float(f"{g:.4g}") for g in x.grad.tolist()])
        except RuntimeError as error:
            found = f"{type(error).__name__} {str(error).partition(': ')[2].partition(' instead')[0]}"
            if write in ("y.zero_()", "y.fill_(3.0)", "y[:] = 0.5", "y.view(-1).zero_()"):
                found = short(error)        # not the name that the tensor's grad_fn has by now
        yield f"y = {made}; {loss}; {write}: {found}"


CUTS = ("f.detach()", "f.data", "(f > 0)", "f.detach().clone()", "t.ones(()).expand_as(f)", "f.detach()[1:].sum()", "f.argmax()",
        "t.zeros_like(f)", "f", "without(f)")
MADE = ("t.tanh(w) * 2", "w + 2", "w.exp()", "apply(w)", "apply(w.exp())", "apply(w).exp()", "w.exp().sum().expand(3)",
        "w.exp().view(3)")
FIRST = ("z.sum().backward()", "z.sum().backward(retain_graph=True)", "z.sum().backward(create_graph=True)",
         "t.autograd.grad(z.sum(), u)", "t.autograd.grad(z.sum(), u, retain_graph=True)", "z.sum().backward(inputs=[u])",
         "z.register_hook(lambda g: g), z.sum().backward()", "z.retain_grad(), z.sum().backward()",
         "t.autograd.backward([z.sum(), (z * 2).sum()])", "t.autograd.grad(z.sum(), z)")
SECOND = ("(f ** 2).sum().backward()", "f.sum().backward()", "z.sum().backward()")


def square(t: Any) -> Any:
    """A Function whose forward and backward are Python."""
    class Square(t.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            ctx.save_for_backward(x)
            return x * x

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            return 2 * ctx.saved_tensors[0] * g

    return Square


def freed(t: Any, part: slice) -> Iterator[str]:
    """Which graphs are freed by a backward through a part of them, or through what was computed from their values alone."""
    Square = square(t)

    def without(f: Any) -> Any:
        with t.no_grad():
            return f * 1

    for cut, made in [*itertools.product(CUTS, MADE)][part]:
        found = []
        for first, second in itertools.product(FIRST, SECOND):
            w, u = t.tensor([0.5, 1.0, 2.0], requires_grad=True), t.tensor([1.0, 2.0, 3.0], requires_grad=True)
            names = {"t": t, "w": w, "u": u, "apply": Square.apply, "without": without}
            names["f"] = eval(made, names)
            names["z"] = eval(f"u * u * {cut}", names)
            eval(first, names)
            try:
                eval(second, names)
                found.append("." if w.grad is None else f"{w.grad.sum().item():.4g}")
            except RuntimeError as error:
                found.append(short(error))
        yield f"f = {made}; {cut}: {' '.join(found)}"


PROGRAMS = {f.__name__: f for f in (overwritten, written, freed)}
