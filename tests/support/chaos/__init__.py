"""Chaos: a loaded stack, faults on every road of it, and a checker of what became of each job."""
