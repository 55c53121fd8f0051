"""What an array is made of: dtypes, devices, and types of arrays."""
