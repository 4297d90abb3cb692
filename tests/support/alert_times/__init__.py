"""Failures of a real listener's runs, and when their mails arrive."""
