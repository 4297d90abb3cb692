"""The handler `newsletter`; it runs in the listener, with LISTENER_HANDLERS=handlers,newsletter_jobs."""
