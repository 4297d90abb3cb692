"""Preview of a schedule: its next runs, and the rule in words."""
