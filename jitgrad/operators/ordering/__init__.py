"""Operators along an order of elements: running sums and extrema, sorting, quantiles, distinct values and counts."""
