"""Operators of nn.functional alone: activation functions, softmax and losses."""
