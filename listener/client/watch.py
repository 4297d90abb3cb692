"""Watches the statuses of a job: Realtime reports changes, the table decides."""

from __future__ import annotations

from contextlib import aclosing
from typing import TYPE_CHECKING, TypeAlias

from anyio.from_thread import start_blocking_portal

from listener.client.changes import Receiver
from listener.client.errors import JobNotFound, Unreachable
from listener.client.models import FINAL

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator

    from listener.client.access import Address
    from listener.client.models import Job
    from listener.domain.status import JobStatus

    Reader: TypeAlias = Callable[[int | str], Awaitable[Job | None]]

STALE_SECONDS = 1.0
"""How often the row is read while Realtime does not deliver."""
RECEIVING_SECONDS = 15.0
"""How often the row is read although Realtime delivers: Realtime delivers a change at most once."""


class Watch:
    """An asynchronous iterator of a job's statuses: the present one first, then each new one, up to a final one.

    Realtime is subscribed before the row is first read, so that no change in between is lost. Without Realtime the
    row is read once a second; a status that lasts less than a second may then be missed.

    Args:
        job: the job's `id` or `job_id`.
        read: returns the job as it is now.
        address: the project, and the identity.

    Attributes:
        job: the job as last read; of a final status, with its result.
    """

    def __init__(self, job: int | str, read: Reader, address: Callable[[], Address]) -> None:
        self._named, self._read, self._address = job, read, address
        self.job: Job | None = None

    def __aiter__(self) -> AsyncIterator[JobStatus]:
        """Begin to watch."""
        return self.statuses()

    async def statuses(self) -> AsyncGenerator[JobStatus, None]:
        """Yield the statuses; `aclosing` it ends the watch at once where a loop is left early.

        Raises:
            JobNotFound: there is no such job for the caller, or no longer.
            JobFault: the row could not be read at the beginning.
        """
        job = await self._look(self._named)
        told: JobStatus | None = None
        receiver = Receiver(self._address, job.id)
        try:
            if not job.is_final:  # else there is nothing to wait for
                await receiver.connect()
                job = await self._look(job.id)
            status = job.status
            while True:
                if status is not told:
                    told = status
                    yield status
                if status in FINAL:
                    return
                status = await self._following(receiver, job.id, status)
        finally:
            await receiver.close()

    async def _following(self, receiver: Receiver, job: int, status: JobStatus) -> JobStatus:
        """Return the next status from Realtime or from the row; the present one when there is no news."""
        is_new = await receiver.connect()
        change = None if is_new else await receiver.next(RECEIVING_SECONDS if receiver.receiving else STALE_SECONDS)
        is_news = change is not None and self.job is not None and change.at >= self.job.updated_at
        if change is not None and is_news and change.status not in FINAL:
            return change.status
        try:  # a change that is older than the row, a missed one, or the end: read the row
            found = await self._look(job)
        except Unreachable:
            return status
        return change.status if change is not None and is_news else found.status

    async def _look(self, job: int | str) -> Job:
        self.job = await self._read(job)
        if self.job is None:
            message = f"no job {job!r} that you may see"
            raise JobNotFound(message)
        return self.job


class BlockingWatch(Watch):
    """A `Watch` that a plain `for` can iterate over too; an event loop in a thread of its own receives meanwhile."""

    def __iter__(self) -> Iterator[JobStatus]:
        """Begin to watch."""
        with (
            start_blocking_portal() as portal,
            portal.wrap_async_context_manager(aclosing(self.statuses())) as statuses,
        ):
            while (status := portal.call(anext, statuses, None)) is not None:
                yield status
