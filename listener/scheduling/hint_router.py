"""The hint router hands each hint to the stage that follows the hint's table.

Takes hints, from the feed's sessions and from polls. Gives each to the one receiver of its table. Guarantees that a
hint about a table without a receiver is ignored: an older or newer database may send some.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from listener.domain.messages import Hint


class HintRouter:
    """Receivers of hints, by table."""

    def __init__(self) -> None:
        self._receivers: dict[str, Callable[[Hint], object]] = {}

    @property
    def tables(self) -> tuple[str, ...]:
        """The tables that have a receiver."""
        return tuple(self._receivers)

    def register(self, table: str, receiver: Callable[[Hint], object]) -> None:
        """Let `receiver` take the hints of `table`."""
        self._receivers[table] = receiver

    def deliver(self, hint: Hint) -> None:
        """Hand a hint to its receiver; a table without a receiver is no error."""
        receiver = self._receivers.get(hint.table)
        if receiver is not None:
            receiver(hint)
