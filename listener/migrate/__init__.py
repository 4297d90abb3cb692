"""Applies migrations in order, each exactly once."""
