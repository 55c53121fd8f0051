"""Bad input and hostile surroundings: the right result, a clear error or one warning; never a wrong number or a bare Numba error."""
from __future__ import annotations

import errno
import os
import subprocess
import sys
import tempfile
import threading
import warnings

import numpy as np
import pytest
from together import together

import jitgrad
from jitgrad.compiler.numba_cpu import cache
from jitgrad.config import config, parse
from jitgrad.errors import CacheWarning, ConfigError

X = np.array([[1.5, -2.25, 0.5], [3.0, -0.75, 2.0]], np.float32)
GRADIENT = np.exp(X) * (1 + X)      # of (x.exp() * x).sum()


@pytest.fixture
def x() -> jitgrad.Tensor:
    return jitgrad.tensor(X, requires_grad=True)


def leaf_and_gradient() -> jitgrad.Tensor:
    x = jitgrad.tensor(X, requires_grad=True)
    (x.exp() * x).sum().backward()
    return x.grad


# -- shapes ----------------------------------------------------------------------------------------------------------

WRONG_SHAPES = {
    "x + T.ones(2)": r"size of tensor a \(3\) must match the size of tensor b \(2\) at non-singleton dimension 1",
    "x * T.ones(3, 3)": r"size of tensor a \(2\) must match the size of tensor b \(3\) at non-singleton dimension 0",
    "T.where(x > 0, x, T.ones(4))": "must match the size of tensor",
    "x @ x": r"mat1 and mat2 shapes cannot be multiplied \(2x3 and 2x3\)",
    "x @ T.ones(2)": "size mismatch",
    "T.tensor(1.0) @ x": "both arguments to matmul need to be at least 1D",
    "T.dot(x[0], T.ones(2))": "inconsistent tensor size",
    "T.bmm(x, x)": "must be a 3D tensor",
    "T.nn.functional.linear(x, T.ones(4, 2))": "cannot be multiplied",
    "x.reshape(4, 2)": r"shape '\[4, 2\]' is invalid for input of size 6",
    "x.view(-1, 4)": r"shape '\[-1, 4\]' is invalid for input of size 6",
    "x.t().view(6)": "view size is not compatible",
    "x.expand(2, 4)": "expanded size of the tensor",
    "T.cat([x, T.ones(2, 2)])": "Sizes of tensors must match",
    "T.stack([x, T.ones(2, 2)])": "expects each tensor to be equal size",
    "T.cat([])": "non-empty list of Tensors",
    "x.detach().copy_(T.ones(5))": "must match the size of tensor|expanded size",
    "x.detach().add_(T.ones(4, 2, 3))": "doesn't match the broadcast shape",
    "x[T.tensor([[True, False]])]": "shape of the mask",
    "T.nn.functional.mse_loss(x, T.ones(4))": "must match the size of tensor",
    "T.nn.functional.cross_entropy(x, T.tensor([0, 1, 2]))": "batch_size",
}


@pytest.mark.parametrize("code", WRONG_SHAPES)
@pytest.mark.filterwarnings("ignore::UserWarning")      # the target size of mse_loss
def test_wrong_shapes(code, x):
    with pytest.raises((RuntimeError, ValueError, IndexError), match=WRONG_SHAPES[code]):
        eval(code, {"T": jitgrad, "x": x})


@pytest.mark.parametrize("code", ["x.sum(2)", "x.softmax(-3)", "x.transpose(0, 2)", "x[2]", "x[0, 3]", "x[0, 0, 0]", "x.unsqueeze(4)",
                                  "x[T.tensor([0, 2])]", "x.select(1, 3)", "x.flip(2)", "T.ones(0).amax(0)"])
def test_dimensions_and_indices_out_of_range(code, x):
    with pytest.raises(IndexError, match="out of range|too many indices|out of bounds|non-zero size"):
        eval(code, {"T": jitgrad, "x": x})


def test_ragged_and_foreign_data():
    with pytest.raises(ValueError, match="expected sequence of length 2 at dim 1"):
        jitgrad.tensor([[1.0, 2.0], [3.0]])
    with pytest.raises((TypeError, ValueError, RuntimeError), match="str|object"):
        jitgrad.tensor(["a", "b"])
    with pytest.raises(TypeError, match="object"):
        jitgrad.from_numpy(np.array([object()]))


# -- dtypes and devices ----------------------------------------------------------------------------------------------

@pytest.mark.parametrize("code, message", [
    ("i.add_(1.5)", "result type Float can't be cast to the desired output type Long"),
    ("i.mul_(x[0])", "result type Float can't be cast"),
    ("i.div_(2)", "result type Float can't be cast"),
    ("b.add_(1)", "result type Long can't be cast to the desired output type Bool"),
    ("x.detach() @ T.ones(3, 2, dtype=T.float64)", "same dtype"),
    ("i @ x[0]", "same dtype|expected"),
    ("b - b", "`-` operator, with two bool tensors is not supported"),
    ("-b", "not supported"),
    ("i.mean()", "must be either a floating point or complex dtype"),
    ("x & i", "not implemented for 'Float'|bitwise"),
    ("T.where(i, x[0], x[0])", "bool"),
    ("x[T.tensor([0.0])]", "tensors used as indices must be long"),
    ("x[T.tensor(0.0)]", "tensors used as indices must be long"),
])
def test_dtypes_that_cannot_promote(code, message, x):
    names = {"T": jitgrad, "x": x, "i": jitgrad.tensor([1, 2, 3]), "b": jitgrad.tensor([True, False])}
    with pytest.raises((RuntimeError, IndexError), match=message):
        eval(code, names)


@pytest.mark.parametrize("name", ["float16", "bfloat16", "complex64", "uint16", "uint64"])
def test_dtypes_that_do_not_exist(name):
    with pytest.raises(AttributeError, match=f"no attribute '{name}'.*(the dtypes are float32, float64, int8, int16,|no complex)"):
        getattr(jitgrad, name)


@pytest.mark.parametrize("dtype", [np.float16, np.complex128, np.uint16])
@pytest.mark.parametrize("make", ["tensor", "from_numpy", "as_tensor"])
def test_arrays_of_other_dtypes(dtype, make):
    with pytest.raises(TypeError, match=np.dtype(dtype).name):
        getattr(jitgrad, make)(np.ones(2, dtype))


COMPLEX = [
    *[f"{left} {symbol} {right}" for symbol in "+ - * / // % ** == != < >=".split() for left, right in (("x", "z"), ("z", "x"))],
    *[f"y {symbol}= z" for symbol in "+ - * / // % **".split()],
    *[f"T.{name}(x, z)" for name in "add sub mul div pow fmod remainder maximum eq gt atan2 copysign hypot heaviside".split()],
    "T.pow(z, x)", "T.mul(z, x)", "T.where(x > 0, x, z)", "T.where(x > 0, z, x)", "T.where(x > 0, z, z)", "x.where(x > 0, z)",
    "T.clamp(x, z)", "x.clamp(max=z)", "x.clip(0, z)", "y.fill_(z)", "y.copy_(z)", "x.masked_fill(x > 0, z)",
    "y.masked_fill_(x > 0, z)", "y[0] = z", "y[:] = z", "y[T.tensor([0])] = z", "y[x > 0] = z", "T.add(x, x, alpha=z)",
    "y.add_(x, alpha=z)", "T.addcmul(x, x, x, value=z)", "T.lerp(x, x, z)", "T.full((2,), z)", "T.full_like(x, z)",
    "x.new_full((2,), z)", "T.tensor(z)", "T.tensor([z])", "F.elu(x, z)", "F.leaky_relu(x, z)", "F.hardtanh(x, z, z)",
    "F.huber_loss(x, x, delta=z)", "x.norm(z)", "x.std(correction=z)", "T.linspace(z, 1, 3)", "T.arange(z)", "y.uniform_(z)",
    "y.normal_(z)"]


@pytest.mark.parametrize("z", [np.complex64(2j), np.complex128(1 + 2j), 2j], ids=lambda z: type(z).__name__)
@pytest.mark.parametrize("requires_grad", [False, True])
@pytest.mark.parametrize("code", COMPLEX)
def test_complex_numbers_are_refused(code, requires_grad, z):
    """NumPy's would lose their imaginary part."""
    x = jitgrad.tensor([1.0, 2.0], requires_grad=requires_grad)
    names = {"T": jitgrad, "F": jitgrad.nn.functional, "x": x, "y": x * 1, "z": z}
    with pytest.raises(TypeError, match="complex"):
        exec(code, names)
    np.testing.assert_array_equal(x.detach().numpy(), [1, 2])


@pytest.mark.parametrize("code", ["T.ones(2, device='cuda')", "T.tensor(1.0).to('cuda:0')", "T.zeros(1, device='meta')",
                                  "T.tensor(1.0, device='nonsense')", "T.tensor(1.0).to('mps')", "T.tensor(1.0).cuda()"])
def test_devices_that_are_not_there(code):
    with pytest.raises((RuntimeError, AssertionError, AttributeError), match="(?i)cuda|device|meta|mps"):
        eval(code, {"T": jitgrad})


@pytest.mark.parametrize("make", [lambda: jitgrad.tensor([1, 2], requires_grad=True),
                                  lambda: jitgrad.tensor([1, 2]).requires_grad_(),
                                  lambda: jitgrad.ones(2, dtype=jitgrad.bool, requires_grad=True),
                                  lambda: jitgrad.nn.Parameter(jitgrad.tensor([1, 2])),
                                  lambda: setattr(jitgrad.tensor([1]), "requires_grad", True)])
def test_integers_require_no_gradient(make):
    with pytest.raises(RuntimeError, match="(?i)only Tensors of floating point"):
        make()


# -- backward --------------------------------------------------------------------------------------------------------

def test_backward_of_what_is_not_a_scalar(x):
    y = x.exp() * x
    with pytest.raises(RuntimeError, match="grad can be implicitly created only for scalar outputs"):
        y.backward()
    with pytest.raises(RuntimeError, match="Mismatch in shape"):
        y.backward(jitgrad.ones(3))
    with pytest.raises(RuntimeError, match="grad can be implicitly created only for scalar outputs"):
        jitgrad.autograd.grad(y, x)
    assert x.grad is None
    y.backward(jitgrad.ones(2, 3))                   # and none of these attempts has done any harm
    np.testing.assert_allclose(x.grad.numpy(), GRADIENT, rtol=1e-5)


def test_backward_without_a_graph(x):
    with pytest.raises(RuntimeError, match="does not require grad and does not have a grad_fn"):
        jitgrad.ones(()).backward()
    with pytest.raises(RuntimeError, match="does not require grad and does not have a grad_fn"):
        (x > 0).sum().backward()
    with pytest.raises(RuntimeError, match="appears to not have been used in the graph"):
        jitgrad.autograd.grad(x.sum(), jitgrad.ones(2, requires_grad=True))


@pytest.mark.parametrize("code, fine", [
    ("y.sin_()", True), ("y.mul_(w)", True), ("y.pow_(2)", True), ("y[1:].div_(w[1:] + 1)", True), ("y.clamp_(0, 1)", True),
    ("y *= y", False), ("y.addcmul_(y, w)", False), ("z = y @ c; c.mul_(2.0)", False), ("z = y.exp(); z.add_(1)", False),
])
def test_what_an_operator_wrote_over(code, fine):
    """Its own first operand it has kept; anything else that was saved must still be there."""
    w = jitgrad.tensor([0.5, 1.0, 1.5], requires_grad=True)
    names = {"y": w.cos(), "w": w, "c": jitgrad.tensor([1.0, 2.0, 3.0])}
    exec(code, names)
    total = names.get("z", names["y"]).sum()
    if fine:
        total.backward()
        assert w.grad.isfinite().all()
    else:
        with pytest.raises(RuntimeError, match="modified by an inplace operation"):
            total.backward()


def test_a_failed_backward_leaves_the_next_one_right(x):
    y = x.exp()
    z = y * x
    y.add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        z.sum().backward()
    assert x.grad is None
    np.testing.assert_allclose(leaf_and_gradient().numpy(), GRADIENT, rtol=1e-5)


# -- the cache directory ---------------------------------------------------------------------------------------------

@pytest.fixture
def directory(tmp_path, monkeypatch):
    """An empty cache directory, and a process that has no kernel yet."""
    monkeypatch.setattr(config, "cache_dir", tmp_path / "cache")
    monkeypatch.setattr(config, "cache", True)
    cache.reset()
    jitgrad.clear_cache()
    yield config.cache_dir
    cache.reset()
    jitgrad.clear_cache()


def spoilt(content: bytes) -> bytes:
    return content[:-40] + bytes(40)


@pytest.mark.parametrize("damage", [spoilt, lambda content: b"", lambda content: content[:100], lambda content: b"\0" * len(content)])
def test_a_corrupt_file_is_compiled_again(directory, damage):
    leaf_and_gradient()
    files = list(directory.glob("*.bin"))
    assert files
    for file in files:
        file.write_bytes(damage(file.read_bytes()))
    jitgrad.clear_cache()
    with pytest.warns(CacheWarning, match="damaged; it is compiled again") as caught:
        found = leaf_and_gradient()
    assert len(caught) == 1
    np.testing.assert_allclose(found.numpy(), GRADIENT, rtol=1e-5)
    assert jitgrad.cache_info().compilations == 1
    jitgrad.clear_cache()
    np.testing.assert_array_equal(leaf_and_gradient().numpy(), found.numpy())
    assert jitgrad.cache_info().disk_hits == 1         # the damaged file was replaced


def test_a_corrupt_source_file_matters_to_nobody(directory):
    leaf_and_gradient()
    for file in directory.glob("*.py"):
        file.write_text("raise SystemExit")
    jitgrad.clear_cache()
    np.testing.assert_allclose(leaf_and_gradient().numpy(), GRADIENT, rtol=1e-5)
    assert jitgrad.cache_info().disk_hits == 1


@pytest.mark.parametrize("where, code", [("mkstemp", errno.EACCES), ("mkdir", errno.EROFS), ("write", errno.ENOSPC),
                                         ("write", errno.EDQUOT), ("replace", errno.EACCES)])
def test_a_directory_that_takes_nothing(directory, monkeypatch, code, where):
    def refuse(*args, **kwargs):
        raise OSError(code, os.strerror(code))

    class Full:
        def __init__(self, handle, mode):
            os.close(handle)

        def __enter__(self):
            return self

        def __exit__(self, *exception):
            return None

        write = refuse

    if where == "mkdir":
        monkeypatch.setattr(type(directory), "mkdir", refuse)
    elif where == "write":
        monkeypatch.setattr(cache.os, "fdopen", Full)
    elif where == "replace":
        monkeypatch.setattr(cache.os, "replace", refuse)
    else:
        monkeypatch.setattr(tempfile, "mkstemp", refuse)
    with pytest.warns(CacheWarning, match="JITGRAD_CACHE_DIR") as caught:
        found = leaf_and_gradient()
        y = jitgrad.tensor(X, requires_grad=True)
        (y.sin() * y).mean().backward()                 # another kernel: no second warning
    assert len(caught) == 1
    np.testing.assert_allclose(found.numpy(), GRADIENT, rtol=1e-5)
    np.testing.assert_allclose(y.grad.numpy(), (np.cos(X) * X + np.sin(X)) / 6, rtol=1e-5, atol=1e-6)
    assert not list(directory.glob("*.tmp")) and not list(directory.glob("*.bin"))


def test_the_directory_disappears(directory):
    import shutil
    leaf_and_gradient()
    shutil.rmtree(directory)
    x = jitgrad.tensor(X, requires_grad=True)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        (x.cos() * 2.0).sum().backward()
        (x.tan() * 2.0).sum().backward()
    assert len(caught) <= 1
    np.testing.assert_allclose(x.grad.numpy(), 2 / np.cos(X) ** 2 - 2 * np.sin(X), rtol=1e-4)


# -- variables -------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("name, text, message", [
    ("JITGRAD_TREADS", "2", "unknown environment variable JITGRAD_TREADS.*JITGRAD_THREADS"),
    ("JITGRAD_", "1", "unknown environment variable"),
    ("JITGRAD_THREADS", "0", "positive integer"), ("JITGRAD_THREADS", "-1", "positive integer"),
    ("JITGRAD_THREADS", "1.5", "positive integer"), ("JITGRAD_CACHE_MB", "lots", "positive integer"),
    ("JITGRAD_CACHE", "yes", "on, off"), ("JITGRAD_INTERPRET", "true", "0, 1"),
    ("JITGRAD_LOG", "loud", "debug, info"), ("JITGRAD_CACHE_DIR", "", "give a directory"), ("JITGRAD_MAX_NODES", "", "positive"),
])
def test_variables(name, text, message):
    with pytest.raises(ConfigError, match=message):
        parse({name: text, "HOME": "/nowhere"})


# -- threads and forks -----------------------------------------------------------------------------------------------

def test_two_threads_compile_different_graphs_at_once(directory):
    def work(power: int) -> None:
        for n in range(2, 6):
            v = np.linspace(0.5, 2.0, n)
            x = jitgrad.tensor(v, requires_grad=True)
            y = x
            for _ in range(power):
                y = y * x
            y.sum().backward()
            np.testing.assert_allclose(x.grad.numpy(), (power + 1) * v**power, rtol=1e-12)

    together(work, (1, 2, 3))
    assert jitgrad.cache_info().compilations == 3


def test_modes_of_one_thread_are_not_those_of_another():
    inside, leave = threading.Event(), threading.Event()

    def work() -> None:
        with jitgrad.no_grad(), jitgrad.interpret():
            inside.set()
            leave.wait(30)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        assert inside.wait(30)
        before = jitgrad.cache_info().interpreted
        np.testing.assert_allclose(leaf_and_gradient().numpy(), GRADIENT, rtol=1e-5)
        assert jitgrad.cache_info().interpreted == before
    finally:
        leave.set()
        thread.join()


FORK = """
import os, sys, threading, time, warnings
import jitgrad
warnings.simplefilter("ignore", DeprecationWarning)     # Python's own, about forking with threads

def gradient(k):
    x = jitgrad.tensor([0.5, 1.0], dtype=jitgrad.float64, requires_grad=True)
    y = x
    for _ in range(k):
        y = y * x
    y.sum().backward()
    return x.grad.tolist() == [(k + 1) * v**k for v in (0.5, 1.0)]

stop = False
def busy():
    k = 1
    while not stop:
        assert gradient(k % 6 + 1)
        k += 1

thread = threading.Thread(target=busy)
thread.start()
status = []
for i in range(8):          # forks while another thread compiles and runs
    pid = os.fork()
    if pid == 0:
        os._exit(0 if gradient(i + 1) else 1)
    deadline = time.time() + 60
    while True:
        done, code = os.waitpid(pid, os.WNOHANG)
        if done or time.time() > deadline:
            break
        time.sleep(0.01)
    if not done:
        os.kill(pid, 9)
        os.waitpid(pid, 0)
        code = -1
    status.append(code)
stop = True
thread.join()
print(status)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this platform")
def test_forks_while_another_thread_compiles(tmp_path):
    done = subprocess.run([sys.executable, "-c", FORK], capture_output=True, text=True, timeout=300,
                          env={**os.environ, "JITGRAD_CACHE_DIR": str(tmp_path / "c")})
    assert done.returncode == 0 and done.stderr == "", done.stderr
    assert done.stdout.strip() == str([0] * 8)


# -- numbers ---------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 0.0, -0.0, 1e-45, 3e38])
def test_numbers_that_overflow_are_those_of_the_interpreter(value):
    """No warning, no error: inf and nan, in the same places."""
    def gradients() -> list[np.ndarray]:
        v = jitgrad.tensor(np.array([value, 1.0, value], np.float32), requires_grad=True)
        y = v.exp() / v + v.log() * v.sqrt() - v.reciprocal()
        y.sum().backward()
        return [v.grad.numpy(), y.detach().numpy()]

    got = gradients()
    with jitgrad.interpret():
        want = gradients()
    for a, b in zip(got, want, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5)


@pytest.mark.parametrize("shape", [(0,), (0, 3), (3, 0), (2, 0, 3)])
def test_empty_tensors(shape):
    x = jitgrad.ones(shape, requires_grad=True)
    w = jitgrad.ones(shape[-1], requires_grad=True)
    ((x * w).exp() + 1).sum().backward()
    assert x.grad.shape == shape and w.grad.tolist() == [0.0] * shape[-1]
