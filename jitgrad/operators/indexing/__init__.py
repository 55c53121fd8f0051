"""Reading and writing at indices and positions."""
