"""Types of what a client may insert, for other languages, generated from the handlers' payload models."""
