"""How operators are declared: their schemas, what every call does, `out=`, methods in place, and type stubs."""
