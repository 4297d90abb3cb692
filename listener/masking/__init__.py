"""Secrets are recognised and masked before anything is logged or stored."""
