"""The transactions that a query of the database saw, as PostgreSQL's `pg_snapshot` says it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All transactions before `end` were seen, but for those in `open`, none of which is before `begin`.

    It is where a poll ends and the next one begins. However long a transaction stays open, polling from here brings
    what it changed once it has ended, and nothing twice that was seen meanwhile.
    """

    begin: int
    end: int
    open: frozenset[int] = frozenset()

    @classmethod
    def before(cls, xid: int) -> Snapshot:
        """Return the snapshot that saw all transactions before `xid` and no other."""
        return cls(xid, xid)

    @classmethod
    def read(cls, text: str) -> Snapshot:
        """Read PostgreSQL's form, `xmin:xmax:xip,xip`.

        Raises:
            ValueError: it is none.
        """
        begin, end, still_open = text.split(":")
        return cls(int(begin), int(end), frozenset(map(int, still_open.split(",") if still_open else ())))

    def __str__(self) -> str:
        """Return PostgreSQL's form."""
        return f"{self.begin}:{self.end}:{','.join(map(str, sorted(self.open)))}"

    def shows(self, xid: int) -> bool:
        """Whether it saw the transaction."""
        return xid < self.end and xid not in self.open
