"""A small file system for the ledger, which can be filled up.

Where this process may mount one, the ledger lies in a tablespace on a tmpfs, and PostgreSQL itself runs out of space.
Elsewhere a trigger raises the very error (53100) at each new ledger row: what the service sees is the same, what
PostgreSQL goes through is not.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

from anyio import to_thread

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from chaos.database import Database

CHUNK = bytes(1 << 20)
PRETEND = """
create or replace function chaos.no_space() returns trigger language plpgsql as $$
begin
    raise exception 'could not extend file: No space left on device' using errcode = '53100';
end
$$;
create or replace trigger chaos_no_space before insert on public.job_executions
for each row execute function chaos.no_space();
"""


@dataclass
class Disk:
    """Where the ledger lies; `is_real` says whether space really runs out."""

    folder: Path
    is_real: bool

    async def hold_the_ledger(self, database: Database) -> None:
        """Move the ledger here."""
        if not self.is_real:
            return
        await database.rows(f"create tablespace small location '{self.folder / 'space'}'")
        await database.rows("alter table public.job_executions set tablespace small")
        await database.rows("alter index public.job_executions_pkey set tablespace small")

    async def fill(self, database: Database) -> None:
        """Fill the disk."""
        if self.is_real:
            await to_thread.run_sync(self._fill)
        else:
            await database.rows(PRETEND)

    async def clear(self, database: Database) -> None:
        """Free the space again."""
        if self.is_real:
            (self.folder / "filler").unlink(missing_ok=True)
        else:
            await database.rows("drop trigger if exists chaos_no_space on public.job_executions")

    def _fill(self) -> None:
        with (self.folder / "filler").open("wb", buffering=0) as filler, contextlib.suppress(OSError):
            while True:
                filler.write(CHUNK)


@contextlib.contextmanager
def small_disk(folder: Path, owner: tuple[int, int] | None, megabytes: int) -> Iterator[Disk]:
    """Mount a tmpfs if that is possible, until the block is left."""
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m,mode=755", "tmpfs", str(folder)]
    is_real = os.geteuid() == 0 and subprocess.run(command, check=False, capture_output=True).returncode == 0
    try:
        space = folder / "space"
        space.mkdir()
        if owner is not None:
            os.chown(space, *owner)
        yield Disk(folder, is_real)
    finally:
        if is_real:
            subprocess.run(["umount", "-l", str(folder)], check=False, capture_output=True)
