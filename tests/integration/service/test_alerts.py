"""A run that fails ends in a mail, and so does its recovery; without rules nothing is evaluated."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anyio
import pytest
from anyio import to_thread
from child_listener import free_port
from mail_server import Inbox, serving
from patience import PATIENCE_SECONDS, until

import listener
from listener import Fail, JobContext, handler
from listener.masking import redaction
from listener.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.anyio
DUE = "update job_scheduler.alert_cursor set evaluated_at = least(evaluated_at, now() - interval '9.5 seconds')"
RULES = "truncate public.job_alert_rules, public.job_alert_channels, public.job_alert_deliveries cascade"
BULK = 200


@handler("breaks")
async def breaks(job: JobContext, payload: dict[str, Any]) -> None:
    """Fail while the switch is on."""
    del job, payload
    if SWITCH["on"]:
        raise Fail(reason="broken", message="it is broken")


SWITCH = {"on": True}


@pytest.fixture
def inbox() -> Iterator[Inbox]:
    """Give what the mail server keeps."""
    return Inbox()


async def settled(project: Any, service: Any, query: str) -> None:
    """Evaluate as after ten seconds, again and again, until a query gives rows."""
    with anyio.fail_after(PATIENCE_SECONDS):
        while not project.rows(query):
            project.rows(f"{DUE} returning 1")
            await service.stages.alert_evaluator.run_once()
            await anyio.sleep(0.05)


async def test_a_failure_is_mailed_and_so_is_the_recovery(embedded_stack, database_url, project, inbox, monkeypatch):
    """Many failures are one mail; the listener learns of the first rule by its heartbeat, and calls nothing before."""
    monkeypatch.setattr(redaction, "_always", redaction._always)
    project.sql.execute(RULES)
    with serving(inbox) as address:
        settings = Settings(
            supabase_url=embedded_stack.url,
            secret_key=embedded_stack.service_key,
            database_url=database_url,
            http_bind=f"127.0.0.1:{free_port()}",
            drain_seconds=0.1,
            lease_seconds=1,
            smtp_url=f"smtp://{address}",
        )
        async with listener.running(settings, handlers=["handlers", breaks]) as service:
            evaluator = service.stages.alert_evaluator
            beats = lambda: project.rows("select heartbeat_at from public.job_listeners")  # noqa: E731
            first = beats()
            await to_thread.run_sync(until, lambda: beats() != first, "another heartbeat was answered")
            assert not evaluator.is_evaluating
            project.client.table("job_alert_channels").insert({"kind": "email", "target": "ops@example.com"}).execute()
            project.client.table("job_alert_rules").insert({"condition": "failed"}).execute()
            await to_thread.run_sync(until, lambda: evaluator.is_evaluating, "a heartbeat says that there are rules")
            SWITCH["on"] = True
            jobs = project.insert_many([{"handler": "breaks", "max_attempts": 1}] * BULK)
            sent = "select 1 from public.job_alert_deliveries where status = 'sent' and kind = '{}'"
            counted = "select 1 from public.job_alerts where occurrences = {}"
            await settled(project, service, counted.format(BULK))
            await settled(project, service, sent.format("firing"))
            SWITCH["on"] = False
            for job in jobs:
                project.call("retry_job", job=job)
            await settled(project, service, sent.format("recovery"))
            alerts = project.rows("select occurrences, status from public.job_alerts")
    assert alerts == [{"occurrences": BULK, "status": "resolved"}]
    assert [message["Subject"].partition(":")[0] for _, message in inbox.mails] == ["Firing", "Recovered"]
    project.sql.execute(RULES)
