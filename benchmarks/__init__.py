"""asv benchmarks.  `asv run --quick` runs each once; peers (torch, jax) are measured where they are installed.

asv forks one process for each row from one that has imported this package: the peers are imported here, once, and not by
each row.  None starts a thread by being imported."""
import os

# A first call is to be a first call: nothing is taken from, or left in, the user's cache.
os.environ["JITGRAD_CACHE"] = "off"
# One thread, where a benchmark does not say otherwise; JAX reads this once.
os.environ["XLA_FLAGS"] = os.environ.get("XLA_FLAGS", "") + " --xla_cpu_multi_thread_eigen=false"
os.environ["NPROC"] = "1"

from importlib import import_module  # noqa: E402
from importlib.util import find_spec  # noqa: E402

for peer in ("torch", "jax"):
    if find_spec(peer):
        import_module(peer)
