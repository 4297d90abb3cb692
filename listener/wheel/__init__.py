"""A hierarchical timer wheel over integers and opaque keys; it imports no other package of this project."""
