"""The graph: nodes, how they are recorded, templates of stretches of it.  Pure: nothing here knows tensors or compilers."""
