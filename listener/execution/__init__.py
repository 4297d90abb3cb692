"""From due jobs to written results: dispatcher, executor, completer, and what they are made of."""
