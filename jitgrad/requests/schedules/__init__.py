"""Schedules: a graph cut where Python has to be called, its compiled segments, and running both in order."""
