"""Derivatives in forward mode and of batches, by transforming what was recorded."""
