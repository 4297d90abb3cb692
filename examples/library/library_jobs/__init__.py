"""The library's eight jobs; they run in the listener, with LISTENER_HANDLERS=handlers,library_jobs."""
