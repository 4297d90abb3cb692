"""The commands of the console script, one module each; `listener.cli` imports the one that is called."""
