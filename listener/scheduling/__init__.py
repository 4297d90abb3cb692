"""From hints and rows to jobs whose time is near: hint router, reflector, reconciler, planner, agenda, timekeeper."""
