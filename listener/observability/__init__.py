"""Events, metrics and health: the service's reports about itself."""
