"""Everything that this project raises on purpose, each error built from the facts that it reports."""

from __future__ import annotations


class ListenerError(Exception):
    """Base of every error raised on purpose."""


class InvalidValueError(ListenerError, ValueError):
    """Input that names its field, the value and what is allowed instead."""

    def __init__(self, field: str, value: object, allowed: str) -> None:
        self.field, self.value, self.allowed = field, value, allowed
        super().__init__(f"{field}: {value!r} is not allowed; expected {allowed}")
