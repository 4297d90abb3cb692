"""Agents that keep the table honest: lease keeper, rescuer, cleaner."""
