"""How operators are declared: their schemas, what every call does, `out=` and methods in place."""
