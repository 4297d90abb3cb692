"""Attacks of hostile users and careless handlers, each beside a neighbour whose jobs must start on time."""
