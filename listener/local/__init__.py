"""The embedded stack: real PostgreSQL, real PostgREST and a Realtime server, on loopback, for development and tests."""
