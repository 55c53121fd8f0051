"""Stages of a kernel for CUDA: the loops of a nest that are shared out among threads in one way."""
