"""Shows what came of a chaos run: in the terminal, and as the table in the documentation."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from measured_page import shown

if TYPE_CHECKING:
    from chaos.run import Outcome

EXAMPLES = 5
HEAD = "| fault | times | from its end to the first start on time | greatest lateness until 5 s after its end |"


def summary(outcome: Outcome) -> str:
    """Give the report in Markdown."""
    plan = outcome.plan
    runs = ", ".join(f"{count:,} {status}" for status, count in sorted(outcome.statuses.items()))
    disk = "a real full file system" if outcome.is_disk_real else "the error raised by a trigger"
    asked = (
        f"`make chaos`: {plan.jobs:,} jobs of all triggers on {plan.replicas} listeners in {plan.seconds / 60:.3g} "
        f"minutes, {len(outcome.incidents)} faults, one every {plan.every:g} s, seed {plan.seed}; leases of 6 s, "
        f"rescue every 2 s; the disk was full by {disk}."
    )
    got = (
        f"{sum(outcome.statuses.values()):,} ledger rows ({runs}), {outcome.runs:,} handlers called, "
        f"{outcome.reruns:,} runs lost with their listener and run again, "
        f"{outcome.clients['retried']:,} requests of clients repeated."
    )
    result = (
        f"**Violations: {len(outcome.violations)}.** Lateness over the whole run, faults included: p50 "
        f"{shown(outcome.late_p50)}, p99 {shown(outcome.late_p99)}, most {shown(outcome.late_most)}; earliest start "
        f"{shown(outcome.earliest)} after its due instant."
    )
    lines = [asked, "", got, result, "", HEAD, "|---|---:|---:|---:|"]
    lines += [
        f"| {each.name} | {each.times} | {shown(each.recovery)} | {shown(each.latest)} |" for each in outcome.recoveries
    ]
    return "\n".join(lines) + "\n"


def broken_promises(outcome: Outcome) -> str:
    """List the violations by kind, with examples."""
    kinds: dict[str, list[str]] = defaultdict(list)
    for violation in outcome.violations:
        kinds[violation.kind].append(violation.subject)
    lines = []
    for kind, subjects in sorted(kinds.items()):
        lines.append(f"{len(subjects):6} {kind}")
        lines += [f"         {subject}" for subject in subjects[:EXAMPLES]]
    return "\n".join(lines)
