"""Random programs over jitgrad's public interface: a list of lines of Python, so that a failure shrinks to what one can read and
paste.  `T` is the library: the same text runs in jitgrad and in PyTorch."""
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from hypothesis import strategies as st

import jitgrad

LIMIT = 120         # elements of the largest tensor
NOISE = 4.0         # size of a perturbation, in units of the last place
TRIALS = 4


@dataclass(frozen=True)
class Leaf:
    """An input: `v0`, `v1` ... in the order of the program's leaves."""

    shape: tuple[int, ...]
    dtype: str
    requires_grad: bool
    coarse: bool        # values are multiples of 1/4: many are equal

    def array(self, rng: np.random.Generator, shape: tuple[int, ...] | None = None) -> np.ndarray:
        values = rng.uniform(-1.5, 1.5, self.shape if shape is None else shape)
        return np.asarray(np.round(values * 4) / 4 if self.coarse else values, self.dtype)


@dataclass(frozen=True)
class Line:
    """One statement.  reads: what the perturbed run disturbs before it (operands of sums); writes: and after it."""

    text: str
    reads: tuple[str, ...] = ()
    writes: str = ""


@dataclass(repr=False)
class Program:
    leaves: list[Leaf]
    lines: list[Line] = field(default_factory=list)
    roots: list[str] = field(default_factory=list)
    scalar: bool = False        # backward() from one weighted sum, instead of grad() of the roots with cotangents
    seed: int = 0
    uses: set[str] = field(default_factory=set)     # kinds of lines

    def __repr__(self) -> str:
        leaves = [f"v{i} = T.tensor({leaf.array(rng).tolist()}, dtype=T.{leaf.dtype}"
                  + (", requires_grad=True)" if leaf.requires_grad else ")")
                  for rng in [self.rng()] for i, leaf in enumerate(self.leaves)]
        how = "backward() of the weighted sum" if self.scalar else "grad"
        return "\n".join(["", *leaves, *[line.text for line in self.lines], f"# {how} of {', '.join(self.roots)}"])

    def rng(self) -> np.random.Generator:
        return np.random.default_rng(self.seed)

    def arrays(self, shapes: Sequence[tuple[int, ...]] | None = None, seed: int | None = None) -> list[np.ndarray]:
        rng = self.rng() if seed is None else np.random.default_rng(seed)
        return [leaf.array(rng, None if shapes is None else shapes[i]) for i, leaf in enumerate(self.leaves)]

    @property
    def eps(self) -> float:
        """The unit of the coarsest dtype in it."""
        return max([float(np.finfo(leaf.dtype).eps) for leaf in self.leaves])


# -- running one -----------------------------------------------------------------------------------------------------

@dataclass
class Outcome:
    """What a run gave, or the error it ended with."""

    values: list[np.ndarray] = field(default_factory=list)
    grads: list[np.ndarray | None] = field(default_factory=list)
    facts: list[object] = field(default_factory=list)       # shape, dtype and requires_grad of the roots
    largest: float = 0.0                                     # of all values on the way, where they were looked at
    shapes: list[tuple[int, ...]] = field(default_factory=list)
    error: BaseException | None = None


def weights(shape: Sequence[int], dtype: str) -> np.ndarray:
    """A cotangent whose elements differ."""
    n = int(np.prod(shape, dtype=int))
    return np.asarray(np.reshape(np.cos(np.arange(n) * 0.7) + 0.25, tuple(shape)), dtype)


def run(lib: Any, program: Program, arrays: Sequence[np.ndarray] | None = None, look: bool = False,
        noise: np.random.Generator | None = None) -> Outcome:
    """Run a program in one library.

    look: read every intermediate.  noise: multiply intermediates by 1 + NOISE * eps, of random sign; as the product passes
    the gradient on, this disturbs derivatives too."""
    outcome = Outcome()
    arrays = program.arrays() if arrays is None else arrays
    names: dict[str, Any] = {"T": lib}
    leaves = []
    for i, (leaf, array) in enumerate(zip(program.leaves, arrays, strict=True)):
        names[f"v{i}"] = lib.tensor(array, requires_grad=leaf.requires_grad)
        if leaf.requires_grad:
            leaves.append(names[f"v{i}"])

    def disturbed(tensor: Any) -> Any:
        signs = noise.choice([-1.0, 1.0], tuple(tensor.shape))      # type: ignore[union-attr]
        return tensor * lib.tensor(1 + NOISE * program.eps * signs)

    try:
        for line in program.lines:
            scope = names
            if noise is not None and line.reads:
                scope = {**names, **{name: disturbed(names[name]) for name in line.reads}}
            exec(line.text, scope)
            if line.writes:
                names[line.writes] = scope[line.writes] if noise is None else disturbed(scope[line.writes])
            target = line.text.split(" ")[0]
            if target in scope:
                names[target] = scope[target] if not line.writes else names[target]
                outcome.shapes.append(tuple(names[target].shape))
            if look and target in names:
                outcome.largest = max(outcome.largest, float(np.abs(names[target].detach().numpy()).max(initial=0)))
        roots = [names[root] for root in program.roots]
        live = [root for root in roots if root.requires_grad]
        cotangents = [lib.tensor(weights(root.shape, str(root.dtype).split(".")[1])) for root in live]
        if live and program.scalar:
            total = sum([(root * w).sum() for root, w in zip(live, cotangents, strict=True)])
            total.backward()
            grads = [leaf.grad for leaf in leaves]
        elif live:
            grads = lib.autograd.grad(live, leaves, cotangents, allow_unused=True)
        else:
            grads = []
        outcome.grads = [None if g is None else np.array(g.numpy()) for g in grads]
        outcome.values = [np.array(root.detach().numpy()) for root in roots]
        outcome.facts = [(tuple(root.shape), str(root.dtype), root.requires_grad) for root in roots]
    except RuntimeError as error:       # a value that backward needs was written over
        outcome.error = error
    return outcome


def interpreted(program: Program, arrays: Sequence[np.ndarray] | None = None, **options: Any) -> Outcome:
    with jitgrad.interpret():
        return run(jitgrad, program, arrays, **options)


def tolerances(program: Program) -> list[np.ndarray]:
    """A bound for each value, then each gradient: what perturbations of NOISE ulp in all intermediates and all terms of sums
    do to it, measured in float64 (so: first-order condition number times ulp), four times over, and 4 ulp of the largest
    element, or of 1."""
    wide = [array.astype(np.float64) for array in program.arrays()]
    exact = flat(interpreted(program, wide))
    deviation = [np.zeros_like(array) for array in exact]
    for trial in range(TRIALS):
        other = flat(interpreted(program, wide, noise=np.random.default_rng(trial)))
        deviation = [np.fmax(d, abs(a - b)) for d, a, b in zip(deviation, exact, other, strict=True)]
    # One bound an array: the terms of one element's sum may cancel in all the trials.  Cotangents are about 1, and what multiplies
    # them has terms about 1 that may cancel (1 - y * y where tanh saturates): ulp of 1 is the least.
    return [np.full_like(d, 4 * d.max(initial=0) + 4 * program.eps * max(1.0, abs(array).max(initial=0)))
            for d, array in zip(deviation, exact, strict=True)]


def flat(outcome: Outcome) -> list[np.ndarray]:
    """Values, then gradients; None as zeros of no shape."""
    assert outcome.error is None, outcome.error
    return [*outcome.values, *[np.zeros(()) if g is None else g for g in outcome.grads]]


# -- drawing one -----------------------------------------------------------------------------------------------------

SMOOTH = ["{x}.sin()", "{x}.cos()", "{x}.tanh()", "{x}.sigmoid()", "({x} * {x} + 0.5).log()", "{x}.tanh().exp()",
          "{x}.atan()", "{x}.erf()", "{x} ** 3", "{x}.square()", "{x}.square().log1p()", "{x}.tanh().expm1()",
          "({x}.square() + 1.0).rsqrt()", "(0.5 + {x} ** 2) ** 1.5", "1 / ({x}.cos() + 2)", "{x}.double()"]
EXACT = ["-{x}", "{x} * 1.5", "2.0 - {x}", "{x} / 3", "({x} * {x} + 0.5).sqrt()", "{x} + 1"]
KINKED = ["{x}.abs()", "{x}.relu()", "{x}.clamp(-0.5, 1.0)", "{x}.clamp(min=0.25)", "T.where({x} > 0.5, {x}, -1.0)",
          "{x}.detach() * {x}"]
BINARY_EXACT = ["{x} + {y}", "{x} - {y}", "{x} * {y}", "{x} / ({y} * {y} + 0.5)"]
BINARY_CHOICE = ["T.maximum({x}, {y})", "T.minimum({x}, {y})", "T.where({x} > {y}, {x}, {y})", "T.where({x} <= 0, {y}, {x})"]
BINARY_SMOOTH = ["T.atan2({x}, {y} * {y} + 0.5)", "T.lerp({x}, {y}, 0.25)", "T.addcmul({x}, {y}, {y}, value=0.5)",
                 "T.logaddexp({x}, {y})", "({x} * {x} + 0.5) ** {y}.tanh()"]
INPLACE = [".mul_(0.5)", ".add_(1)", ".sin_()", ".neg_()", ".tanh_()"]
DTYPES = [("float64",), ("float64",), ("float32",), ("float32", "float64")]


class Builder:
    """Draws lines; records each in jitgrad as it comes, which infers shapes and computes nothing."""

    def __init__(self, draw: Any, program: Program, smooth: bool) -> None:
        self.draw, self.program, self.smooth = draw, program, smooth
        self.names: dict[str, Any] = {"T": jitgrad}
        self.pool: list[str] = []
        self.base: dict[str, str] = {}      # whose memory it is; "" where that must not be written
        for i, leaf in enumerate(program.leaves):
            self.names[f"v{i}"] = jitgrad.zeros(leaf.shape, dtype=getattr(jitgrad, leaf.dtype))
            self.pool.append(f"v{i}")
            self.base[f"v{i}"] = "" if leaf.requires_grad else f"v{i}"

    def one(self, choices: Sequence[Any]) -> Any:
        return self.draw(st.sampled_from(choices))

    def pick(self) -> str:
        return self.one(self.pool[::-1])

    def shape(self, name: str) -> tuple[int, ...]:
        return tuple(self.names[name].shape)

    def add(self, text: str, kind: str, reads: tuple[str, ...] = (), exact: bool = False, base: str | None = None) -> None:
        """A line that makes a new value.  base: whose memory it shares."""
        name = f"v{len(self.pool)}"
        try:
            with jitgrad.no_grad():
                value = eval(text, self.names)
        except RuntimeError as error:
            if "dtype" in str(error):       # operands of two dtypes, where that is refused
                return
            raise
        if value.numel() > LIMIT:
            return
        self.names[name] = value
        self.pool.append(name)
        self.base[name] = name if base is None else base
        self.program.uses.add(kind)
        self.program.lines.append(Line(f"{name} = {text}", reads, "" if exact else name))

    def unary(self, x: str) -> None:
        text = self.one(SMOOTH + EXACT if self.smooth else SMOOTH + EXACT + KINKED)
        self.add(text.format(x=x), "unary")

    def partner(self, x: str) -> str | None:
        return self.one([y for y in self.pool[::-1] if fits(self.shape(x), self.shape(y))])

    def binary(self, x: str) -> None:
        templates = BINARY_EXACT + BINARY_SMOOTH + ([] if self.smooth else BINARY_CHOICE)
        self.add(self.one(templates).format(x=x, y=self.partner(x)), "binary")

    def reduction(self, x: str) -> None:
        shape = self.shape(x)
        dims = tuple(sorted(self.draw(st.sets(st.integers(0, len(shape) - 1), min_size=1)))) if shape else ()
        keep = self.draw(st.booleans())
        names = ["sum"]
        if all([shape[d] for d in dims]):
            names += ["mean", "logsumexp", *([] if self.smooth else ["amax", "amin"])]
            names += ["var", "softmax", "log_softmax", "prod"]
        name = self.one(names)
        where = dims if shape else ()
        dim = dims[0] if dims else 0
        text = {"sum": f"{x}.sum({where}, keepdim={keep})" if shape else f"{x}.sum()",
                "mean": f"{x}.mean({where}, keepdim={keep})" if shape else f"{x}.mean()",
                "logsumexp": f"{x}.logsumexp({where if shape else 0}, keepdim={keep})",
                "amax": f"{x}.amax({where}, keepdim={keep})", "amin": f"{x}.amin({where}, keepdim={keep})",
                "var": f"{x}.var({where}, unbiased=False, keepdim={keep})" if shape else f"{x}.square()",
                "softmax": f"{x}.softmax({dim})", "log_softmax": f"{x}.log_softmax({dim})",
                "prod": f"{x}.prod({dim}, keepdim={keep})"}[name]
        self.add(text, "reduction", reads=() if name in ("amax", "amin") else (x,), exact=name in ("amax", "amin"))

    def view(self, x: str) -> None:
        shape = self.shape(x)
        n = len(shape)
        texts = ["{x}.unsqueeze(0)", "{x}.unsqueeze(-1)", "{x}.reshape(-1)" if 0 not in shape else "{x}.flatten()", "{x}[None]"]
        if n:
            d = self.draw(st.integers(0, n - 1))
            at = ":, " * d
            texts += [f"{{x}}[{at}1:]", f"{{x}}[{at}::2]", f"{{x}}.movedim({d}, 0)", f"{{x}}.transpose(0, {d})"]
            if shape[d] >= 1:
                texts += [f"{{x}}[{at}:-1]", f"{{x}}[{at}0]", "{x}[..., -1]" if shape[-1] else "{x}[...]",
                          f"{{x}}.narrow({d}, 0, 1)", f"{{x}}.select({d}, -1)", f"{{x}}.chunk(2, {d})[0]"]
            if 1 in shape:
                texts += ["{x}.squeeze()"]
        self.add(self.one(texts).format(x=x), "view", exact=True, base=self.base[x])

    def expand(self, x: str) -> None:
        shape = self.shape(x)
        sizes = ", ".join(["2", *["-1"] * len(shape)])
        self.add(f"{x}.expand({sizes})", "view", exact=True, base="")

    def joining(self, x: str) -> None:
        shape = self.shape(x)
        same = [y for y in self.pool[::-1] if self.shape(y) == shape]
        d = self.draw(st.integers(-len(shape) - 1, len(shape)))
        if shape and self.draw(st.booleans()):
            d = max(min(d, len(shape) - 1), -len(shape))
            self.add(f"T.cat([{x}, {self.one(same)}], {d})", "joining", exact=True)
        elif shape and self.draw(st.booleans()):
            self.add(f"{x}.flip({d % len(shape)})", "joining", exact=True)
        elif shape and shape[0] and self.draw(st.booleans()):
            self.add(f"{x}[T.tensor([0, -1, 0])]", "joining", exact=True)
        else:
            self.add(f"T.stack([{x}, {self.one(same)}], {d})", "joining", exact=True)

    def matmul(self, x: str) -> None:
        shape = self.shape(x)
        partners = [y for y in self.pool[::-1] if multiplies(shape, self.shape(y))]
        if partners and self.draw(st.booleans()):
            y = self.one(partners)
            self.add(f"{x} @ {y}", "matmul", reads=(x, y) if x != y else (x,))
        elif len(shape) >= 2:
            self.add(f"{x} @ {x}.mT", "matmul", reads=(x,))
        elif len(shape) == 1:
            self.add(f"T.outer({x}, {x})", "matmul", reads=(x,))
        else:
            self.unary(x)

    def clone(self, x: str) -> None:
        self.add(f"{x}.clone()", "view", exact=True)

    def inplace(self, x: str) -> None:
        writable = [y for y in self.pool[::-1] if self.base[y]]
        if not writable:
            return self.clone(x)
        y, shape = self.one(writable), self.shape(x)
        into = [y + ".copy_({x})", y + ".add_({x})", y + ".mul_({x})"]
        if self.shape(y):
            into += [y + "[...] = {x}", y + "[1:] *= {x}"]
        texts = [y + text for text in INPLACE]
        if self.shape(y) and self.shape(y)[0]:
            texts += [f"{y}[0] = 2.0", f"{y}[-1] *= 0.5", f"{y}[1:].add_(1.0)", f"{y}[T.tensor([0])] = 0.5"]
        if broadcasts(shape, self.shape(y)) and len(shape) <= len(self.shape(y)):
            texts += [text.format(x=x) for text in into if "1:" not in text]
        if self.shape(y) and broadcasts(shape, self.shape(y)[1:]):
            texts += [f"{y}[1:] *= {x}", *([f"{y}[0] += {x}"] if self.shape(y)[0] else [])]
        self.program.uses.add("inplace")
        self.program.lines.append(Line(self.one(texts)))

    def exact(self, x: str) -> None:
        """A line of the class that rounds the same way everywhere, without sums."""
        same = [y for y in self.pool[::-1] if self.shape(y) == self.shape(x)]
        self.add(self.one(EXACT + BINARY_EXACT + BINARY_CHOICE).format(x=x, y=self.one(same)), "exact")


def fits(a: tuple[int, ...], b: tuple[int, ...]) -> bool:
    try:
        np.broadcast_shapes(a, b)
    except ValueError:
        return False
    return True


def broadcasts(a: tuple[int, ...], b: tuple[int, ...]) -> bool:
    """Whether a can be written into b."""
    return fits(a, b) and np.broadcast_shapes(a, b) == b


def multiplies(a: tuple[int, ...], b: tuple[int, ...]) -> bool:
    try:
        np.matmul(np.broadcast_to(0.0, a), np.broadcast_to(0.0, b))
    except ValueError:
        return False
    return bool(a) and bool(b)


@st.composite
def programs(draw: Any, smooth: bool = False, exact: bool = False, inplace: bool = True, long: bool = False,
             double: bool = False, size: int = 7) -> Program:
    """A program of up to `size` lines.

    smooth: differentiable everywhere.  exact: + - * / sqrt, choices, one shape.  long: every length is 6 to 9.
    double: float64 only."""
    rows, columns, depth = [draw(st.integers(6, 9) if long else st.sampled_from([3, 2, 1, 4, 5, 0])) for _ in range(3)]
    shapes = [(columns,), (rows, columns), (), (rows, 1), (columns, rows), (depth, rows, columns), (rows,), (1, columns)]
    dtypes = draw(st.sampled_from(DTYPES[:1] if double else DTYPES[:3] if exact else DTYPES))
    one = draw(st.sampled_from(shapes))
    leaves = [Leaf(one if exact else draw(st.sampled_from(shapes)), draw(st.sampled_from(dtypes)), draw(st.booleans()) or i == 0,
                   not smooth and draw(st.booleans())) for i in range(draw(st.integers(1, 3)))]
    program = Program(leaves, seed=draw(st.integers(0, 1000)))
    builder = Builder(draw, program, smooth)
    kinds = [builder.unary, builder.binary, builder.reduction, builder.view, builder.expand, builder.joining, builder.matmul,
             builder.clone]
    if inplace:
        kinds.append(builder.inplace)
    if exact:
        kinds = [builder.exact]
    for _ in range(draw(st.integers(1, size))):
        builder.one(kinds)(builder.pick())
    made = builder.pool[len(leaves):] or builder.pool
    program.roots = [made[-1]]
    if len(made) > 1 and draw(st.booleans()):
        program.roots.append(draw(st.sampled_from(made[:-1])))
    program.scalar = not exact and draw(st.booleans())
    return program
