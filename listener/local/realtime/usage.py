"""Counts messages as Supabase bills them.

A broadcast costs one message, whoever sends it and even if nobody receives it, and one more for each receiver; presence
likewise. A change costs one message for each client that receives it. Joins, replies and heartbeats cost nothing.
Source: https://supabase.com/docs/guides/platform/manage-your-usage/realtime-messages
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Usage:
    """Billed messages since the server's start."""

    broadcast: int = 0
    postgres_changes: int = 0
    presence: int = 0
