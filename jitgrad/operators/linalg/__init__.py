"""Operators of linear algebra: what torch.linalg has, and the functions of torch that multiply, contract and solve."""
