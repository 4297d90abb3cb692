"""A handler that a user adds to the image."""
