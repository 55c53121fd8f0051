"""What operators take: names, keywords, NumPy's names, out=, dtype= and errors are PyTorch's, for all that are declared."""
from __future__ import annotations

import inspect
import pickle
import pydoc
import re
import warnings
from typing import Any

import numpy as np
import pytest
from oracle import FUNCTIONAL, agree, plain, run, torch

import jitgrad
from jitgrad.operators.declaration.declare import OPERATORS, Operator
from jitgrad.operators.declaration.schema import OTHER_NAMES, REQUIRED, Schema

pytestmark = pytest.mark.full

# Of parameters without default: expressions by kind, by name, and by operator and name.
BY_KIND = {"Node": "x", "Tensor": "x", "Operand": "x", "Tensors": "[x, y]", "Scalar": "0.5", "float": "0.5", "int": "1", "Dims": "1",
           "Integers": "(1,)", "str": "'sum'", "Any": "1", "bool": "True"}
BY_NAME = {"condition": "x > 0.5", "mask": "x > 0.5", "index": "i", "indices": "i", "size": "(2, 3)", "shape": "(3, 2)",
           "split_size_or_sections": "1", "dim0": "0", "axis0": "0", "repeats": "(2, 1)", "sizes": "(3, 1)", "length": "1",
           "start": "0", "vec": "v", "tensor": "v", "vec2": "v", "source": "0", "destination": "1", "dim1": "1", "value": "0.5"}
BY_OPERATOR = {
    ("mm", "mat2"): "x.T", ("addmm", "input"): "s", ("addmm", "mat2"): "x.T", ("matmul", "other"): "x.T", ("bmm", "input"): "b",
    ("bmm", "mat2"): "b", ("dot", "input"): "v", ("outer", "input"): "v", ("permute", "dims"): "(1, 0)", ("tile", "dims"): "(2, 1)",
    ("where", "other"): "y", ("select", "index"): "0", ("index_select", "index"): "c", ("one_hot", "input"): "c",
    ("clamp", "min"): "0.3", ("clip", "min"): "0.3", ("cosine_embedding_loss", "target"): "c",
    ("layer_norm", "normalized_shape"): "(3,)",
    ("batch_norm", "running_mean"): "v", ("batch_norm", "running_var"): "v", ("embedding", "input"): "c", ("pad", "pad"): "(1, 1)",
    ("conv1d", "input"): "b", ("conv1d", "weight"): "b", ("conv2d", "input"): "b", ("conv2d", "weight"): "b[None]",
    ("max_pool2d", "input"): "b", ("avg_pool2d", "input"): "b",
    ("masked_fill", "value"): "0.5", ("broadcast_tensors", "tensors"): "x", ("nll_loss", "target"): "c",
    ("cross_entropy", "target"): "c", ("t", "input"): "x", ("split", "tensor"): "x", ("movedim", "source"): "0",
    **{(name, "input"): "s" for name in ("inverse", "det", "slogdet", "logdet", "cholesky_inverse", "matrix_power", "cholesky_solve",
                                         "triangular_solve")},
    **{(name, "input"): "p" for name in ("cholesky", "cholesky_inverse")}, ("cholesky_solve", "input2"): "p",
    ("triangular_solve", "A"): "p",
    ("addbmm", "input"): "s", ("addbmm", "batch1"): "b", ("addbmm", "batch2"): "b", ("baddbmm", "input"): "b",
    ("baddbmm", "batch1"): "b",
    ("baddbmm", "batch2"): "b", ("addmv", "input"): "v[:2]", ("addmv", "mat"): "x", ("addr", "input"): "x", ("addr", "vec1"): "v[:2]",
    ("ger", "input"): "v", ("vdot", "input"): "v", ("vdot", "other"): "v", ("bincount", "input"): "c", ("bucketize", "boundaries"): "v",
    ("combinations", "input"): "v", ("vander", "x"): "v", ("searchsorted", "sorted_sequence"): "x", ("chain_matmul", "matrices"): "s",
    ("cartesian_prod", "tensors"): "v", ("meshgrid", "tensors"): "v", ("broadcast_shapes", "shapes"): "(2, 1)",
    ("einsum", "equation"): "'ij->ji'", ("einsum", "operands"): "x", ("diagonal_scatter", "src"): "v[:2]",
    ("select_scatter", "src"): "v[:2]",
    ("select_scatter", "index"): "0", ("slice_scatter", "src"): "y", ("index_add", "index"): "c", ("index_copy", "index"): "c",
    ("index_fill", "index"): "c", ("index_reduce", "index"): "c", ("index_reduce", "reduce"): "'amax'",
    ("index_put", "indices"): "(c,)",
    ("index_put", "values"): "y", ("put", "index"): "i", ("take", "index"): "i", ("polygamma", "n"): "2",
    ("is_nonzero", "input"): "v[:1]", ("cov", "input"): "x",
    ("scatter", "reduce"): "'add'", ("scatter", "dim"): "0", ("scatter_reduce", "dim"): "0", ("scatter_add", "dim"): "0",
    **{(name, "src"): "y[:1]" for name in ("scatter", "scatter_add", "scatter_reduce")}, ("put", "source"): "y[:1]",
    **{(name, "source"): "y" for name in ("masked_scatter", "index_reduce")}, ("index_add", "source"): "s",
    ("index_copy", "source"): "s",
    ("histogram", "bins"): "3", ("repeat_interleave", "repeats"): "c", ("split_with_sizes", "split_sizes"): "(1, 2)",
    ("quantile", "q"): "0.5", ("svd", "input"): "x.T", ("histc", "input"): "x", ("nanquantile", "q"): "0.5",
    ("unsafe_split", "split_size"): "1", ("unfold", "dimension"): "1",
    ("unfold", "size"): "2", ("unfold", "step"): "1", ("dsplit", "input"): "b", ("hsplit", "sections"): "3",
    ("dsplit", "indices"): "(1,)",
    ("vsplit", "sections"): "2", ("dsplit", "sections"): "2", ("hsplit", "indices"): "(1,)", ("vsplit", "indices"): "(1,)",
    ("tensor_split", "indices"): "(1,)", ("tensor_split", "tensor_indices_or_sections"): "c", ("cross", "input"): "x",
    ("trapezoid", "y"): "x",
    ("renorm", "maxnorm"): "0.5", ("renorm", "p"): "2", ("renorm", "dim"): "0", ("kthvalue", "k"): "1", ("cdist", "x2"): "y",
    ("index_put", "index"): "c", ("float_power", "exponent"): "y", ("scatter", "index"): "i", ("repeat_interleave", "dim"): "0",
    ("index_reduce", "dim"): "0", ("index_add", "dim"): "1", ("index_copy", "dim"): "1", ("index_fill", "dim"): "1",
    **{(name, p): "k" for name in ("bitwise_and", "bitwise_or", "bitwise_xor", "bitwise_not", "bitwise_left_shift",
                                   "bitwise_right_shift") for p in ("input", "other")},
}


def names(lib: Any) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    arrays = {"x": rng.random((2, 3)), "y": rng.random((2, 3)), "s": rng.random((2, 2)), "b": rng.random((2, 2, 2)),
              "v": rng.random(3), "p": np.array([[2, 0.5], [0.5, 1]]), "i": np.array([[0, 1, 0]]), "c": np.array([1, 0]),
              "k": np.array([[3, 5, 6], [1, 0, 2]])}
    return {name: lib.tensor(array) for name, array in arrays.items()}


def sample(op: Operator, schema: Schema) -> list[tuple[str, str]]:
    """A name and an expression for each parameter that has to be given; a dimension that comes next, too."""
    found: list[tuple[str, str]] = []
    for i, p in enumerate(schema.parameters):
        if p.default is REQUIRED or (op.name, p.name) in BY_OPERATOR or (
                p.name == "dim" and not p.named and p.takes[0] in ("Dims", "Dim", "int") and len(found) == i):
            code = BY_OPERATOR.get((op.name, p.name)) or BY_NAME.get(p.name) or ("1" if p.name == "dim" else BY_KIND[p.takes[0]])
            found.append((p.name, code))
    return found


def places(op: Operator) -> list[tuple[str, Any, Any]]:
    """Where it is: the name of the place, and the functions in jitgrad and PyTorch."""
    found = []
    for place, ours, theirs in (("torch", jitgrad, torch), ("functional", None, torch.nn.functional),
                                ("method", jitgrad.Tensor, torch.Tensor)):
        if place in op.places and hasattr(theirs, op.name) and (op.name, place) != ("binary_cross_entropy_with_logits", "torch"):
            found.append((place, FUNCTIONAL[op.name] if ours is None else getattr(ours, op.name), getattr(theirs, op.name)))
    return found


# What refuses, what PyTorch gives other names each time, and what has an argument by name alone, or as many as it is given.
NOT_HERE = {"half", "bfloat16", "short", "cfloat", "cdouble", "einsum", "chain_matmul", "meshgrid", "block_diag", "cartesian_prod",
            "nansum", ("scatter", 2),
            ("scatter", 3), ("repeat_interleave", 1), ("sort", 1), ("argsort", 1)}
CASES = [pytest.param(op, k, place, ours, theirs, id=f"{op.name}-{place}-{k}") for op in OPERATORS.values()
         for place, ours, theirs in places(op) for k in range(len(op.schemas))
         if op.name not in NOT_HERE and (op.name, k) not in NOT_HERE]
FORMS = ("op", "k", "place", "ours", "theirs")


def call(function: Any, lib: Any, args: list[str], kwargs: dict[str, str]) -> Any:
    scope = {**names(lib), "T": lib}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return function(*[eval(a, scope) for a in args], **{n: eval(a, scope) for n, a in kwargs.items()})
        except Exception as error:
            return error


def both(ours: Any, theirs: Any, args: list[str], kwargs: dict[str, str], text: str) -> None:
    """The same result, where PyTorch gives one; the same type of error, where it does not."""
    got, want = call(ours, jitgrad, args, kwargs), call(theirs, torch, args, kwargs)
    if isinstance(want, Exception):
        assert type(got) is type(want), f"{text} {args} {kwargs}: {got!r}, PyTorch: {want!r}"
    else:
        agree(plain(got), plain(want), f"{text} {args} {kwargs}", ulp=64)


@pytest.mark.parametrize(FORMS, CASES)
def test_by_position_by_name_and_by_numpys_names(op, k, place, ours, theirs):
    given = sample(op, op.schemas[k])
    args, by_name = [code for _, code in given], {name: code for name, code in given}
    want = call(theirs, torch, args, {})
    assert not isinstance(want, Exception), want        # the sample is a call
    both(ours, theirs, args, {}, op.name)
    first = 0 if place != "method" else 1
    for split in range(first, len(args)):
        if op.schemas[k].rest is None and (op.name, place) != ("split", "method"):        # where it has another name
            both(ours, theirs, args[:split], dict(list(by_name.items())[split:]), op.name)
    if place == "functional" and inspect.isfunction(theirs):        # of which PyTorch has no NumPy names
        return
    for name, aliases in OTHER_NAMES.items():
        if name in by_name and not (place == "method" and name == "input") and op.schemas[k].rest is None:
            for alias in aliases:
                before = args[:list(by_name).index(name)]
                rest = {alias if n == name else n: code for n, code in list(by_name.items())[len(before):]}
                if not isinstance(call(theirs, torch, before, rest), Exception):
                    both(ours, theirs, before, rest, op.name)


@pytest.mark.parametrize(FORMS, CASES)
def test_defaults_are_pytorchs(op, k, place, ours, theirs):
    """A default that is given changes nothing, and its name is PyTorch's."""
    schema = op.schemas[k]
    given = dict(sample(op, schema))
    for p in schema.parameters:
        if p.default is REQUIRED or p.name in given or p.name == "_stacklevel":
            continue
        kwargs = {p.name: repr(p.default)}
        args = list(given.values())
        want = call(theirs, torch, args, kwargs)
        if not isinstance(want, TypeError):
            both(ours, theirs, args, kwargs, op.name)
        else:
            assert p.default is None or p.name in NOT_PYTORCHS.get(op.name, ()), f"{op.name}: PyTorch has no {kwargs}: {want}"


NOT_PYTORCHS: dict[str, tuple[str, ...]] = {}


@pytest.mark.parametrize(FORMS, [case for case in CASES if case.values[2] != "method" and inspect.isbuiltin(case.values[4])])
def test_out(op, k, place, ours, theirs):
    """Written and returned where PyTorch takes it; an unexpected argument elsewhere."""
    args = [code for _, code in sample(op, op.schemas[k])]
    result = call(theirs, torch, args, {})
    if isinstance(result, torch.Tensor):
        outs = [f"T.empty({shape}, dtype={dtype})" for shape in ("0", tuple(result.shape))
                for dtype in (result.dtype, "torch.int64", "torch.float64", "torch.bool", "torch.float32")]
    else:
        outs = [f"({', '.join([f'T.empty(0, dtype={r.dtype})' for r in result])},)"] if isinstance(result, tuple) and all(
            [isinstance(r, torch.Tensor) for r in result]) else []
    for out in outs:
        theirs_out, ours_out = [eval(out.replace("torch.", "T."), {"T": lib}) for lib in (torch, jitgrad)]
        want = _with_out(theirs, torch, args, theirs_out)
        got = _with_out(ours, jitgrad, args, ours_out)
        if isinstance(want, Exception):
            if "combination" not in str(want) or op.schemas[k].out is None:       # there sums over all take none in PyTorch
                assert isinstance(got, (TypeError, RuntimeError)), f"{op.name} {out}: {got!r}, PyTorch: {want!r}"
            continue
        agree(plain(got), plain(want), f"{op.name} {out}", ulp=64)
        agree(plain(ours_out), plain(theirs_out), f"{op.name} {out}", ulp=64)
        if isinstance(ours_out, jitgrad.Tensor):
            assert got is ours_out
        else:
            assert all([a is b for a, b in zip(got, ours_out, strict=True)])


def _with_out(function: Any, lib: Any, args: list[str], out: Any) -> Any:
    scope = {**names(lib), "T": lib}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return function(*[eval(a, scope) for a in args], out=out)
        except Exception as error:
            return error


UNCHECKED = ("softmax", "log_softmax", "heaviside", "floor_divide",      # PyTorch forgets to, or says so in other words
             "conj_physical", "tensordot", "inner", "matrix_power", "ger", "histc", "quantile", "nanquantile", "diag", "slice_scatter")
TAKES_OUT = [op.name for op in OPERATORS.values() if op.schemas[0].out and "torch" in op.places and op.name not in NOT_HERE]


@pytest.mark.parametrize("name", TAKES_OUT)
def test_out_carries_no_derivative(name):
    op = OPERATORS[name]
    given = [code for _, code in sample(op, op.schemas[0])]
    for lib in (jitgrad, torch):
        scope = {**names(lib), "T": lib}
        args = [eval(code, scope) for code in given]
        tensors = [t for a in args for t in (a if isinstance(a, list) else [a]) if isinstance(t, lib.Tensor)]
        shape = call(getattr(lib, name), lib, given, {})
        if not isinstance(shape, lib.Tensor):
            return          # several
        text = "functions with out=... arguments don't support automatic differentiation, but one of the arguments requires grad."
        if shape.dtype.is_floating_point:
            with pytest.raises(RuntimeError, match=re.escape(text)):
                if lib is torch and name in UNCHECKED:
                    raise RuntimeError(text)
                getattr(lib, name)(*args, out=lib.empty(tuple(shape.shape), dtype=shape.dtype, requires_grad=True))
        args = [a.requires_grad_() if isinstance(a, lib.Tensor) and a.dtype.is_floating_point else a for a in args]
        if any([t.requires_grad for t in tensors]) and shape.dtype.is_floating_point and not (lib is torch and name in UNCHECKED):
            with pytest.raises(RuntimeError, match=re.escape(text)):
                getattr(lib, name)(*args, out=lib.empty(0, dtype=shape.dtype))
        with lib.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            getattr(lib, name)(*args, out=lib.empty(0, dtype=shape.dtype))


def test_out_is_written_in_place_and_seen_by_views():
    for lib in (jitgrad, torch):
        x, out = lib.tensor([1., 2., 3.]), lib.zeros(2, 3)
        view, version = out[0], out._version
        assert lib.mul(x, 2, out=view) is view
        assert out.tolist() == [[2., 4., 6.], [0., 0., 0.]] and out._version > version
        assert lib.add(x, x, alpha=2, out=x).tolist() == [3., 6., 9.] == x.tolist()
        empty = lib.empty(0)
        assert lib.exp(x, out=empty) is empty and empty.shape == (3,)
        with pytest.warns(UserWarning, match=r"resized since it had shape \[2\], which does not match the required output shape \[3\]"):
            lib.sin(x, out=lib.empty(2))
        for _ in range(5):
            c = lib.empty(3, dtype=lib.float64)
            assert lib.add(x, 1, out=c) is c and c.tolist() == [4., 7., 10.]
        with pytest.raises(TypeError, match=re.escape("sin(): argument 'out' must be Tensor, not int")):
            lib.sin(x, out=3)


@pytest.mark.parametrize(FORMS, CASES)
def test_wrong_arguments_are_told_in_pytorchs_words(op, k, place, ours, theirs):
    schema = op.schemas[k]
    given = sample(op, schema)
    args, by_name = [code for _, code in given], {name: code for name, code in given}
    calls: list[tuple[list[str], dict[str, str]]] = [(args, {"no_such_argument": "1"})]
    if place != "method" and schema.rest is None:
        calls += [([], {})]
    for i, (name, _) in enumerate(given):
        if not (place == "method" and not i):
            calls += [([*args[:i], "object()", *args[i + 1:]], {}), (args[:i], {**dict(list(by_name.items())[i:]), name: "object()"})]
    for args, kwargs in calls:
        got, want = call(ours, jitgrad, args, kwargs), call(theirs, torch, args, kwargs)
        if not isinstance(want, TypeError):
            continue
        assert isinstance(got, TypeError), f"{op.name} {args} {kwargs}: {got!r}, PyTorch: {want!r}"
        if not inspect.isfunction(theirs) and place != "method":        # those in Python have CPython's words
            first = [str(e).split(" - got ")[0].split(" must be")[0] for e in (got, want)]
            # PyTorch says no more than this of what has several forms there; here it may be one that tells which argument is wrong.
            assert first[0] == first[1] or any(["received an invalid combination" in text for text in first]) or (
                op.name == "logsigmoid"), f"{op.name} {args} {kwargs}: {got}\nPyTorch: {want}"


def test_examples_of_errors():
    x = jitgrad.ones(2, 3)
    for call_, text in (
            (lambda: jitgrad.sum(x, foo=1),
             "sum() received an invalid combination of arguments - got (Tensor, foo=int), but expected one of:\n"
             " * (Tensor input, *, torch.dtype dtype = None, Tensor out = None)\n"
             " * (Tensor input, tuple of ints dim, bool keepdim = False, *, torch.dtype dtype = None, Tensor out = None)"),
            (lambda: jitgrad.sin(), 'sin() missing 1 required positional arguments: "input"'),
            (lambda: jitgrad.sin(x, 1), "sin() takes 1 positional argument but 2 were given"),
            (lambda: jitgrad.sum(x, dim=1, axis=1), "invalid combination"),
            (lambda: jitgrad.softmax(x, dim=1, axis=1), "softmax() got an unexpected keyword argument 'axis'"),
            (lambda: x.unsqueeze("a"), "must be int, not str"),
            (lambda: jitgrad.nn.functional.relu(x, foo=1), "relu() got an unexpected keyword argument 'foo'")):
        for _ in range(3):
            with pytest.raises(TypeError, match=re.escape(text)):
                call_()


@pytest.mark.parametrize("code", [
    "x.reshape('a')", "x.add('a')", "T.add(x, 'a')", "x.add_('a')", "x.softmax('a')", "x.cumsum(0, 'a')", "x.cumsum(0, 1, 2)",
    "x.transpose(0, 'a')", "x.unsqueeze('a')", "x.unsqueeze_('a')", "x.matmul(3)", "T.matmul(x, 3)", "x.gather(0, 3)", "x.addmm_(x, 3)",
    "x.exp(3)", "T.exp(x, 3)", "x.cumsum(dim='a')", "(lambda f: f('a'))(x.tril)"])
def test_positions_of_a_methods_arguments_are_counted_without_self(code):
    want = run(torch, code)
    for _ in range(3):
        got = run(jitgrad, code)
        assert isinstance(got, TypeError) and str(got) == str(want), code


def test_the_forms_of_a_method_are_without_self_and_out():
    with pytest.raises(TypeError, match=re.escape(
            "sum() received an invalid combination of arguments - got (str), but expected one of:\n * (*, torch.dtype dtype = None)\n"
            " * (tuple of ints dim, bool keepdim = False, *, torch.dtype dtype = None)")):
        jitgrad.ones(2).sum("a")


# -- what is shown ---------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("name", [name for name in OPERATORS if "." not in name and len(OPERATORS[name].schemas) == 1])
def test_signatures_and_help_show_the_schema(name):
    op = OPERATORS[name]
    shown = inspect.signature(op.call)
    assert shown == op.schemas[0].signature() or str(shown) == str(op.schemas[0].signature())
    if op.schemas[0].rest is None:
        assert [*shown.parameters][:len(op.schemas[0].names)] == [*op.schemas[0].names][:len(shown.parameters)]
    assert ("out" in shown.parameters) == (op.schemas[0].out is not None)
    text = pydoc.plain(pydoc.render_doc(op.call))
    assert op.call.__doc__ and op.call.__doc__.splitlines()[0] in text
    assert next(iter(shown.parameters), "") in text
    if "method" in op.places:
        method = inspect.signature(getattr(jitgrad.ones(1), name))
        assert [*method.parameters] == [*shown.parameters][1:]
        if op.inplace:
            assert [*inspect.signature(getattr(jitgrad.Tensor, f"{name}_")).parameters][1:] == [
                p for p in [*shown.parameters][1:] if p != "out"]


def test_operators_are_found_by_pickle():
    for place, module in (("torch", jitgrad), ("functional", jitgrad.nn.functional)):
        for op in OPERATORS.values():
            if place in op.places and (place == "torch" or "torch" not in op.places):
                found = getattr(module, op.name)
                if place == "torch" or not inspect.isbuiltin(found):
                    assert pickle.loads(pickle.dumps(found)) is found, op.name


def test_an_operator_of_several_forms_shows_all():
    assert "max(input, dim, keepdim=False, *, out=None)" in jitgrad.max.__doc__
