"""Before jitgrad is imported: tests keep their kernels beside pytest's own cache, not in the user's directory.  Options, fixtures."""
from __future__ import annotations

import gc
import os
import zlib
from pathlib import Path

import hypothesis
import pytest
from which_ran import WhichRan

os.environ.setdefault("JITGRAD_CACHE_DIR", str(Path(__file__).resolve().parent.parent / ".pytest_cache" / "kernels"))


@pytest.fixture
def cuda_device():
    """A simulated CUDA device."""
    import cuda_device
    with cuda_device.in_use():
        yield


def pytest_addoption(parser):
    parser.addoption("--plain", action="store_true", help="record by the Python functions, not by machine code")
    parser.addoption("--cfunc", action="store_true", help="compile by numba.cfunc, as with a Numba that jitgrad does not know")
    parser.addoption("--seed", type=int, help="draw the programs and numbers of random tests anew, from this seed")
    parser.addoption("--part", metavar="K/N", help="only the Kth of N parts of the tests, by their names")
    parser.addoption("--rest-of", type=Path, metavar="FILE", help="only tests that are not in FILE; add those that run to it")
    parser.addoption("--complete", action="store_true", help="with --rest-of: fail if a test has still not run")


@pytest.hookimpl(tryfirst=True)         # Hypothesis's plugin reads its option after this
def pytest_configure(config):
    seed = config.getoption("--seed")
    hypothesis.settings.register_profile("jitgrad", deadline=None, database=None, derandomize=seed is None, print_blob=True)
    hypothesis.settings.load_profile("jitgrad")
    if seed is not None:
        config.option.hypothesis_seed = seed
        os.environ["TEST_SEED"] = str(seed)
    if config.getoption("--rest-of"):
        config.pluginmanager.register(WhichRan(config.getoption("--rest-of"), config.getoption("--complete")))
    if config.getoption("--cfunc"):
        os.environ["JITGRAD_CACHE_DIR"] += "-cfunc"
        from jitgrad.compiler.numba_cpu import kernels
        kernels._mismatch = lambda: RuntimeError("the tests ask for it")


def pytest_collection_modifyitems(config, items):
    """TEST_PART=2/5 leaves of the tests marked `full` those whose names fall to the second of five parts, --part 2/5 of all."""
    of_all = config.getoption("--part")
    if of_all or "TEST_PART" in os.environ:
        part, parts = map(int, (of_all or os.environ["TEST_PART"]).split("/"))
        assert 1 <= part <= parts
        others = [item for item in items if (of_all or item.get_closest_marker("full"))
                  and zlib.crc32(item.nodeid.encode()) % parts != part - 1]
        config.hook.pytest_deselected(items=others)
        items[:] = [item for item in items if item not in set(others)]


def pytest_terminal_summary(terminalreporter, exitstatus, config):
    if exitstatus and config.getoption("--seed") is not None:
        terminalreporter.write_line(f"to draw the same again: --seed={config.getoption('--seed')}", red=True)


@pytest.fixture(scope="session", autouse=True)
def machine_code(request):
    """Programs come to machine code when they repeat themselves; tests mostly do not."""
    from jitgrad.autograd.reverse import engine
    from jitgrad.requests import counters
    if request.config.getoption("--plain"):
        counters.repeats[0] = lambda compiling=None: None
    else:
        engine.machine_code()


@pytest.fixture(scope="session", autouse=True)
def compiled():
    """What tests compare is compiled as a whole, however many structures come once; test_requests.py takes what users get."""
    from jitgrad.requests import counters
    counters.PATIENCE = 1 << 62


@pytest.fixture(scope="module", autouse=True)
def frozen():
    """What other modules have left costs this one's collections no time: a full one took half a second."""
    gc.collect()
    gc.freeze()


@pytest.fixture
def interpreted(request):
    """Everything is interpreted but in tests marked `compiled`."""
    import jitgrad
    if "compiled" in request.keywords:
        yield
        return
    with jitgrad.interpret():
        yield


@pytest.fixture
def counters(tmp_path, monkeypatch):
    """A process cache and a disk cache of this test's own."""
    import jitgrad  # not before the variable above is set
    from jitgrad.config import config
    monkeypatch.setattr(config, "cache_dir", tmp_path / "cache")
    jitgrad.clear_cache()
    yield jitgrad.cache_info
    jitgrad.clear_cache()


@pytest.fixture
def default_float64():
    """Python's floats become float64."""
    import jitgrad
    before = jitgrad.get_default_dtype()
    jitgrad.set_default_dtype(jitgrad.float64)
    yield
    jitgrad.set_default_dtype(before)
