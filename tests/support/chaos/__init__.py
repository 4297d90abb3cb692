"""Chaos: a loaded stack with several listeners, faults on every road of it, and a checker of what became of each job."""
