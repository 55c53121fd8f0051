"""From a captured graph to machine code.  From the top layer down:

    build.py      the passes, in order; targets.py: for which target
    numba_cuda/   kernel source -> launches, by numba.cuda
    fusion/       which values share a loop nest, and the nest itself
    runtime/      lengths -> memory, chunks, one call; matrix products
    program.py    what callers see
    codegen/      nests -> kernel source; kernels written by hand
    numba_cpu/    kernel source -> object code by Numba; vector maths; cache on disk
    ir/           nodes -> values of symbolic shape; the kernel IR and the steps
"""
