"""Long graphs: what of them repeats, and where they are cut."""
