"""Backward: the engine, what is recorded of derivatives, hooks, and what grad_fn shows of a graph."""
