"""The schedulers: the operations, blocking and asynchronous."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self, TypeVar

from anyio import to_thread
from supabase import AsyncClient, Client

from listener.client import job_creation, jobs, ledger
from listener.client.access import address_of, expect, make_client
from listener.client.columns import Defaults, JobSchedulerConfig
from listener.client.drive import Caller, operation
from listener.client.watch import BlockingWatch, Watch

if TYPE_CHECKING:
    from types import TracebackType
    from uuid import UUID

    from listener.client.jobs import JobRef
    from listener.client.models import Job

C = TypeVar("C", bound=Client | AsyncClient)


class Scheduler(Caller[C]):
    """The operations of both schedulers."""

    schedule_job = operation(job_creation.schedule_job)
    schedule_one_time_job = operation(job_creation.schedule_one_time_job)
    schedule_recurring = operation(job_creation.schedule_recurring)
    schedule_reminder = operation(job_creation.schedule_reminder)
    schedule_notification = operation(job_creation.schedule_notification)
    get_job = operation(jobs.find_job)
    list_jobs = operation(jobs.list_jobs)
    get_jobs_by_status = operation(jobs.get_jobs_by_status)
    update_job = operation(jobs.update_job)
    delete_job = operation(jobs.delete_job)
    cancel_job = operation(jobs.cancel_job)
    pause_job = operation(jobs.pause_job)
    resume_job = operation(jobs.resume_job)
    retry_job = operation(jobs.retry_job)
    run_job_now = operation(jobs.run_job_now)
    get_execution = operation(ledger.get_execution)
    get_history = operation(ledger.get_history)
    get_logs = operation(ledger.get_logs)
    get_statistics = operation(ledger.get_statistics)


class SupabaseJobScheduler(Scheduler[Client]):
    """Schedules jobs on a stock `supabase.Client`, under the caller's own rights; each call blocks until answered.

    Args:
        config: what every job has; see `JobSchedulerConfig`.
        timezone: of schedules, and of instants without an offset; by default UTC, with a warning for the latter.
        client: the caller's own; it is left open.
        url: the project's, for a client of the scheduler's own; by default the environment's `SUPABASE_URL`.
        key: its key; by default the environment's.
        access_token: the JWT of a signed-in user, for a client of the scheduler's own.
        workspace_id: where its jobs go, and where it looks for them.

    SettingsError: a value is neither given nor in the environment.
        SettingsError: the environment does not say what was not given.
        InvalidValueError: `client` is an `AsyncClient`.
    """

    def __init__(  # noqa: PLR0913 - each is one keyword of the call
        self,
        config: JobSchedulerConfig | None = None,
        timezone: str | None = None,
        *,
        client: Client | None = None,
        url: str | None = None,
        key: str | None = None,
        access_token: str | None = None,
        workspace_id: UUID | str | None = None,
    ) -> None:
        self._own_client = client is None
        client = client or make_client(url, key, access_token, asynchronous=False)
        expect(client, Client, "AsyncSupabaseJobScheduler")
        super().__init__(client, Defaults(config or JobSchedulerConfig(), timezone, workspace_id))

    def watch(self, job: JobRef) -> BlockingWatch:
        """Return the job's statuses as they come, for `for` and `async for`; see `Watch`."""

        async def read(named: int | str) -> Job | None:
            return await to_thread.run_sync(self.get_job, named)

        return BlockingWatch(jobs.name_of(job), read, lambda: address_of(self.client))

    def close(self) -> None:
        """Close the connections of a client that the scheduler made."""
        if self._own_client and self.client.options.httpx_client:
            self.client.options.httpx_client.close()

    def __enter__(self) -> Self:
        """Return the scheduler; it is closed at the end."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close."""
        self.close()


class AsyncSupabaseJobScheduler(Scheduler[AsyncClient]):
    """Schedules jobs on a stock `supabase.AsyncClient`: every operation is awaited. Takes and raises the same."""

    def __init__(  # noqa: PLR0913 - each is one keyword of the call
        self,
        config: JobSchedulerConfig | None = None,
        timezone: str | None = None,
        *,
        client: AsyncClient | None = None,
        url: str | None = None,
        key: str | None = None,
        access_token: str | None = None,
        workspace_id: UUID | str | None = None,
    ) -> None:
        self._own_client = client is None
        client = client or make_client(url, key, access_token, asynchronous=True)
        expect(client, AsyncClient, "SupabaseJobScheduler")
        super().__init__(client, Defaults(config or JobSchedulerConfig(), timezone, workspace_id))

    def watch(self, job: JobRef) -> Watch:
        """Return the job's statuses as they come, for `async for`; see `Watch`."""
        return Watch(jobs.name_of(job), self.get_job, lambda: address_of(self.client))

    async def aclose(self) -> None:
        """Close the connections of a client that the scheduler made."""
        if self._own_client and self.client.options.httpx_client:
            await self.client.options.httpx_client.aclose()

    async def __aenter__(self) -> Self:
        """Return the scheduler; it is closed at the end."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close."""
        await self.aclose()
