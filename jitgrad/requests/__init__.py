"""Requests for values and gradients of recorded graphs, and what serves them."""
