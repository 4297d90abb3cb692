"""An app with meetings: it makes no job itself, starts whatever their state is, and hears of each that has ended."""
