"""asv benchmarks.  `asv run --quick` runs each once; peers (torch, jax) are measured where they are installed."""
import os

# A first call is to be a first call: nothing is taken from, or left in, the user's cache.
os.environ["JITGRAD_CACHE"] = "off"
