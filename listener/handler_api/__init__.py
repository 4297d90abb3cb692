"""The API that handlers are written against: declaration, payload, context, log."""
