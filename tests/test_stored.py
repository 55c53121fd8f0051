"""Programs on disk: another process finds them, lowers nothing, and is told of its own lines."""
import io
import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from graphs import normal, request, total

import jitgrad
from jitgrad import ops
from jitgrad.compiler import stored
from jitgrad.compiler.numba_cpu import cache
from jitgrad.config import config

SMALL = "x = jitgrad.tensor([.5, -1.5, 2.], requires_grad=True); (x.tanh() * x).sum().backward()"
LOOP = """
x = jitgrad.tensor([.5, -1.5, 2.], requires_grad=True)
h = jitgrad.zeros(3)
for _ in range(30): h = (h * x + 1).tanh()
h.sum().backward()
"""
MODULES = """
import sys
from pathlib import Path
names = {"jitgrad.compiler.build", "jitgrad.compiler.ir.lower", "jitgrad.compiler.fusion.fuse", "numba"} & {*sys.modules}
print(x.grad.tolist(), jitgrad.cache_info().compilations, bool(names))
"""


@pytest.mark.parametrize("program", [SMALL, LOOP])
def test_a_process_that_finds_a_program_does_not_make_it(program, tmp_path):
    environment = {**os.environ, "JITGRAD_CACHE": "on", "JITGRAD_CACHE_DIR": str(tmp_path / "kept")}
    run = [subprocess.run([sys.executable, "-c", "import jitgrad\n" + program + MODULES], env=environment, capture_output=True,
                          text=True, check=True).stdout.rsplit(" ", 2) for _ in range(2)]
    assert run[0][1:] == ["1", "True\n"] and run[1][1:] == ["0", "False\n"]
    assert run[0][0] == run[1][0]


@pytest.fixture
def kept(tmp_path, monkeypatch):
    monkeypatch.setattr(config, "cache_dir", tmp_path / "kept")
    monkeypatch.setattr(config, "cache", True)
    cache.reset()
    yield config.cache_dir
    cache.reset()


def test_lines_are_those_of_the_program_that_asks(kept):
    def first(x):
        return (x * x).exp().sum()

    def second(x):
        y = x * x
        return y.exp().sum()

    told = []
    for f in (first, second):
        jitgrad.clear_cache()
        loss = f(jitgrad.tensor([1.0, 2.0], requires_grad=True))
        told.append(str(jitgrad.explain(loss)))
    line = first.__code__.co_firstlineno
    assert f"{os.path.basename(__file__)}:{line + 1}" in told[0] and f":{line + 1}" not in told[1]
    assert f":{line + 4}" in told[1] and f":{line + 5}" in told[1] and f":{line + 4}" not in told[0]


def asked(n=3, wrt=None, strided=False):
    x, w = normal(n), normal(n, seed=1)
    if strided:
        x.value = np.repeat(x.value, 2)[::2]
    return request([total(ops.tanh(ops.mul(x, w)))], [x, w] if wrt is None else [[x, w][k] for k in wrt])


def test_what_an_entry_is_called_tells_structure_and_nothing_else():
    plain = stored.structure(asked())
    assert plain is not None and plain == stored.structure(asked(n=700))
    others = [stored.structure(asked(**kwargs)) for kwargs in (
        {"n": 1}, {"wrt": [0]}, {"wrt": [1, 0]}, {"strided": True})]
    assert len({plain, *others}) == 5
    assert not stored._is_plain((1, (object(),))) and stored._is_plain((1, ("a", 2.5, None, jitgrad.float64)))


def test_other_sources_make_other_programs(kept, monkeypatch):
    r = asked()
    stored.find(r)
    count = len(cache.entries())
    stored.find(asked())
    assert len(cache.entries()) == count
    monkeypatch.setattr(stored, "fingerprint", lambda: "of another version")
    stored.find(asked())
    assert len(cache.entries()) == count + 1


def test_all_that_an_entry_is_read_by_is_told_by_its_name(kept):
    class Reader(pickle.Unpickler):
        def find_class(self, module, name):
            found.add(module)
            return super().find_class(module, name)

    found: set[str] = set()
    jitgrad.clear_cache()
    x, w = jitgrad.tensor(np.eye(3) + 1, requires_grad=True), jitgrad.tensor(np.eye(3))
    ((x @ w).exp()[1:].sum(0) * x.tanh()).sum().backward()
    for entry in cache.entries():
        data = cache.load(entry.name)
        if data is not None and data.startswith(b"\x80"):
            Reader(io.BytesIO(data)).load()
    root = Path(stored.__file__).parents[1]
    told = {file for pattern in stored._MAKERS for file in root.glob(pattern)}
    own = {Path(sys.modules[module].__file__ or "") for module in found if module.startswith("jitgrad")}
    assert len(own) > 1 and own <= told


def test_a_program_that_names_what_is_gone_is_made_anew(kept):
    wanted = asked()
    first = stored.find(wanted)
    [file] = [f for f in kept.glob("*.bin") if b"StepList" in f.read_bytes()]
    file.write_bytes(cache._seal(file.stem, b"\x80\x05cjitgrad.gone\nGone\n."))
    assert len(stored.find(wanted).steps) == len(first.steps) > 0 and b"StepList" in file.read_bytes()
