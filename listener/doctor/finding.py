"""A finding of `listener doctor`, and how to fix it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report; a finding with `fix` reports a fault."""

    subject: str
    what: str
    fix: str | None = None

    @property
    def is_well(self) -> bool:
        """Whether there is nothing to fix."""
        return self.fix is None
