"""From a captured graph to machine code."""
