"""A run that fails ends in a mail, and so does its recovery; without rules nothing is evaluated."""

from __future__ import annotations

import re
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import anyio
import httpx
import pytest
from anyio import to_thread
from anyio.abc import SocketAttribute
from child_listener import free_port
from http_endpoint import Endpoint
from mail_server import Inbox, serving
from patience import PATIENCE_SECONDS, until

import listener
from listener import Fail, JobContext, handler
from listener.local.keys import user_id
from listener.masking import redaction
from listener.settings import Settings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

pytestmark = pytest.mark.anyio
DUE = "update job_scheduler.alert_cursor set evaluated_at = least(evaluated_at, now() - interval '9.5 seconds')"
RULES = "truncate public.job_alert_rules, public.job_alert_channels, public.job_alert_deliveries cascade"
OF_USER = "insert into public.scheduled_jobs (handler, max_attempts, created_by) values ('breaks', 1, %s)"
SENT = "select 1 from public.job_alert_deliveries where status = 'sent' and kind = '{}'"
BULK = 200
READABLE = ("scheduled_jobs", "job_executions", "job_execution_logs", "job_alert_deliveries", "job_alert_channels")


@handler("breaks")
async def breaks(job: JobContext, payload: dict[str, Any]) -> None:
    """Fail while the switch is on."""
    del job, payload
    if SWITCH["on"]:
        raise Fail(reason="broken", message="it is broken")


SWITCH = {"on": True}
KEY = "whsec_" + "c2VjcmV0" * 4
MESSAGES = 5


@pytest.fixture
def inbox() -> Iterator[Inbox]:
    """Give what the mail server keeps."""
    return Inbox()


@pytest.fixture
async def service(
    embedded_stack: Any, database_url: str | None, project: Any, inbox: Inbox, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Any]:
    """Run a listener that has a mail server, in this process, on a project without rules."""
    monkeypatch.setattr(redaction, "_always", redaction._always)
    project.sql.execute(RULES)
    with serving(inbox) as address:
        settings = Settings(
            supabase_url=embedded_stack.url,
            secret_key=embedded_stack.service_key,
            database_url=database_url,
            http_bind=f"127.0.0.1:{free_port()}",
            drain_seconds=0.1,
            lease_seconds=3,  # a heartbeat a second; a busy machine must not lose a lease
            smtp_url=f"smtp://{address}",
            webhook_allow_private=True,
        )
        async with listener.running(settings, handlers=["handlers", breaks]) as service:
            yield service
    project.sql.execute(RULES)


@asynccontextmanager
async def signed_in(stack: Any, name: str) -> AsyncIterator[httpx.AsyncClient]:
    """Give the API as a user sees it."""
    headers = {"apikey": stack.anon_key, "authorization": f"Bearer {stack.user_token(name)}"}
    headers["prefer"] = "return=representation"
    async with httpx.AsyncClient(base_url=f"{stack.url}/rest/v1", headers=headers, timeout=20) as client:
        yield client


async def settled(project: Any, service: Any, query: str) -> None:
    """Evaluate as after ten seconds, again and again, until a query gives rows."""
    with anyio.fail_after(PATIENCE_SECONDS):
        while not project.rows(query):
            project.rows(f"{DUE} returning 1")
            await service.stages.alert_evaluator.run_once()
            await anyio.sleep(0.05)


async def test_a_failure_is_mailed_and_so_is_the_recovery(project, inbox, service):
    """Many failures are one mail; the listener learns of the first rule by its heartbeat, and calls nothing before."""
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
    counted = "select 1 from public.job_alerts where occurrences = {}"
    await settled(project, service, counted.format(BULK))
    await settled(project, service, SENT.format("firing"))
    SWITCH["on"] = False
    await to_thread.run_sync(lambda: [project.call("retry_job", job=job) for job in jobs])
    await settled(project, service, SENT.format("recovery"))
    alerts = project.rows("select occurrences, status from public.job_alerts")
    assert alerts == [{"occurrences": BULK, "status": "resolved"}]
    assert [message["Subject"].partition(":")[0] for _, message in inbox.mails] == ["Firing", "Recovered"]


async def test_an_address_gets_nothing_but_its_code_which_nobody_else_reads(embedded_stack, project, inbox, service):
    """No table of the API shows it, no other user may give it, and it confirms no other channel or address."""
    SWITCH["on"] = True
    key = {"authorization": f"Bearer {embedded_stack.service_key}"}
    async with signed_in(embedded_stack, "alice") as alice, signed_in(embedded_stack, "bob") as bob:

        async def add(target: str) -> str:
            answer = await alice.post("/job_alert_channels", json={"kind": "email", "target": target})
            return answer.raise_for_status().json()[0]["id"]

        async def confirm(user: httpx.AsyncClient, channel: str) -> Any:
            return (await user.post("/rpc/confirm_alert_channel", json={"channel": channel, "code": code})).json()

        channel = await add("ada@example.com")
        (await alice.post("/job_alert_rules", json={"condition": "failed"})).raise_for_status()
        project.sql.execute(OF_USER, [user_id("alice")])
        await settled(project, service, "select from public.job_alert_deliveries where error ~ 'not confirmed'")
        await settled(project, service, SENT.format("confirmation"))
        ((recipients, message),) = inbox.mails
        (code,) = re.findall(r"The code is ([0-9A-F]{8})\b", message.get_content())
        assert recipients == ["ada@example.com"]
        shown = [(await alice.get(f"/{table}", headers=role)).text for table in READABLE for role in ({}, key)]
        assert "confirmation" in str(shown)
        assert [text for text in shown if code in text.upper()] == []
        assert "no channel" in str(await confirm(bob, channel))
        assert await confirm(alice, await add("eve@example.com")) is False
        assert await confirm(alice, channel) is True
        change = {"target": "mallory@example.com"}
        (await alice.patch("/job_alert_channels", params={"id": f"eq.{channel}"}, json=change)).raise_for_status()
        assert await confirm(alice, channel) is False


async def test_messages_to_one_url_go_one_after_the_other(project, service):
    """A receiver that takes its time, or never answers, takes one connection of those for all tenants."""
    SWITCH["on"] = True
    receiver = Endpoint(delay_seconds=0.2)
    server = await anyio.create_tcp_listener(local_host="127.0.0.1")
    async with server, anyio.create_task_group() as group:
        group.start_soon(server.serve, receiver.serve)
        url = f"http://127.0.0.1:{server.extra_attributes[SocketAttribute.local_port]()}/"
        channel = {"kind": "webhook", "target": url, "secret": KEY}
        project.client.table("job_alert_channels").insert(channel).execute()
        project.client.table("job_alert_rules").insert([{"condition": "failed"}] * MESSAGES).execute()
        project.insert("breaks", max_attempts=1)
        sent = "select from public.job_alert_deliveries where status = 'sent' having count(*) = {}"
        await settled(project, service, sent.format(MESSAGES))
        assert (len(receiver.requests), receiver.connections) == (MESSAGES, 1)
        group.cancel_scope.cancel()
