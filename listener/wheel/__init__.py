"""A hierarchical timer wheel over integers and opaque keys; it imports nothing of ours."""
