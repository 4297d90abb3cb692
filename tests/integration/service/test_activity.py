"""A listener counts what it ran, and says in its heartbeat what it is."""

from __future__ import annotations

from importlib.metadata import version

import pytest
from anyio import to_thread
from child_listener import free_port
from patience import until

import listener
from listener.masking import redaction
from listener.settings import Settings

pytestmark = pytest.mark.anyio


async def test_a_run_appears_in_the_figures_of_its_hour(embedded_stack, database_url, project, monkeypatch):
    """With the handler and how long it took; the listener shows its version and how many runs it may have."""
    monkeypatch.setattr(redaction, "_always", redaction._always)
    settings = Settings(
        supabase_url=embedded_stack.url,
        secret_key=embedded_stack.service_key,
        database_url=database_url,
        http_bind=f"127.0.0.1:{free_port()}",
        drain_seconds=0.1,
        concurrency=17,
    )
    async with listener.running(settings, handlers=["handlers"]) as service:
        job = project.insert(handler="noop", metadata={"result": 1})
        await to_thread.run_sync(project.wait, job)
        figures = lambda: project.rows("select handler, completed, duration_ms > 0 as took from public.job_activity")  # noqa: E731
        while not figures():  # a transaction of others may be open
            await service.stages.activity_counter.run_once()
        assert figures() == [{"handler": "noop", "completed": 1, "took": True}]
        query = "select version, capacity, lease_seconds from public.job_listeners"
        rows = await to_thread.run_sync(until, lambda: project.rows(query), "a heartbeat was written")
        assert rows == [{"version": version("supabase-job-listener"), "capacity": 17, "lease_seconds": 30.0}]
