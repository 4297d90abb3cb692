"""Maintenance agents: lease keeper, rescuer, cleaner, publisher, recorder, watchdog."""
