"""What was found, and how to fix it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report; with `fix` it is something wrong."""

    subject: str
    what: str
    fix: str | None = None

    @property
    def is_well(self) -> bool:
        """Whether there is nothing to fix."""
        return self.fix is None
