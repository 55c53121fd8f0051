"""jitgrad."""
