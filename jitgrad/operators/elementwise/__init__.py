"""Operators element by element, of one operand, two or three."""
