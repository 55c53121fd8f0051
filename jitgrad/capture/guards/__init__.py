"""What a captured function reads, and the tests that tell whether it would read the same again."""
