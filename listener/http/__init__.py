"""The service's own port: livez, readyz, metrics, debug."""
