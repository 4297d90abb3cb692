"""Types of what a client may insert, for other languages, from the handlers' payload models."""
