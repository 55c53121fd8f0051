"""The pool of threads: every chunk once, errors, nested and concurrent callers, forks."""
import os
import signal
import threading
import time

import pytest
from together import together

from jitgrad.config import config
from jitgrad.memory import threads


@pytest.fixture(autouse=True)
def three_threads(monkeypatch):
    monkeypatch.setattr(config, "threads", 3)


def chunks(count):
    return [(10 * i, 10 * i + 10, 1000 + i) for i in range(count)]


@pytest.mark.parametrize("count", [0, 1, 2, 3, 50])
@pytest.mark.parametrize("workers", [1, 2, 3])
def test_every_chunk_runs_once(count, workers):
    threads.set_num_threads(workers)
    done = []
    threads.parallel_for(lambda lo, hi, block: done.append((lo, hi, block)), chunks(count))
    assert sorted(done) == chunks(count)


def test_chunks_run_at_the_same_time():
    barrier = threading.Barrier(3, timeout=30)
    met = []
    threads.parallel_for(lambda lo, hi, block: met.append(barrier.wait()), chunks(3))
    assert sorted(met) == [0, 1, 2]


def test_one_thread_means_the_calling_one():
    threads.set_num_threads(1)
    seen = set()
    threads.parallel_for(lambda lo, hi, block: seen.add(threading.get_ident()), chunks(5))
    assert seen == {threading.get_ident()}


def test_exceptions_reach_the_caller_and_the_pool_survives():
    def fail(lo, hi, block):
        raise ValueError(f"chunk {lo}")

    for _ in range(3):
        with pytest.raises(ValueError, match="chunk"):
            threads.parallel_for(fail, chunks(20))
    test_every_chunk_runs_once(20, 3)


def test_nothing_runs_after_an_exception_returned():
    running = []

    def work(lo, hi, block):
        running.append(lo)
        if lo == 0:
            raise ValueError
        time.sleep(0.02)
        running.append(-lo)

    with pytest.raises(ValueError):
        threads.parallel_for(work, chunks(3))
    before = list(running)
    time.sleep(0.05)
    assert running == before
    assert all(lo == 0 or -lo in running for lo in running)


def test_a_call_inside_a_call_runs_serially():
    done = []
    def outer(lo, hi, block):
        threads.parallel_for(lambda a, b, c: done.append((lo, a)), chunks(3))

    threads.parallel_for(outer, chunks(4))
    assert sorted(done) == [(10 * i, 10 * j) for i in range(4) for j in range(3)]


def test_several_python_threads_at_once():
    done = []

    def caller(k):
        for _ in range(30):
            threads.parallel_for(lambda lo, hi, block: done.append(k), chunks(7))

    together(caller, range(4))
    assert sorted(done) == sorted(list(range(4)) * 30 * 7)


def test_the_number_of_threads():
    threads.set_num_threads(5)
    assert threads.get_num_threads() == 5
    for bad, error in ((0, RuntimeError), (-1, RuntimeError), (2.0, TypeError), (True, TypeError), ("2", TypeError)):
        with pytest.raises(error, match="set_num_threads expects"):
            threads.set_num_threads(bad)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_forked_child_gets_its_own_pool():
    done = []
    threads.parallel_for(lambda lo, hi, block: done.append(lo), chunks(9))
    child = os.fork()
    if child == 0:
        barrier = threading.Barrier(3, timeout=20)
        threads.parallel_for(lambda lo, hi, block: barrier.wait(), chunks(3))
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs setitimer")
def test_an_interrupt_waits_for_the_workers():
    """When the caller is interrupted, no worker goes on writing to the caller's memory."""
    class Interrupt(Exception):
        pass

    def interrupt(number, frame):
        raise Interrupt

    active = []
    main = threading.get_ident()

    def work(lo, hi, block):
        if threading.get_ident() == main:
            while len(active) < 2:
                time.sleep(0.001)
        else:
            active.append(lo)
            time.sleep(0.5)
            active.remove(lo)

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.2)
        with pytest.raises(Interrupt):
            threads.parallel_for(work, chunks(3))
        assert not active
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    test_every_chunk_runs_once(20, 3)
