"""Texts of alerts: a subject line, and the lines of a mail or a chat message."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

WORDS = {"firing": "Firing", "repeat": "Still firing", "recovery": "Recovered"}
MAX_TITLE_CHARACTERS = 200
SLACK_ESCAPES = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})
"""https://docs.slack.dev/messaging/formatting-message-text#escaping: else a job's name could mention everybody."""
DISCORD_ESCAPES = str.maketrans({mark: f"\\{mark}" for mark in "\\*_~`|#[]<>"})
"""https://support.discord.com/hc/en-us/articles/210298617: else an error could show a link as another's."""


def title_of(delivery: Mapping[str, Any]) -> str:
    """Return one line that says what happened to what."""
    kind, alert = delivery["kind"], delivery.get("alert")
    if kind == "confirmation":
        return "Confirm this address for alerts"
    if kind == "test" or not alert:
        return "Test of an alert channel"
    line = f"{WORDS[kind]}: {_subject(alert)}: {alert['message'] or alert['condition']}"
    return " ".join(line.split())[:MAX_TITLE_CHARACTERS]


def text_of(delivery: Mapping[str, Any]) -> str:
    """Return the lines below the title, each a fact; none where the title says it all."""
    kind, alert = delivery["kind"], delivery.get("alert")
    if kind == "confirmation":
        return (
            f"The code is {delivery['code']}\n\n"
            "Somebody entered this address for alerts of jobs that fail. Enter the code there, or ignore this mail: "
            "without the code nothing more is sent here."
        )
    if kind == "test" or not alert:
        return f"The channel {delivery.get('channel_name') or delivery['channel_kind']} works."
    facts = {
        "Rule": alert["rule"]["name"] or alert["condition"],
        "Occurrences": alert["occurrences"],
        "First": alert["first_at"],
        "Last": alert["last_at"],
        "Resolved": alert["resolved_at"],
        "Last job": _job(alert),
        "Last run": alert["last_execution_id"],
        "Reason": alert["reason"],
        "Error": alert["error"],
        "Alert": alert["id"],
    }
    return "\n".join(f"{name}: {_indented(value)}" for name, value in facts.items() if value is not None)


def _indented(value: object) -> str:
    """Return a fact whose further lines nobody takes for facts: names and errors have any text."""
    return "\n    ".join(str(value).splitlines())


def _subject(alert: Mapping[str, Any]) -> str:
    if alert["subject"].startswith("job:"):
        return _job(alert) or str(alert["subject"])
    return f"handler {alert['handler']}" if alert["handler"] else "all jobs"


def _job(alert: Mapping[str, Any]) -> str | None:
    job = alert["job"]
    return f"{job['name'] or job['job_id']} (job {job['id']})" if job else None
