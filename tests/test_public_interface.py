"""What programs ask for beside operators: devices, dtypes, comparisons, names that are absent, random numbers, scripts."""
from __future__ import annotations

import itertools
import math
import subprocess
import sys

import numpy as np
import pytest
from oracle import torch

import jitgrad
from jitgrad import catalogue, missing, scripts
from jitgrad.operators.declaration.declare import OPERATORS
from jitgrad.ops.declare import REGISTRY

LIBS = (jitgrad, torch)
DTYPES = ("float32", "float64", "int32", "int64", "bool")


# -- devices and dtypes ------------------------------------------------------------------------------------------------

@pytest.mark.skipif(jitgrad.cuda.is_available(), reason="there is a CUDA device")
def test_there_is_no_accelerator():
    for lib in LIBS:
        assert lib.cuda.is_available() is False and lib.cuda.device_count() == 0
        assert not lib.accelerator.is_available() and lib.accelerator.current_accelerator() is None
        assert not lib.backends.mps.is_available() and not lib.backends.cudnn.is_available()
        lib.cuda.manual_seed_all(0)
        lib.cuda.empty_cache()
        assert str(lib.get_default_device()) == "cpu"
        with pytest.raises(AssertionError, match="Torch not compiled with CUDA enabled"):
            lib.cuda.current_device()
    with pytest.raises(AssertionError, match="Torch not compiled with CUDA enabled"):
        jitgrad.ones(1).cuda()


def test_types_are_pytorchs():
    for a, b in itertools.product(DTYPES, repeat=2):
        ours, theirs = [(str(lib.promote_types(*map(lib.__dict__.get, (a, b)))), lib.can_cast(getattr(lib, a), getattr(lib, b)),
                         *[str(lib.result_type(lib.ones(shape, dtype=getattr(lib, a)), other)) for shape in ((), (2,))
                           for other in (lib.ones((), dtype=getattr(lib, b)), 1, 1.5, True)]) for lib in LIBS]
        assert ours == theirs, (a, b)
    for name in ("float32", "float64"):
        ours, theirs = [lib.finfo(getattr(lib, name)) for lib in LIBS]
        for field in ("bits", "eps", "max", "min", "tiny", "smallest_normal", "resolution", "dtype"):
            assert getattr(ours, field) == getattr(theirs, field), field
        assert repr(ours) == repr(theirs)
    for name in ("int32", "int64"):
        assert repr(jitgrad.iinfo(getattr(jitgrad, name))) == repr(torch.iinfo(getattr(torch, name)))
    for lib in LIBS:
        with pytest.raises(TypeError, match="requires a floating point input type"):
            lib.finfo(lib.int32)


# -- comparisons -------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("case", [
    lambda T: (T.tensor([1., 2., 3.]), T.tensor([1., 2.5, 3.])), lambda T: (T.ones(2), T.ones(3)),
    lambda T: (T.ones(2), T.ones(2, dtype=T.float64)), lambda T: (1.0, 1.1), lambda T: ({"a": T.ones(1)}, {"a": T.zeros(1)}),
    lambda T: ([T.ones(1), T.ones(1)], [T.ones(1), T.zeros(1)]), lambda T: (T.tensor([1, 2]), T.tensor([1, 3])),
    lambda T: (T.tensor([1., 2.]), T.tensor([1., 2.0000001])), lambda T: (T.tensor([math.nan]), T.tensor([math.nan])),
    lambda T: ([T.ones(1)], [T.ones(1), T.ones(1)]), lambda T: (T.tensor(1.), T.tensor(2.))])
def test_assert_close(case):
    texts = []
    for lib in LIBS:
        try:
            lib.testing.assert_close(*case(lib))
            texts.append("")
        except AssertionError as error:
            texts.append(str(error).splitlines()[0])
    assert texts[0] == texts[1]


# -- absent names ------------------------------------------------------------------------------------------------------

def test_an_absent_name_says_what_to_use_instead():
    for module, name, advice in ((jitgrad, "complex64", "real and imaginary parts"), (jitgrad, "jit", "jitgrad.compile"),
                                 (jitgrad.linalg, "eig", "linalg.eigh"), (jitgrad.nn, "Transformer", "nn.Linear")):
        with pytest.raises(AttributeError, match=f"has no attribute '{name}'.*{advice}"):
            getattr(module, name)
    x = jitgrad.ones(2)
    with pytest.raises(AttributeError, match=r"'Tensor' object has no attribute 'storage'.*\.numpy\(\)"):
        x.storage()
    assert not hasattr(x, "to_sparse") and not hasattr(jitgrad, "no_such_name") and not hasattr(x, "no_such_name")


def test_advice_is_about_names_that_pytorch_has_and_jitgrad_lacks():
    for name in missing.ADVICE:
        for lib in LIBS:
            found = lib
            for part in name.split("."):
                found = getattr(found, part, None)
            has = found is not None or hasattr(lib.Tensor, name)
            if lib is jitgrad:
                assert not has or name in ("half", "short", "cfloat", "cdouble", "bfloat16"), name      # methods that refuse


def test_dir_shows_public_names_only():
    assert all([not name.startswith("_") or name == "__version__" for name in dir(jitgrad)])
    assert {"cuda", "linalg", "einsum", "finfo"} <= {*dir(jitgrad)}


# -- random numbers ----------------------------------------------------------------------------------------------------

def test_multinomial():
    jitgrad.manual_seed(0)
    weights = jitgrad.tensor([[0., 1., 3.], [1., 0., 0.]])
    drawn = jitgrad.multinomial(weights, 4000, replacement=True)
    counts = np.bincount(drawn[0].numpy(), minlength=3) / 4000
    np.testing.assert_allclose(counts, [0, 0.25, 0.75], atol=0.04)
    assert drawn.dtype is jitgrad.int64 and drawn.shape == (2, 4000) and not drawn[1].any()
    firsts = [int(jitgrad.multinomial(weights[0] + 1, 2)[0]) for _ in range(2000)]
    np.testing.assert_allclose(np.bincount(firsts) / 2000, [1 / 7, 2 / 7, 4 / 7], atol=0.05)
    assert sorted(jitgrad.ones(5).multinomial(5).tolist()) == [*range(5)]
    for lib in LIBS:
        with pytest.raises(RuntimeError, match="without replacement"):
            lib.multinomial(lib.ones(2), 3)
        with pytest.raises(RuntimeError, match="sum of probabilities <= 0"):
            lib.multinomial(lib.zeros(2), 1)


def test_fills():
    jitgrad.manual_seed(0)
    x = jitgrad.empty(4000, dtype=jitgrad.float64)
    assert abs(x.exponential_(2).mean() - 0.5) < 0.05 and abs(x.geometric_(0.25).mean() - 4) < 0.3
    assert abs(x.log_normal_(0, 0.5).log().std() - 0.5) < 0.05 and abs(x.cauchy_(3).median() - 3) < 0.2
    assert abs(jitgrad.poisson(jitgrad.full((4000,), 3.)).mean() - 3) < 0.2


# -- views in place ----------------------------------------------------------------------------------------------------

def test_a_tensor_becomes_its_view():
    for lib in LIBS:
        base = lib.arange(6.).reshape(2, 3)
        x = base[:]
        assert x.t_() is x and x.shape == (3, 2) and x.unsqueeze_(0).shape == (1, 3, 2)
        assert x.squeeze_(0).transpose_(0, 1).shape == (2, 3)
        x.t_()[0, 1] = 9
        assert base.tolist() == [[0, 1, 2], [9, 4, 5]]
        with pytest.raises(RuntimeError, match="leaf Variable that requires grad"):
            lib.ones(2, 2, requires_grad=True).t_()


# -- the catalogue and scripts -----------------------------------------------------------------------------------------

def test_the_catalogue_has_all():
    (_, operators), (_, primitives) = catalogue.tables(None)
    assert len(operators) == len([op for op in OPERATORS.values() if op.places]) and len(primitives) == len(REGISTRY)
    (head, rows), (_, found) = catalogue.tables("linalg.solve")
    assert [row[0] for row in rows] == ["solve"] and not found
    assert catalogue.as_markdown(head, rows).count("\n") == 2 and "<td>solve</td>" in catalogue.as_html(head, rows)
    assert catalogue.tables("exp")[1][1][0][2:4] == ("yes", "fused")


SCRIPT = """
import sys, torch, torch.nn as nn, torch.nn.functional as F
from torch import linalg
from torch.autograd import Variable
from torch.optim import SGD
import torch.optim as optim
assert optim.SGD is SGD and torch.nn is nn and nn.functional is F
x = Variable(torch.ones(3), requires_grad=True)
y = F.relu(x)
y.register_hook(lambda g: g)
(linalg.norm(x) + y.sum()).backward()
print(torch.__name__, sys.argv[1:], hasattr(torch, "fft"), x.grad.shape)
try:
    import torch.distributed
except ImportError:
    print("no distributed")
"""


def test_a_script_runs_with_torch_mapped(tmp_path):
    path = tmp_path / "script.py"
    path.write_text(SCRIPT)
    done = subprocess.run([sys.executable, "-m", "jitgrad", "run", str(path), "--lr", "1"], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "jitgrad ['--lr', '1'] False torch.Size([3])\nno distributed\n"
    assert "script.py:9: ReluBackward0: a hook on this tensor" in done.stderr
    assert "1 programs of" in done.stderr and "are not here: torch.fft, torch.distributed" in done.stderr


def test_torch_is_torch_again_after_a_script(tmp_path):
    path = tmp_path / "script.py"
    path.write_text("import torch, torch.nn\nassert torch.__name__ == 'jitgrad'\nraise SystemExit(3)")
    assert scripts.run(str(path), []) == 3
    assert sys.modules["torch"] is torch and jitgrad.nn.__spec__.name == "jitgrad.nn"
