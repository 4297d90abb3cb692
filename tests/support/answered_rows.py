"""The rows in answers of the service's functions, which give many rows column by column."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from listener.supabase.rows import table

if TYPE_CHECKING:
    from collections.abc import Mapping


def runs_of(answer: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Read the runs that `claim_runs_v1` granted."""
    return list(table(answer["runs"]))


def jobs_of(answer: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Read the jobs of a poll or of `jobs_v1`: one-time jobs first."""
    return [*table(answer["once"]), *answer["rows"]]
