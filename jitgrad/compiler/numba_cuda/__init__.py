"""From the source text of a kernel to a launch, by numba.cuda."""
