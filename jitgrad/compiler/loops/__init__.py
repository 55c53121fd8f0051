"""Loops of a recorded graph, compiled as loops: what repeats, bodies and their derivatives, memory, tables for one native loop."""
