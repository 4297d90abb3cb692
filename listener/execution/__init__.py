"""From due jobs to written results: dispatcher, claimer, executor, completer, and their parts."""
