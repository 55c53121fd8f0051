"""Nodes become values of symbolic shape: views are index arithmetic, equal applications one value; and the kernel IR."""
