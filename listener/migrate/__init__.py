"""Migrations are applied in order, each exactly once."""
