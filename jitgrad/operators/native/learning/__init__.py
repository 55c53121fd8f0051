"""What machine code learns of operators: the key of a call, and the template of the nodes that it records."""
