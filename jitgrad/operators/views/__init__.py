"""Operators that share storage: views, their layout in memory, shapes, and several views at once."""
