"""Rows of other tables become desired jobs."""
