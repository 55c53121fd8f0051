"""From a loop nest to the source text of its kernel, for each target; and the kernels that are written by hand."""
