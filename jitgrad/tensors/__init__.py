"""Tensors: handles on nodes, the memory that they share, views of it, and what a write does."""
