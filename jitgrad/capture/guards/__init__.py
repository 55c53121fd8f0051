"""Guards of captured functions: which reads are understood, and the tests that a replay makes of what was read."""
