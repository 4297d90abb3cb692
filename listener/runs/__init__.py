"""Claimed runs, which scheduling and execution share."""
