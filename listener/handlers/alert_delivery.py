"""A handler that sends an alert through a channel of its tenant; the evaluation of the rules makes its jobs."""

from __future__ import annotations

import json
from functools import partial
from typing import TYPE_CHECKING, Any
from uuid import UUID

import httpx
from pydantic import BaseModel, ConfigDict, ValidationError

from listener import Fail, JobContext, Retry, handler
from listener.handlers._alert_texts import DISCORD_ESCAPES, SLACK_ESCAPES, text_of, title_of
from listener.handlers._delivery import TEST_MODE
from listener.handlers._egress import private_client, public_client
from listener.handlers._http import AGENT, SUCCESS, exchange, identity_headers, raise_refusal
from listener.handlers._relays import relay, relay_to
from listener.handlers.email import MAX_SUBJECT_CHARACTERS, Mail, send_mail
from listener.masking.masker import Masker

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

HTTP_SECONDS = 15.0
MAX_DISCORD_CHARACTERS = 2000
MAX_CHAT_CHARACTERS = 3000


class Notice(BaseModel):
    """Names the row of `job_alert_deliveries`, which says what to send and to whom."""

    model_config = ConfigDict(extra="forbid")

    delivery_id: UUID


@handler("alert_delivery", timeout=60)
async def alert_delivery(job: JobContext, payload: Notice) -> dict[str, Any]:
    """Send an alert, a test or a confirmation through a channel; a broken connection is tried again."""
    if job.test_mode:
        return {**TEST_MODE, "delivery_id": str(payload.delivery_id)}
    delivery = await _call(job, "alert_delivery_v1", delivery_id=payload.delivery_id)
    if delivery["status"] != "queued":
        return {"status": delivery["status"]}
    note = partial(_call, job, "end_alert_delivery_v1", delivery_id=payload.delivery_id)
    failure: Fail | Retry
    try:
        await SENDERS[delivery["channel_kind"]](job, delivery)
    except Fail as refused:
        failure = Fail(reason=refused.reason, message=_masked(delivery["secret"], refused))
        await note(status="failed", error=failure.message)
    except Exception as error:  # noqa: BLE001 - raised below, without the secret that it may show
        failure = Retry(after=getattr(error, "after_seconds", None), message=_masked(delivery["secret"], error))
        await note(status="queued", error=failure.message)
    else:
        await note(status="sent")
        return {"status": "sent", "kind": delivery["kind"], "channel_kind": delivery["channel_kind"]}
    raise failure


async def _call(job: JobContext, function: str, **request: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON
    values = {name: str(value) for name, value in request.items()}
    answer: dict[str, Any] = (await job.client.rpc(function, {"request": values}).execute()).data
    return answer


def _masked(secret: str | None, error: Exception) -> str:
    """Return the error's text without the secret, and without the path of a secret URL."""
    path = (secret or "").partition("://")[2].partition("/")[2]
    return Masker(filter(None, (secret, path, path.partition("?")[0]))).over(str(error) or type(error).__name__)


async def _mail(job: JobContext, delivery: Mapping[str, Any]) -> None:
    """Send a mail.

    Raises:
        Fail: the address is none, or what `send_mail` raises.
        Retry: what `send_mail` raises.
    """
    # As values: a job's name or error may hold what a template would take for a placeholder.
    values = {"subject": title_of(delivery)[:MAX_SUBJECT_CHARACTERS], "text": text_of(delivery)}
    parts = {"subject": "{{ subject }}", "text": "{{ subject }}\n\n{{ text }}\n", "values": values}
    try:
        mail = Mail.model_validate({"to": [delivery["target"]], **parts})
    except ValidationError as error:
        raise Fail(reason="invalid_address", message=error.errors()[0]["msg"]) from None
    await send_mail(job, mail)


async def _webhook(job: JobContext, delivery: Mapping[str, Any]) -> None:
    """Send a signed request; https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md."""
    from standardwebhooks import Webhook  # noqa: PLC0415 - loaded when first needed

    now, message_id = job.now(), str(job.row["metadata"]["delivery_id"])
    event = {"type": f"alert.{delivery['kind']}", "timestamp": now.isoformat(), "data": delivery.get("alert") or {}}
    body = json.dumps(event, ensure_ascii=False, separators=(",", ":"))
    headers = {
        "content-type": "application/json",
        "webhook-id": message_id,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": Webhook(delivery["secret"]).sign(message_id, now, body),
    }
    await _post(job, delivery["target"], body, headers)


async def _slack(job: JobContext, delivery: Mapping[str, Any]) -> None:
    title, text = (part.translate(SLACK_ESCAPES) for part in (title_of(delivery), text_of(delivery)))
    await _post_json(job, delivery["secret"], {"text": f"*{title}*\n{text}"[:MAX_CHAT_CHARACTERS]})


async def _discord(job: JobContext, delivery: Mapping[str, Any]) -> None:
    title, text = (part.translate(DISCORD_ESCAPES) for part in (title_of(delivery), text_of(delivery)))
    content = f"**{title}**\n{text}"[:MAX_DISCORD_CHARACTERS]
    await _post_json(job, delivery["secret"], {"content": content, "allowed_mentions": {"parse": []}})


async def _apprise(job: JobContext, delivery: Mapping[str, Any]) -> None:
    """Send by Apprise: its URLs, which reach any host, are the operator's."""
    title, text = title_of(delivery), text_of(delivery)
    if delivery["secret"]:
        await relay_to(delivery["secret"], delivery["target"], title, text)
    else:
        await relay(job, delivery["target"], title, text)


async def _post_json(job: JobContext, url: str, body: object) -> None:
    await _post(job, url, json.dumps(body, ensure_ascii=False), {"content-type": "application/json"})


async def _post(job: JobContext, url: str, body: str, headers: dict[str, str]) -> None:
    """Send a request through the guard against private addresses.

    Raises:
        Fail: an answer that another attempt would get too, or a forbidden address.
        Retry: no answer, or one for now.
    """
    client = await job.shared(private_client if job.options.get("webhook_allow_private") else public_client)
    try:
        request = httpx.Request(
            "POST", url, headers={**AGENT, **identity_headers(job), **headers}, content=body.encode()
        )
    except httpx.InvalidURL as error:
        raise Fail(reason="invalid_url", message=str(error)) from None
    answer, content = await exchange(client, request, HTTP_SECONDS)
    if answer.status_code not in SUCCESS:
        raise_refusal(answer, content, job.now())


SENDERS: dict[str, Callable[[JobContext, Mapping[str, Any]], Awaitable[None]]] = {
    "email": _mail,
    "webhook": _webhook,
    "slack": _slack,
    "discord": _discord,
    "apprise": _apprise,
}
