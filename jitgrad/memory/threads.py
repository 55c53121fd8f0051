"""A persistent pool of Python threads for kernels, which run without the GIL.

(Numba's own threading layers abort a process in which two threads enter, or a forked child runs.)  The hand-off takes
some 40 us, so this is for work of some 200 us and more.  Results do not depend on the number of threads: the caller
fixes the partition, the pool only decides who runs which part.
"""
from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Sequence
from queue import SimpleQueue

from jitgrad.config import config

building = threading.RLock()       # held while a program or a kernel is built, and the compiler imported
if hasattr(os, "register_at_fork"):
    # A fork waits for a compilation in another thread: the child has no such thread to finish it.
    os.register_at_fork(before=building.acquire, after_in_parent=building.release, after_in_child=building.release)

Chunk = tuple[int, int, int]
Kernel = Callable[[int, int, int], object]


class _Job:
    """One parallel run: who is free takes the next chunk; who finishes the last one wakes the caller."""

    __slots__ = ("kernel", "bounds", "lock", "taken", "pending", "helping", "finished", "error")

    def __init__(self, kernel: Kernel, bounds: Sequence[Chunk]) -> None:
        self.kernel = kernel
        self.bounds = bounds
        self.lock = threading.Lock()
        self.taken = 0
        self.pending = len(bounds)
        self.helping = 0        # workers inside a chunk at this moment
        self.finished = threading.Lock()
        self.finished.acquire()
        self.error: BaseException | None = None

    def work(self, helper: int) -> None:
        """Run chunks until none is left; `helper` is 1 in a worker, 0 in the caller's thread."""
        count = len(self.bounds)
        while True:
            with self.lock:
                i = self.taken
                if i >= count:
                    return
                self.taken = i + 1
                self.helping += helper
            try:
                if self.error is None:
                    self.kernel(*self.bounds[i])
            except BaseException as error:      # carried over to the caller, who raises it
                self.error = error
            finally:
                with self.lock:
                    self.helping -= helper
                    self.pending -= 1
                    last = self.pending == 0
                if last:
                    self.finished.release()

    def abandon(self) -> None:
        """Begin no further chunk, and wait for those that workers are in: they write to the caller's memory."""
        count = len(self.bounds)
        with self.lock:
            self.taken = count
        while self.helping:
            try:
                while self.helping:
                    time.sleep(1e-4)
            except BaseException as error:      # another one: it waits, too
                self.error = error


class _Workers:
    """Worker threads, started when first needed, that wait for jobs."""

    def __init__(self) -> None:
        self.busy = False
        self.workers: list[SimpleQueue[_Job]] = []

    def run(self, kernel: Kernel, bounds: Sequence[Chunk], helpers: int) -> None:
        """Run all chunks on `helpers` workers and the calling thread; the caller has set `busy`."""
        self._grow(helpers)
        job = _Job(kernel, bounds)
        try:
            for queue in self.workers[:helpers]:
                queue.put(job)
            job.work(0)
            job.finished.acquire()
        except BaseException:       # a signal handler raised, KeyboardInterrupt for one
            job.abandon()
            raise
        if job.error is not None:
            raise job.error

    def _grow(self, count: int) -> None:
        while len(self.workers) < count:
            queue: SimpleQueue[_Job] = SimpleQueue()
            thread = threading.Thread(target=_serve, args=(queue,), name=f"jitgrad-{len(self.workers)}", daemon=True)
            try:
                thread.start()
            except RuntimeError:    # no more threads, or the interpreter is shutting down: the caller works alone
                return
            self.workers.append(queue)


def _serve(queue: SimpleQueue[_Job]) -> None:
    while True:
        queue.get().work(1)


_pool = _Workers()


def _renew() -> None:
    """In a forked child: the workers are gone, and the lock may have been held by one that is not there."""
    global _pool
    _pool = _Workers()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew)


def parallel_for(kernel: Kernel, bounds: Sequence[Chunk]) -> None:
    """Run `kernel(lo, hi, block)` for each entry of `bounds`, in any order and at the same time; returns when all are
    done.

    One chunk, one thread, or another Python thread in the middle of such a run: serially, here.  The first exception
    of a chunk is raised when the others have ended; chunks not begun by then are left out."""
    helpers = min(config.threads, len(bounds)) - 1
    pool = _pool
    if helpers < 1 or pool.busy:
        for lo, hi, block in bounds:
            kernel(lo, hi, block)
        return
    pool.busy = True        # a store rather than a lock: see recording.in_grad_mode.  No other thread runs between test and store.
    try:
        pool.run(kernel, bounds, helpers)
    finally:
        pool.busy = False


def get_num_threads() -> int:
    """The number of threads that large work may use, the calling one included."""
    return config.threads


def set_num_threads(count: int) -> None:
    """Use so many threads for large work, the calling one included.

    Raises TypeError unless `count` is an int, RuntimeError unless it is positive."""
    if not isinstance(count, int) or isinstance(count, bool):
        raise TypeError(f"set_num_threads expects an int, but got {type(count).__name__}")
    if count < 1:
        raise RuntimeError(f"set_num_threads expects a positive integer, but got {count}")
    config.threads = count
