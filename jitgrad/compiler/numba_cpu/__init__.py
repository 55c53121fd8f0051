"""From a kernel's source to machine code on the CPU: Numba, the kernel vocabulary, LLVM, the cache on disk."""
