"""A handler that sends a text message through a provider with Twilio's interface."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any

import httpx
from pydantic import BaseModel, ConfigDict, Field

from listener import JobContext, handler
from listener.handlers._delivery import TEST_MODE, once, setting
from listener.handlers._http import SUCCESS, exchange, identity_headers, parsed, provider_client, raise_refusal

MAX_MESSAGE_CHARACTERS = 1600
"""Twilio's limit."""
TIMEOUT_SECONDS = 30.0
PhoneNumber = Annotated[str, Field(pattern=r"^\+[1-9][0-9]{6,14}$", description="E.164: +15550100")]


class TextMessage(BaseModel):
    """A text message, and whom it goes to."""

    model_config = ConfigDict(extra="forbid")

    to: PhoneNumber
    message: str = Field(min_length=1, max_length=MAX_MESSAGE_CHARACTERS)


@handler("sms", timeout=60, concurrency=20)
async def sms(job: JobContext, payload: TextMessage) -> dict[str, Any]:
    """Send a text message; a 429, 5xx or a broken connection is tried again."""
    return await send_sms(job, payload)


async def send_sms(job: JobContext, text: TextMessage) -> dict[str, Any]:
    """Send a text message once in a run; return the provider's `sid` and `status`.

    Raises:
        Fail: the provider refused it (`http_400` and the like), or a setting lacks.
        Retry: it is to be tried again.
    """
    if job.test_mode:
        return {**TEST_MODE, "would_send": {"to": text.to, "message": text.message}}
    url = httpx.URL(setting(job, "sms_url", "LISTENER_SMS_URL"))
    return await once(job, "sms", partial(_send, job, url, text))


async def _send(job: JobContext, url: httpx.URL, text: TextMessage) -> dict[str, Any]:
    client: httpx.AsyncClient = await job.shared(provider_client)
    form = {**dict(url.params), "To": text.to, "Body": text.message}
    headers = httpx.Headers(identity_headers(job))
    if url.username:
        credentials = httpx.BasicAuth(url.username, url.password)
        headers["authorization"] = next(credentials.auth_flow(httpx.Request("POST", url))).headers["authorization"]
    request = httpx.Request("POST", messages_url(url), data=form, headers=headers)
    answer, body = await exchange(client, request, TIMEOUT_SECONDS)
    if answer.status_code not in SUCCESS:
        raise_refusal(answer, body, job.now())
    receipt = parsed(body.decode("utf-8", "replace"))
    known = receipt if isinstance(receipt, dict) else {}
    return {"to": text.to, "sid": known.get("sid"), "status": known.get("status")}


def messages_url(url: httpx.URL) -> httpx.URL:
    """Return where messages are posted: the URL's own path, or that of the account which its user names."""
    path = url.path if url.path.strip("/") else f"/2010-04-01/Accounts/{url.username}/Messages.json"
    return url.copy_with(username="", password="", query=None, path=path)
