"""NumPy arrays among the arguments of compiled functions: inputs, or guarded by their contents once Python reads them."""
from __future__ import annotations

import copy
import gc
import hashlib
import types
import weakref
from typing import Any, NamedTuple

import numpy as np
import pytest

import jitgrad as torch
from jitgrad import nn

pytestmark = pytest.mark.usefixtures("default_float64")


class Pair(NamedTuple):
    a: Any
    b: Any


BASE = np.array([[1.0, 2.0], [3.0, 0.5], [2.5, -2.5]])
DTYPES = (np.float64, np.float32, np.int64, np.int32, np.bool_)


def leaf(*values):
    return torch.tensor(list(values), requires_grad=True)


def counts(f):
    state = f._jitgrad_compiled
    return state.captures, state.hits


def seen(value):
    """What can be compared of a result: types, dtypes, shapes and bits."""
    if isinstance(value, torch.Tensor):
        return "tensor", value.dtype, tuple(value.shape), value.detach().numpy().tobytes()
    if isinstance(value, np.ndarray):
        assert type(value) is np.ndarray
        return "array", value.dtype, value.shape, value.tolist()
    if isinstance(value, dict):
        return {k: seen(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value), [seen(v) for v in value]
    return type(value), repr(value)


def outcome(f, *args):
    try:
        return seen(f(*args))
    except (TypeError, ValueError, AttributeError, IndexError, RuntimeError) as error:
        return type(error), str(error)


def layouts(dtype):
    """Arrays of one dtype: of the same shape with other contents, and in all layouts."""
    b = BASE.astype(dtype)
    frozen = b.copy()
    frozen.flags.writeable = False
    return [b.copy(), b.copy(), (b * 2).astype(dtype), np.asfortranarray(b), np.repeat(b, 2, 0)[::2], b[::-1], b[:, ::-1], frozen,
            np.broadcast_to(b[0], (3, 2)), b[0].copy(), np.array(b[1, 0]), b[:0].copy()]


# -- inputs ----------------------------------------------------------------------------------------------------------

def _written(X):
    t = torch.from_numpy(X)
    t *= t
    t.reshape(-1)[:1] = 0
    return t, torch.from_numpy(X) * 2


def _set(X):
    t = torch.zeros(X.shape)
    t[...] = torch.tensor(X)
    t.copy_(torch.as_tensor(X))
    return t


MADE = {
    "tensor": lambda X: torch.tensor(X) * 2,
    "from_numpy": lambda X: torch.from_numpy(X),
    "dtypes": lambda X: [
        torch.tensor(X, dtype=torch.float32), torch.as_tensor(X, dtype=torch.int64), torch.tensor(X, dtype=torch.bool)],
    "as_tensor": lambda X: (torch.as_tensor(X), torch.asarray(X, copy=True)),
    "legacy": lambda X: (torch.Tensor(X), torch.FloatTensor(X), torch.ones(2).new_tensor(X)),
    "operators": lambda X: (torch.ones(2) * X, X * torch.ones(2), X + torch.ones(2), torch.ones(2) / (2 + torch.tensor(X))),
    "comparison": lambda X: (X > torch.ones(2), torch.ones(2) <= X, torch.ones(2) == X),
    "powers": lambda X: torch.ones(2) ** X,
    "twice": lambda X: torch.stack([torch.tensor(X), torch.tensor(X)]),
    "written": _written,
    "set": _set,
    "shape": lambda X: torch.tensor(X).sum() * X.shape[0] * X.size * X.nbytes * X.itemsize * len(X) if X.ndim else X.ndim,
    "dtype": lambda X: torch.tensor(X) if X.dtype == np.float64 else torch.ones(X.shape),
    "isinstance": lambda X: torch.tensor(X) * 2 if isinstance(X, np.ndarray) and X.__class__ is np.ndarray else None,
    "returned": lambda X: {"X": X, "pair": [X, (torch.tensor(X), X)], "named": Pair(X, 1)},
    "missing": lambda X: hasattr(X, "_node"),
}


@pytest.mark.full
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", MADE)
def test_tensors_made_of_an_array(name, dtype):
    f = MADE[name]
    g = torch.compile(f, strict=True)
    arrays = layouts(dtype)
    shapes = {a.shape for a in arrays}
    with np.errstate(invalid="ignore"):
        for X in arrays + arrays:
            assert outcome(g, X) == outcome(f, X)
    failed = name == "shape" and 1                  # len() of a 0-d array raises where the shape is that of none
    assert counts(g)[0] <= len(shapes) + failed, torch.explain(g)
    assert "is an input" in torch.explain(g)


def test_gradients_and_contents_that_change_after_the_call():
    def f(w, X, y=None):
        r = torch.from_numpy(X["X"]) @ w - torch.from_numpy(y)
        return (r * r).mean()

    g = torch.compile(f)
    rng = np.random.default_rng(0)
    w = leaf(0.5, -1.0)
    X, y = np.empty((3, 2)), np.empty(3)
    for _ in range(5):
        X[:], y[:] = rng.random((3, 2)), rng.random(3)
        w.grad = None
        f(w, {"X": X}, y=y).backward()
        want, w.grad = w.grad, None
        value = f(w, {"X": X}, y=y).item()
        later = [g(w, {"X": X}, y=y) for _ in range(4)]
        X[:] = y[:] = np.nan                        # consumed before the return
        later[0].backward()
        np.testing.assert_allclose(w.grad.numpy(), want.numpy(), rtol=1e-13)
        assert later[0].item() == pytest.approx(value) and later[1].item() == pytest.approx(value)
        again, = torch.autograd.grad(later[2], w, create_graph=True)
        np.testing.assert_allclose(again.detach().numpy(), want.numpy(), rtol=1e-13)
        assert (later[3] * 2).item() == pytest.approx(2 * value)
    assert counts(g) == (1, 19), torch.explain(g)


def test_results_that_need_no_gradient_are_computed_before_the_return(monkeypatch):
    from jitgrad.capture.replays.captured_graph import CapturedGraph
    f = torch.compile(lambda X: (torch.from_numpy(X) * 2, torch.from_numpy(X)))
    for k in range(4):
        if k == 3:
            monkeypatch.setattr(CapturedGraph, "values", lambda self, inputs: None)      # as for a graph that is too large
        X = np.full(3, float(k))
        doubled, same = f(X)
        X[:] = -1.0
        assert doubled.tolist() == [2.0 * k] * 3 and same.tolist() == [1.0 * k] * 3
    assert counts(f) == (1, 3)


def test_a_large_array_is_an_input():
    f = torch.compile(lambda w, X: (torch.tensor(X) * w).sum())
    w = leaf(2.0)
    for k in range(4):
        X = np.full(100_000, float(k))
        loss = f(w, X)
        X[:] = -1.0
        w.grad = None
        loss.backward()
        assert w.grad.tolist() == [1e5 * k]
    assert counts(f) == (1, 3)


def test_integers_are_positions_and_classes():
    def f(w, i, y):
        return nn.functional.cross_entropy(w[i], torch.from_numpy(y)) + w[torch.from_numpy(i)].sum()
    g = torch.compile(f)
    w = torch.tensor([[0.1, 0.2], [1.0, 0.5], [2.0, -2.0]], requires_grad=True)
    for i, y in (([0, 1], [1, 0]), ([2, -1], [0, 0]), ([1, 1], [1, 1])):
        for kind in (np.int64, np.int64):
            i, y = np.array(i, kind), np.array(y, kind)
            assert g(w, i, y).item() == pytest.approx(f(w, i, y).item())
    assert counts(g) == (1, 5), torch.explain(g)
    for i, y in (([0, 3], [1, 0]), ([0, 1], [1, 2])):
        with pytest.raises(IndexError) as want:
            f(w, np.array(i), np.array(y))
        with pytest.raises(IndexError) as found:
            g(w, np.array(i), np.array(y))
        assert str(found.value) == str(want.value)
    parts = torch.compile(lambda w, d: nn.functional.cross_entropy(w[torch.from_numpy(d[0])], torch.tensor(d.T[:, 1])))
    for d in ([[0, 1], [1, 0]], [[1, 1], [0, 1]], [[0, 0], [0, 0]]):
        want = f(w, *np.array(d)).item() - w[torch.tensor(d[0])].sum().item()
        assert parts(w, np.array(d)).item() == pytest.approx(want)
    assert counts(parts) == (1, 2), torch.explain(parts)
    with pytest.raises(IndexError, match="Target 2 is out of bounds"):
        parts(w, np.array([[0, 1], [1, 2]]))
    small = torch.compile(lambda w, i: w[i])
    for i in ([0, 1], [2, 0], [1, 2]):
        i = np.array(i, np.int32)
        assert torch.equal(small(w, i), w[i])
    assert counts(small) == (1, 2)


def test_the_same_array_twice_and_several():
    f = torch.compile(lambda a, b: torch.tensor(a) * 2 if a is b else torch.tensor(a) - torch.tensor(b))
    x, y = np.array([1.0, 2.0]), np.array([5.0, 7.0])
    for a, b in ((x, x), (x, y), (y, y), (y, x), (x, x.copy())):
        want = a * 2 if a is b else a - b
        assert f(a, b).tolist() == want.tolist()
    assert counts(f) == (2, 3)
    many = torch.compile(lambda xs: sum([torch.tensor(x) * i for i, x in enumerate(xs)]))
    for k in range(3):
        assert many([np.array([k + i]) for i in range(9)]).tolist() == [sum([(k + i) * i for i in range(9)])]
    assert many([x] * 9).tolist() == [36.0, 72.0]
    assert counts(many) == (2, 2)


def test_shapes_and_dtypes_capture_again():
    f = torch.compile(lambda X: torch.tensor(X).sum() * X.shape[0])
    for _ in range(2):
        for X in (np.ones(2), np.ones(3), np.ones((2, 1)), np.ones(2, np.float32), np.ones(2, np.int64)):
            result = f(X)
            assert result.item() == X.sum() * X.shape[0] and result.dtype is torch.tensor(X).sum().dtype
    assert counts(f) == (5, 5)
    for n in range(200):
        assert f(np.ones(n + 1)).item() == (n + 1) ** 2
    assert counts(f)[0] <= 130


PARTS = {
    "rows": lambda X: torch.tensor(X[0]) * 2 + torch.tensor(X[-1]),
    "columns": lambda X: (torch.from_numpy(X[:, 0]), torch.from_numpy(X[:, 1:]), torch.tensor(X[None, ..., np.int64(0)])),
    "slices": lambda X: torch.ones(2) * X[::2] + torch.tensor(X[:2]),
    "parts of parts": lambda X: torch.tensor(X[1:].T[::2].reshape(-1)[:2]),
    "unpacked": lambda X: [torch.tensor(row) * i for i, row in enumerate(X)],
    "dtypes": lambda X: (torch.tensor(X.astype(np.float32)), torch.tensor(X.astype(np.int64)[0]), torch.tensor(X.astype(bool))),
    "shapes": lambda X: (torch.tensor(X.T), torch.tensor(X.reshape(X.size, 1)), torch.tensor(X.reshape((2, -1))),
                         torch.tensor(X.ravel()), torch.tensor(X[:, :1].squeeze()), torch.tensor(X.copy()), X[0].shape[0]),
}


@pytest.mark.parametrize("dtype", [np.float64, np.int32, np.bool_])
@pytest.mark.parametrize("name", PARTS)
def test_parts_of_an_array_are_no_looks(name, dtype):
    f = PARTS[name]
    g = torch.compile(f)
    arrays = [X for X in layouts(dtype) if X.shape == (3, 2)]
    for X in arrays + arrays:
        before = X.copy()
        assert outcome(g, X) == outcome(f, X), torch.explain(g)
        assert (X == before).all()
    assert counts(g) == (1, 2 * len(arrays) - 1), torch.explain(g)
    assert outcome(g, BASE[0].astype(dtype)) == outcome(f, BASE[0].astype(dtype))


# -- contents --------------------------------------------------------------------------------------------------------

def _mutated(X):
    t = torch.tensor(X)
    X += 1
    return t, torch.tensor(X)


def _sorted(X):
    X.sort()
    return torch.tensor(X)


def _reshaped(X):
    X.shape = (X.size,)
    return torch.tensor(X)


def _part_written(X):
    Z = X.flatten()
    Z[...] = 5
    return torch.tensor(Z)


def _written_after(X):
    Y = X[..., :1]
    X[...] = 1
    return torch.tensor(Y), torch.tensor(X.T)


READ = {
    "index": lambda X: torch.tensor(X[..., [0]]) * 2,
    "mask": lambda X: torch.tensor(X[X > 1]) * 2,
    "number": lambda X: torch.tensor(X.reshape(-1)[0]),
    "iteration": lambda X: [torch.tensor(v) for v in X.ravel()],
    "returned": lambda X: (X[:1], [X.T]),
    "backwards": lambda X: torch.tensor(X[::-1]),
    "options": lambda X: torch.tensor(X.reshape(-1, order="F")),
    "part": lambda X: torch.tensor(X[:1].T) * float(X[1:].sum()),
    "part of a copy": _part_written,
    "part before a write": _written_after,
    "branch": lambda X: torch.tensor(X) if (X > 1).all() else torch.tensor(X) * 2,
    "arithmetic": lambda X: torch.tensor(2 * X + X / 2 - X),
    "numpy": lambda X: torch.tensor(X) * float(np.sum(X)) + torch.tensor(np.add(X, 1, dtype=float)),
    "method": lambda X: torch.tensor(X) * float(X.max()),
    "as array": lambda X: torch.tensor(np.asarray(X) * 1) + torch.tensor(np.array([X, X]).sum(0)),
    "text": lambda X: f"{X} {X!r} {str(X)}",
    "copies": lambda X: torch.tensor(copy.copy(X)) + torch.tensor(copy.deepcopy(X)),
    "bytes": lambda X: (bytes(X), X.tobytes()),
    "buffer": lambda X: (memoryview(X).nbytes, bytearray(X)),
    "contains": lambda X: 1.0 in X,
    "type": lambda X: torch.tensor(X) if type(X) is np.ndarray else None,
    "unhashable": lambda X: {X: 1},
    "assigned": lambda X: torch.zeros(3, 2).__setitem__(0, X),
    "attribute": lambda X: X.nothing,
    "strides": lambda X: torch.tensor(X) * X.strides[0],
    "flags": lambda X: torch.tensor(X) * (2 if X.flags.c_contiguous else 3),
    "list": lambda X: torch.tensor([X, X]),
    "mutated": _mutated,
    "sorted": _sorted,
    "reshaped": _reshaped,
    "copyto": lambda X: (np.copyto(X, 1), torch.tensor(X)),
    "out": lambda X: torch.tensor(np.add(X, 1, out=X)),
}


@pytest.mark.parametrize("dtype", [np.float64, np.bool_, ">f8"])
@pytest.mark.parametrize("name", READ)
def test_anything_else_sees_the_array(name, dtype):
    f = READ[name]
    g = torch.compile(f)
    for a, b in [*zip(layouts(dtype), layouts(dtype), strict=True)] + [*zip(layouts(dtype)[:8], layouts(dtype)[:8], strict=True)]:
        assert outcome(g, b) == outcome(f, a), torch.explain(g)
        assert seen(a) == seen(b) and a.flags.num == b.flags.num


def test_contents_are_compared():
    f = torch.compile(READ["numpy"])
    for X in (BASE, BASE * 2, BASE.copy(), BASE * 2, BASE[:2]) * 2:
        assert seen(f(X)) == seen(READ["numpy"](X))
    assert counts(f) == (3, 7) and "is read as a NumPy array" in torch.explain(f)


def test_explain_tells_what_is_an_input_and_where_an_array_is_read():
    def f(X, d):
        a = torch.tensor(X)
        return a * d["y"].mean(), torch.tensor(d["z"])

    g = torch.compile(f)
    arguments = np.ones(2), {"y": np.ones(3), "z": np.ones(4)}
    g(*arguments), g(*arguments)
    text = torch.explain(g)
    line = f.__code__.co_firstlineno + 2
    assert "args[0], a NumPy array, is an input" in text and "args[1]['z'], a NumPy array, is an input" in text
    assert f"args[1]['y'] is read as a NumPy array (test_capture_arrays.py:{line}, in f): guarded by its contents" in text
    arguments[0][:] = 3.0
    assert g(*arguments)[0].tolist() == [3.0, 3.0] and counts(g) == (1, 2)
    arguments[1]["y"][:] = 2.0
    assert g(*arguments)[0].tolist() == [6.0, 6.0] and counts(g) == (2, 2)


def test_a_large_array_that_is_read_is_recorded():
    def f(X):
        return torch.tensor(X + 0)[:2]
    g = torch.compile(f)
    X = np.zeros(100_000)
    for k in range(3):
        X[0] = k
        assert g(X).tolist() == [k, 0.0]
    assert counts(g) == (1, 2) and "too large" in torch.explain(g) and "test_capture_arrays.py" in torch.explain(g)
    with pytest.raises(RuntimeError, match="reads args.0. as a NumPy array"):
        torch.compile(f, strict=True)(X)
    assert torch.compile(lambda X: torch.tensor(X).sum(), strict=True)(X).item() == 2.0


def test_arrays_of_other_dtypes_and_classes_are_as_before():
    class Named(np.ndarray):
        pass
    f = torch.compile(lambda X: torch.tensor(X, dtype=torch.float64) * 2)
    for X in (np.ones(2, np.uint8), np.ones(2, ">f8"), np.ones(2, np.float16)):
        for _ in range(2):
            X[0] += 1
            assert f(X).tolist() == [2.0 * X[0], 2.0]
    named = np.ones(2).view(Named)
    assert f(named).tolist() == [2.0, 2.0]
    named[0] = 5.0
    assert f(named).tolist() == [10.0, 2.0]


def test_two_names_of_one_memory():
    def f(x, y):
        x[0] = 9.0
        return torch.tensor(y)
    for g in (f, torch.compile(f)):
        for _ in range(3):
            x = np.ones(3)
            assert g(x, x[:2]).tolist() == [9.0, 1.0]


GLOBAL = np.array([1.0, 2.0])


def test_an_array_with_another_name():
    def f(X):
        return torch.tensor(X) * (2 if X is GLOBAL else 3)
    for calls in ([GLOBAL, GLOBAL * 2, GLOBAL], [GLOBAL * 2, GLOBAL, GLOBAL.copy()]):
        g = torch.compile(f)
        for X in calls:
            assert torch.equal(g(X), f(X))


# -- what is kept ----------------------------------------------------------------------------------------------------

class Slotted:
    __slots__ = ("last",)


STATE = types.SimpleNamespace(last=None, items=[], table={}, slotted=Slotted())


def _kept_in_attribute(X):
    STATE.last = X


def _kept_in_list(X):
    STATE.items.append([X])


def _kept_in_dict(X):
    STATE.table["X"] = {"inner": X}


def _kept_in_slot(X):
    STATE.slotted.last = X


def _kept_in_closure(X):
    STATE.items.append(lambda: X)


def _kept_in_new_object(X):
    STATE.items.append(types.SimpleNamespace(a=X))


def _kept_part(X):
    STATE.last = X[:1]


def test_no_stand_in_of_a_part_is_kept():
    f = torch.compile(lambda X: (_kept_part(X), torch.tensor(X))[1])
    for k in range(3):
        X = np.full(2, float(k))
        f(X)
        assert type(STATE.last) is np.ndarray and STATE.last.base is X


def _kept_in_tuple(X):
    STATE.last = (1, Pair((X,), 2))


def _kept_as_arguments(*args):
    STATE.last = args


def _kept_as_named_arguments(**kwargs):
    STATE.last = kwargs


@pytest.mark.parametrize("keep", [_kept_in_attribute, _kept_in_list, _kept_in_dict, _kept_in_slot, _kept_in_closure,
                                  _kept_in_new_object, _kept_in_tuple, _kept_as_arguments, _kept_as_named_arguments])
@pytest.mark.parametrize("fails", [False, True])
def test_no_stand_in_is_kept(keep, fails):
    def f(X):
        keep(X) if keep is not _kept_as_named_arguments else keep(X=X)
        if fails:
            raise KeyError("no")
        return torch.tensor(X).sum()
    g = torch.compile(f)
    for k in range(4):
        X = np.full(2, float(k))
        if fails:
            with pytest.raises(KeyError):
                g(X)
        else:
            assert g(X).item() == 2.0 * k
        found = {_kept_in_attribute: lambda: STATE.last, _kept_in_list: lambda: STATE.items[-1][0],
                 _kept_in_dict: lambda: STATE.table["X"]["inner"], _kept_in_slot: lambda: STATE.slotted.last,
                 _kept_in_closure: lambda: STATE.items[-1](), _kept_in_new_object: lambda: STATE.items[-1].a,
                 _kept_in_tuple: lambda: STATE.last[1].a[0], _kept_as_arguments: lambda: STATE.last[0],
                 _kept_as_named_arguments: lambda: STATE.last["X"]}[keep]()
        assert found is X
    assert fails or "recorded on each call" in torch.explain(g)


def test_containers_that_are_kept_are_the_callers():
    def f(d, pair):
        STATE.table, STATE.last = d, (pair, d["list"])
        return torch.tensor(d["X"]) + torch.tensor(pair[0])
    g = torch.compile(f)
    for k in range(3):
        d, pair = {"X": np.full(2, float(k)), "list": [np.ones(1)]}, (np.ones(2), 1)
        assert g(d, pair).tolist() == [k + 1.0] * 2
        assert STATE.table is d and STATE.last[0] is pair and STATE.last[1] is d["list"]
        assert type(STATE.last[1][0]) is np.ndarray


def test_arrays_are_not_kept():
    g = torch.compile(lambda w, d: (torch.tensor(d["X"]) * w).sum())
    w = leaf(1.0, 2.0)
    gone = []
    gc.disable()
    try:
        for k in range(3):
            X = np.full(2, float(k))
            gone.append(weakref.ref(X))
            loss = g(w, {"X": X})
            del X
            assert gone[-1]() is None
            loss.backward()
    finally:
        gc.enable()


def test_results_that_cannot_be_built_again_hold_the_array():
    f = torch.compile(lambda X: types.SimpleNamespace(X=X, t=torch.tensor(X)))
    for k in range(3):
        X = np.full(2, k)
        assert f(X).X is X and f(X).t.tolist() == [k, k]


def test_requires_grad_inside_is_recorded():
    def f(X):
        x = torch.tensor(X, requires_grad=True)
        return torch.autograd.grad((x ** 3).sum(), x)[0] * (2 if x.sum() > 3 else 1)
    g = torch.compile(f)
    for k in range(4):
        X = np.full(2, float(k))
        assert torch.equal(g(X), f(X))


def test_compiled_functions_within():
    inner = torch.compile(lambda X: torch.tensor(X) * 2)
    outer = torch.compile(lambda X: inner(X) + 1)
    for k in range(3):
        assert inner(np.full(2, k)).tolist() == [2 * k] * 2
        assert outer(np.full(2, k)).tolist() == [2 * k + 1] * 2
    assert counts(outer) == (1, 2)


def test_value_and_grad_takes_other_arrays_as_inputs():
    f = torch.value_and_grad(lambda w, X, scale: ((X["a"] @ w - X["b"]) ** 2).sum() * scale)
    w = np.array([1.0, 2.0])
    for k in range(4):
        X = {"a": np.full((3, 2), float(k)), "b": np.full(3, 1.0)}
        value, gradient = f(w, X, scale=np.array(2.0))
        assert value == 6 * (3.0 * k - 1) ** 2 and gradient.tolist() == [12 * k * (3.0 * k - 1)] * 2
    assert counts(f) == (1, 3), torch.explain(f)


# -- functions that tell a stand-in from an array ----------------------------------------------------------------------

def _caught(call, error):
    try:
        call()
    except error as e:
        return str(e)
    return None


def _view_written(X):
    v = X[:2]
    v += 1
    return type(X) is np.ndarray, torch.from_numpy(X).sum()


def _in_place(X):
    X += torch.ones(4, dtype=torch.float64)
    return X


def _reshaped_in_place(X):
    X.shape = (2, 2)
    return X.shape, torch.from_numpy(X).sum(0)


def _divided(X):
    X -= X.mean()
    np.divide(X, X.std(), out=X)
    return torch.from_numpy(X).sum()


def _effect_first(X):
    EFFECTS.append(1)
    return {np.ndarray: torch.from_numpy}[type(X)](X).sum()


EFFECTS = []
TELLING = {
    "memoryview": lambda X: -1 if _caught(lambda: memoryview(X), TypeError) else torch.from_numpy(X).sum(),
    "interface": lambda X: (hasattr(X, "__array_interface__"), torch.from_numpy(X).sum()),
    "asarray": lambda X: (np.asarray(X) is X, torch.from_numpy(X).sum()),
    "astype": lambda X: X.astype(float, copy=False) is X,
    "hash": lambda X: (_caught(lambda: hash(X), TypeError), torch.from_numpy(X).sum()),
    "bytes": lambda X: (hashlib.sha256(X).hexdigest(), torch.from_numpy(X).sum()),
    "type by another name": lambda X, t=type: (t(X) is np.ndarray, torch.from_numpy(X).sum()),
    "order": lambda X: torch.from_numpy(X.reshape(2, 2).ravel(order="K")), "unchanged": lambda X: torch.from_numpy(X),
    "beside": lambda X: {"batch": torch.from_numpy(X), "loss": (torch.ones(4, dtype=torch.float64) * X).sum()},
    "written": _view_written, "in place": _in_place, "reshaped": _reshaped_in_place, "divided": _divided, "effect": _effect_first,
}


@pytest.mark.parametrize("name", TELLING)
def test_results_are_those_of_the_plain_function(name):
    f, found = TELLING[name], []
    for g in (f, torch.compile(f)):
        arrays = [np.arange(4.) + k for k in (0, 0, 1, 2, 1)]
        found.append([repr((g(X), X)) for X in arrays])
    assert found[0] == found[1]


def test_containers_are_the_callers():
    shared = [np.arange(3.)]

    def f(p, q):
        p.append(1)
        return len(q)

    g = torch.compile(f)
    assert [g(shared, shared) for _ in range(3)] == [2, 3, 4]
    d = {"X": np.arange(3.)}
    same = torch.compile(lambda d: d)
    assert all([same(d) is d for _ in range(3)]) and "returns a dict that it was given" in torch.explain(same)

    def fails(d):
        d["n"] = 1
        raise ValueError("on purpose")

    with pytest.raises(ValueError, match="on purpose"):
        torch.compile(fails)(d)
    assert d["n"] == 1


def test_a_function_that_keeps_changing_what_it_reads_is_not_captured_for_ever():
    state = types.SimpleNamespace(n=0)

    def f(X):
        state.n += 1
        return torch.from_numpy(X).sum()

    g = torch.compile(f)
    for _ in range(60):
        g(np.arange(3.))
    assert state.n == 60 and counts(g)[0] < 12
    calls = []
    h = torch.value_and_grad(lambda x: (calls.append(1), (x * x).sum())[1])
    assert all([h(np.arange(3.))[1].tolist() == [0.0, 2.0, 4.0] for _ in range(5)]) and len(calls) == 5


def test_scalars_of_numpy_are_guarded_by_value():
    g = torch.compile(lambda x, s: (x * s).sum())
    x = torch.ones(3, requires_grad=True)
    found = [g(x, s).item() for s in (np.float64(2.0), np.float64(2.0), np.float64(3.0), np.int64(3), np.float64(2.0))]
    assert found == [6.0, 6.0, 9.0, 9.0, 6.0] and counts(g)[0] == 3


def test_value_and_grad_of_a_function_that_asks_for_types():
    f = torch.value_and_grad(lambda x, s: (x * x).sum() * (s if type(s) is float else 100.0))
    assert [float(f(np.arange(3.), 1.0 + k)[0]) for k in range(4)] == [5.0, 10.0, 15.0, 20.0]
