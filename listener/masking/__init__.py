"""Recognises and masks secrets before anything is logged or stored."""
