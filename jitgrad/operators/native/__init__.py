"""Recording in machine code: what a call of an operator does when one like it has been recorded before.

What users call of an operator is an entry point (entry_points.py), a built-in function that at first only forwards to its Python
function.  Once a program repeats its gradients, entry points are given the machine code of record.py: it looks the call up in
a table of the operator, and follows the template found there (learning/), which makes the nodes and the result; any other call is
forwarded as before.  The Python functions stay the reference, and all there is where objects cannot be read by address.
"""
