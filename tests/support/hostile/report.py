"""The table of what each attack did to the neighbour."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from measured_page import shown

if TYPE_CHECKING:
    from hostile.neighbour import Punctuality

NOW_SECONDS, LATER_SECONDS = 0.5, 0.1
"""The limits of a neighbour's p99 on two idle cores: for a job due now, and for one due in two seconds."""


@dataclass(frozen=True)
class Finding:
    """One attack: what it did in words, the neighbour's figures, and how often `/readyz` was not ok."""

    attack: str
    did: str
    seen: Punctuality
    not_ready: int
    probes: int

    @property
    def is_held(self) -> bool:
        """Whether nobody starved and the neighbour's jobs started on time."""
        on_time = self.seen.p99("now") <= NOW_SECONDS and self.seen.p99("later") <= LATER_SECONDS
        return on_time and not self.seen.starved


def table(findings: list[Finding]) -> str:
    """Return the table in Markdown."""
    head = "| attack | what it did | due now: p50 / p99 | due in 2 s: p50 / p99 | starved | `/readyz` not ok |"
    lines = [head, "|---|---|---:|---:|---:|---:|"]
    for each in findings:
        now, later = (f"{shown(each.seen.p50(kind))} / {shown(each.seen.p99(kind))}" for kind in ("now", "later"))
        ready = f"{each.not_ready} of {each.probes}"
        lines.append(f"| {each.attack} | {each.did} | {now} | {later} | {each.seen.starved} | {ready} |")
    return "\n".join(lines) + "\n"
