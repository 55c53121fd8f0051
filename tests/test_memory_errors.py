"""Memory that runs out: MemoryError, nothing is half made, and all goes on right after it."""
from __future__ import annotations

import gc
import itertools
import os
import subprocess
import sys
import textwrap
import traceback
from pathlib import Path
from typing import Any

import pytest
import ways
from ways import WARM, WAYS, Run, numbers

import jitgrad as torch
from jitgrad import tracing

try:
    from _testcapi import remove_mem_hooks, set_nomemory
except ImportError:         # CPython's own test module, which is not everywhere
    set_nomemory = None

try:
    import resource
except ImportError:
    resource = None

# Weak references call back while there is no memory: what Python's own WeakSet cannot do then, it says, and goes on.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

PATIENCE = 40           # allocations in a row without a failure, after which a run is over
BURST = 8               # allocations that fail in a row, from every BURST-th on


def state() -> list[Any]:
    return [torch.is_grad_enabled(), torch.is_inference_mode_enabled(), gc.isenabled(), sys.getprofile(), tracing.traces,
            tracing.count[0]]


def by_numpy(error: BaseException) -> bool:
    """Whether NumPy has made another error of a MemoryError, or forgotten to set it."""
    last = traceback.extract_tb(error.__traceback__)[-1].filename
    return (isinstance(error, TypeError) and "expected a sequence of integers" in str(error)) or (
        isinstance(error, SystemError) and "numpy" in last and "without setting an exception" in str(error))


def failed(run: Run, first: int, last: int) -> Any:
    """What `run` gives while the allocations from one number to another fail; MemoryError if it raises that."""
    set_nomemory(first, last)
    try:
        return run()
    except MemoryError:
        return MemoryError
    except (TypeError, SystemError) as error:
        if by_numpy(error):
            return MemoryError
        raise
    finally:
        remove_mem_hooks()


@pytest.mark.skipif(set_nomemory is None, reason="this CPython has no failing allocator")
@pytest.mark.parametrize("burst", [1, BURST])
@pytest.mark.parametrize("name", WAYS)
def test_an_allocation_fails(name, burst):
    make = WAYS[name]
    for _ in range(WARM):
        expected = numbers(make()())
    before, quiet = state(), 0
    for n in itertools.count(0, burst):
        run = make()
        result = failed(run, n, n + burst)
        assert state() == before, n
        if result is MemoryError:
            quiet = 0
        else:
            assert numbers(result) == expected, n
            quiet += burst
        assert numbers(make()()) == expected, n
        if quiet > PATIENCE:
            break
    assert n > PATIENCE + 1


@pytest.mark.skipif(set_nomemory is None, reason="this CPython has no failing allocator")
def test_a_backward_that_runs_out_of_memory_can_be_run_again():
    """Until the first gradient is delivered nothing has happened."""
    x, y = ways.leaf(1., 2., 3.), ways.leaf(4., 5., 6.)
    for _ in range(WARM):
        x.grad = y.grad = None
        ways.loss_of(x, y).backward()
    expected = numbers([x.grad, y.grad])
    repeated = 0
    for n in range(60):
        x.grad = y.grad = None
        loss = ways.loss_of(x, y)
        if failed(loss.backward, n, n + 1) is MemoryError and x.grad is None and y.grad is None:
            try:
                loss.backward()
            except RuntimeError:        # it was out of memory after the graph had been gone through
                continue
            repeated += 1
        elif x.grad is None or y.grad is None:
            continue
        assert numbers([x.grad, y.grad]) == expected, n
    assert repeated


# -- a limit of the address space ------------------------------------------------------------------------------------

LIMITED = """
    import resource, sys
    import jitgrad as torch
    from jitgrad.autograd.reverse import engine

    def limit(mib):
        size = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (size + mib * 2**20, resource.RLIM_INFINITY))

    def unlimited():
        resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))

    x = torch.tensor([1., 2., 3.], requires_grad=True)

    def right():
        x.grad = None
        (x * x + x * 3.).sum().backward()
        assert x.grad.tolist() == [5., 7., 9.], x.grad
        assert torch.is_grad_enabled()

    if not int(sys.argv[1]):
        engine.machine_code()
"""
LOOPS = """
    for _ in range(5):
        right()
    base = x * 1.
    replay = torch.compile(lambda x: (x * x + x * 3.).sum())
    for _ in range(5):
        replay(x).backward()

    def recorded(kept):
        kept.append(x * 3.)

    def chain(kept):
        kept[:] = [kept[0] * x if kept else x * x]

    def view(kept):
        kept.append(base[1:])

    def backward(kept):
        x.grad = None
        loss = (x * x + x * 3.).sum()
        loss.backward()
        kept.append((loss, x.grad))

    def replayed(kept):
        x.grad = None
        loss = replay(x)
        loss.backward()
        kept.append((loss, x.grad))

    def large(kept):
        y = torch.ones(2**20, requires_grad=True)
        (y * 3.).sum().backward()
        kept.append(y.grad)

    large([])
    for loop in (recorded, chain, view, backward, replayed, large):
        kept = []
        limit(60)
        try:
            while True:
                loop(kept)
        except MemoryError:
            kept.clear()
        right()
        unlimited()
        right()
        print(loop.__name__, "went on")
"""
COMPILED = """
    right()
    limit(4)
    try:
        (x.tanh() * x).sum().backward()
    except MemoryError as error:
        print(error)
    right()
    unlimited()
    x.grad = None
    (x.tanh() * x).sum().backward()
    print(x.grad is not None)
"""
NOT_LOADED = """
    limit(40)
    try:
        x.sum().backward()
    except MemoryError as error:
        print(error)
    unlimited()
    right()
    print("right")
"""


def output(text: str, cache: Path, request: pytest.FixtureRequest) -> str:
    """What a process of its own prints."""
    plain = "1" if request.config.getoption("--plain") or text is NOT_LOADED else "0"
    command = [sys.executable, "-c", textwrap.dedent(LIMITED) + textwrap.dedent(text), plain]
    path = os.pathsep.join([str(Path(torch.__file__).parent.parent), *os.environ.get("PYTHONPATH", "").split(os.pathsep)])
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False,
                          env=os.environ | {"JITGRAD_CACHE_DIR": str(cache), "PYTHONPATH": path, "JITGRAD_THREADS": "1"})
    assert done.returncode == 0, done.stderr
    return done.stdout


limited = pytest.mark.skipif(resource is None or not Path("/proc/self/statm").exists(), reason="no limit of the address space")


@limited
def test_loops_that_keep_tensors_go_on_after_a_memory_error(tmp_path, request):
    assert output(LOOPS, tmp_path, request).count("went on") == 6


@limited
def test_compiling_without_room_for_llvm_is_a_memory_error(tmp_path, request):
    first, last = output(COMPILED, tmp_path, request).splitlines()
    assert first.startswith("not enough memory to compile: the address space of this process is limited to")
    assert last == "True"


@limited
def test_loading_the_compiler_without_room_is_a_memory_error(tmp_path, request):
    first, last = output(NOT_LOADED, tmp_path, request).splitlines()
    assert first.startswith("not enough memory to load the compiler: ")
    assert last == "right"
