"""From hints and rows to jobs whose time is near: reflector, reconciler, planner, agenda, timekeeper."""
