"""A text message is posted in Twilio's form, once a run."""

from __future__ import annotations

import base64
from typing import Any
from urllib.parse import parse_qs

import httpx
import pytest

from listener.domain.outcome import Completed, Failed
from listener.handlers.sms import messages_url, sms
from listener.testing import run_handler

TEXT = {"to": "+15550100", "message": "Grüße & so"}


def provider(endpoint: Any, path: str = "", query: str = "From=%2B15550199") -> str:
    """Give the provider's URL with an account in it."""
    return endpoint.url.replace("http://", "http://AC1:to%40ken@").replace("/hook", f"{path}?{query}")


async def sent(endpoint: Any, deliveries: Any, payload: dict[str, Any] | None = None, **changes: Any) -> Any:
    """Run the handler once; give its outcome."""
    options = {"sms_url": changes.pop("url", provider(endpoint))}
    report = await run_handler(sms, {**TEXT, **(payload or {})}, options=options, client=deliveries, **changes)
    return report.outcome


async def test_the_provider_gets_a_form_with_the_accounts_credentials(endpoint, deliveries):
    """At the place that Twilio has for it, and the URL's own parameters join it."""
    endpoint.status, endpoint.headers = 201, {"content-type": "application/json"}
    endpoint.body = b'{"sid": "SM1", "status": "queued"}'
    outcome = await sent(endpoint, deliveries)
    assert outcome == Completed({"to": "+15550100", "sid": "SM1", "status": "queued"})
    ((method, target, headers, content),) = endpoint.requests
    assert (method, target) == ("POST", "/2010-04-01/Accounts/AC1/Messages.json")
    assert parse_qs(content.decode()) == {"From": ["+15550199"], "To": ["+15550100"], "Body": ["Grüße & so"]}
    assert base64.b64decode(headers["authorization"].removeprefix("Basic ")) == b"AC1:to@ken"
    assert headers["content-type"] == "application/x-www-form-urlencoded"


async def test_what_an_attempt_has_sent_the_next_one_does_not_send_again(endpoint, deliveries):
    """Its receipt is the result."""
    endpoint.body = b'{"sid": "SM1", "status": "queued"}'
    first = await sent(endpoint, deliveries)
    assert await sent(endpoint, deliveries, attempt=2) == first
    assert len(endpoint.requests) == 1


@pytest.mark.parametrize(
    ("status", "outcome"),
    [(400, ("http_400", False)), (401, ("http_401", False)), (429, ("retry", True)), (503, ("retry", True))],
)
async def test_the_providers_answer_decides_whether_it_is_tried_again(endpoint, deliveries, status, outcome):
    """The token is in no message."""
    endpoint.status, endpoint.body = status, b'{"code": 21211, "message": "not a number"}'
    failed = await sent(endpoint, deliveries)
    assert isinstance(failed, Failed)
    assert (failed.reason, failed.retryable) == outcome
    assert "not a number" in failed.error
    assert "ken" not in failed.error.replace("token", "")


async def test_in_test_mode_nothing_is_sent(endpoint, deliveries):
    """The result says what would be."""
    outcome = await sent(endpoint, deliveries, test_mode=True)
    assert outcome == Completed({"test_mode": True, "would_send": TEXT})
    assert endpoint.requests == []


async def test_without_a_provider_the_run_says_what_to_set(endpoint, deliveries):
    """No attempt helps."""
    failed = await sent(endpoint, deliveries, url=None)
    assert (failed.reason, failed.retryable) == ("not_configured", False)
    assert "LISTENER_SMS_URL" in failed.error


@pytest.mark.parametrize(
    "change",
    [{"to": "5550100"}, {"to": "+1 555 0100"}, {"message": ""}, {"message": "x" * 1601}, {"from": "+15550100"}],
)
async def test_a_payload_that_makes_no_message_is_refused_by_name(endpoint, deliveries, change):
    """Before anything is sent."""
    failed = await sent(endpoint, deliveries, change)
    assert (failed.reason, failed.retryable) == ("invalid_payload", False)
    assert f"metadata.{next(iter(change))}" in failed.error
    assert endpoint.requests == []


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("https://AC1:t@api.twilio.com/?From=x", "https://api.twilio.com/2010-04-01/Accounts/AC1/Messages.json"),
        ("https://AC1:t@api.twilio.com", "https://api.twilio.com/2010-04-01/Accounts/AC1/Messages.json"),
        ("http://sms.internal:8080/send", "http://sms.internal:8080/send"),
    ],
)
def test_a_path_of_the_url_is_kept(url, place):
    """For providers with another place."""
    assert str(messages_url(httpx.URL(url))) == place
