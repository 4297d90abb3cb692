"""Converts the answers of polls and lists into pages."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, Any

from listener.domain.messages import Page
from listener.domain.snapshot import Snapshot
from listener.supabase import rows
from listener.supabase.hints import read_signal

if TYPE_CHECKING:
    from collections.abc import Mapping


def page(answer: Mapping[str, Any]) -> Page:
    """Read `{rows, cursor, after}`, and what some add.

    That is `{once, snapshot, signals, muted_until, notify_muted_until, spared_until}`.
    """
    return Page(
        rows.readable(chain(rows.table(answer.get("once", {})), answer["rows"]), rows.job),
        answer["cursor"],
        answer["after"],
        tuple(read_signal("poll", message) for message in answer.get("signals", ())),
        snapshot(answer),
        rows.instant(answer.get("muted_until")),
        rows.instant(answer.get("notify_muted_until")),
        rows.instant(answer.get("spared_until")),
    )


def snapshot(answer: Mapping[str, Any]) -> Snapshot | None:
    """Read which transactions the answer saw; None where an older database does not say."""
    return Snapshot.read(answer["snapshot"]) if "snapshot" in answer else None
