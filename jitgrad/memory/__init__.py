"""Memory for results, and threads for large work."""
