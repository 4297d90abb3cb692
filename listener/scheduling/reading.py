"""Reads jobs by id for the reconciler, in as many requests as it takes."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from listener.ports import Clock, JobStore
    from listener.scheduling.reconciler import Reconciler

PAGE = 1000
"""Jobs that are read in one request, at most."""


async def read_jobs(ids: Sequence[int], store: JobStore, reconciler: Reconciler, clock: Clock) -> None:
    """Read these jobs, and pass on each page as part of a list.

    Raises:
        StoreError: a request failed; those before it were passed on.
    """
    begin = 0
    while begin < len(ids):
        requested_at = clock.monotonic()
        page = await store.read(ids[begin : begin + PAGE])
        reconciler.apply(page.jobs, requested_at, listed=True)
        begin += page.after if isinstance(page.after, int) else PAGE
