"""Calls of a captured function without the function."""
