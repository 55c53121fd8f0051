"""Memory of CUDA devices: what drives one, where its memory comes from, arrays on it."""
