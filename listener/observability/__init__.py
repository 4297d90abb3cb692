"""Events, metrics and health: how the service reports on itself."""
