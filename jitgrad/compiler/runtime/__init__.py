"""From lengths to memory, chunks and one call."""
