"""Handlers that ship with the service, one file each."""
