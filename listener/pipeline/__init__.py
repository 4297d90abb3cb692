"""The way of one row: reflector, reconciler, timekeeper, dispatcher, executor, completer."""
