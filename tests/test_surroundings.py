"""What a program has around it: its log, the number of threads, copies, and plots."""
from __future__ import annotations

import copy
import logging
import os
import pickle
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from oracle import torch

import jitgrad
from jitgrad.config import available_cores, logger, parse

LIBS = (jitgrad, torch)


# -- the log -----------------------------------------------------------------------------------------------------------

PROGRAM = """
import jitgrad
@jitgrad.compile
def f(x):
    print("called")
    return x * 2
f(jitgrad.ones(2))
"""


def _logged(tmp_path: Any, before: str = "", **variables: str) -> str:
    file = tmp_path / "program.py"
    file.write_text(before + PROGRAM)
    ran = subprocess.run([sys.executable, str(file)], env=os.environ | variables, capture_output=True, text=True, check=True)
    return ran.stderr


def test_messages_are_shown_with_the_users_line(tmp_path):
    assert f"jitgrad info: f records on each call: calls print() (program.py:5, in f) ({tmp_path / 'program.py'}:7)\n" in _logged(
        tmp_path, JITGRAD_LOG="info")
    assert _logged(tmp_path) == ""


def test_messages_go_where_the_program_wants_them(tmp_path):
    found = _logged(tmp_path, "import logging; logging.basicConfig(format='<%(name)s> %(message)s')", JITGRAD_LOG="info")
    assert found.count("f records on each call") == 1 and "<jitgrad> f records on each call: calls print()" in found


def test_messages_that_nobody_can_see_disturb_no_program(tmp_path):
    assert _logged(tmp_path, "import sys; sys.stderr.close()", JITGRAD_LOG="info") == ""
    assert _logged(tmp_path, "import sys; sys.stderr = None", JITGRAD_LOG="info") == ""


def test_a_message_has_the_line_once(caplog, capsys):
    with caplog.at_level(logging.WARNING, "jitgrad"):
        logger.warning("%d of them", 3)
    assert caplog.messages == [f"3 of them ({__file__}:{test_a_message_has_the_line_once.__code__.co_firstlineno + 2})"]
    assert capsys.readouterr().err == ""


# -- threads -----------------------------------------------------------------------------------------------------------

def test_omp_num_threads_bounds_the_threads():
    cores = available_cores()
    for text, threads in (("1", 1), ("1,4", 1), (" 1 ", 1), (str(cores + 7), cores), ("0", cores), ("", cores), ("many", cores)):
        assert parse({"OMP_NUM_THREADS": text, "HOME": "/nowhere"}).threads == threads, text
    assert parse({"OMP_NUM_THREADS": "1", "JITGRAD_THREADS": "3", "HOME": "/nowhere"}).threads == 3
    assert parse({"HOME": "/nowhere"}).threads == cores


# -- copies ------------------------------------------------------------------------------------------------------------

def _copies(lib: Any) -> list[Any]:
    x = lib.ones(3, requires_grad=True)
    x.note = [1]
    (x * 2).sum().backward()
    y = copy.copy(x)
    with lib.no_grad():
        y[0] = 5
    base = lib.arange(6.).reshape(2, 3)
    view = copy.copy(base[:, 1])
    view[0] = 7
    product = copy.copy(x * 2)
    parameter = lib.nn.Parameter(lib.ones(2))
    parameter.note = [2]
    other = copy.copy(parameter)
    layer = lib.nn.Linear(2, 2)
    twin = copy.copy(layer)
    twin.tag = 1
    twin.more = lib.nn.Parameter(lib.ones(1))
    deep, back = copy.deepcopy(x), pickle.loads(pickle.dumps(x))
    return [x.tolist(), y.note is x.note, y.grad, y.requires_grad, view.tolist(), base.tolist(), product.is_leaf, product.requires_grad,
            type(other).__name__, other.note is parameter.note, other.requires_grad, twin.weight is layer.weight, hasattr(layer, "tag"),
            [name for name, _ in layer.named_parameters()], deep.note, deep.note is x.note, deep.grad.tolist(), deep.tolist(),
            back.note, back.requires_grad, copy.copy(lib.bool) is lib.bool, copy.copy(x.shape) == x.shape]


def test_copies_are_pytorchs():
    ours, theirs = map(_copies, LIBS)
    assert ours == theirs


# -- plots -------------------------------------------------------------------------------------------------------------

def test_matplotlib_plots_tensors():
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    from matplotlib import pyplot
    figure, axes = pyplot.subplots()
    t = jitgrad.linspace(0, 1, 10)
    for line in (axes.plot(t)[0], axes.plot(t, t * 2)[0], axes.step(t, t)[0], axes.plot(t[:, None])[0]):
        assert line.get_xydata().shape == (10, 2)
    np.testing.assert_array_equal(axes.plot(t, t * 2)[0].get_xydata(), np.stack([t.numpy(), 2 * t.numpy()], 1))
    np.testing.assert_array_equal(axes.imshow(jitgrad.eye(3)).get_array(), np.eye(3))
    np.testing.assert_array_equal(axes.scatter(t, t + 1).get_offsets()[:, 1], t.numpy() + 1)
    assert axes.hist(t)[0].sum() == 10 and [bar.get_height() for bar in axes.bar(jitgrad.arange(3), jitgrad.arange(3))] == [0, 1, 2]
    axes.contourf(jitgrad.eye(3))
    axes.fill_between(t, t, t + 1)
    axes.errorbar(t, t, yerr=t)
    axes.axhline(t[1])
    axes.vlines(t, 0, 1)
    axes.boxplot(t)
    axes.set_xlim(t[0], t[-1])
    figure.canvas.draw()
    with pytest.raises(RuntimeError, match="Can't call numpy\\(\\) on Tensor that requires grad"), pytest.warns(UserWarning):
        axes.plot(t.requires_grad_())
    pyplot.close(figure)
