"""The listener's own connections to PostgreSQL, in place of PostgREST: `LISTENER_DATABASE_URL`."""
