"""An alert reaches each kind of channel in its own form, and its secret no text."""

from __future__ import annotations

import json
import socket
import uuid
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from listener.domain.outcome import Completed, Failed
from listener.handler_api.registry import Handler
from listener.handlers import _egress
from listener.handlers.alert_delivery import alert_delivery
from listener.testing import run_handler

DELIVERY = str(uuid.uuid4())
KEY = "whsec_" + "c2VjcmV0" * 5 + "c2U="
ALERT = {
    "id": "a1",
    "status": "firing",
    "condition": "failed",
    "subject": "handler:report",
    "handler": "report",
    "message": "3 runs failed",
    "occurrences": 3,
    "first_at": "2026-01-05T12:00:00+00:00",
    "last_at": "2026-01-05T12:01:00+00:00",
    "resolved_at": None,
    "last_execution_id": "e9",
    "reason": None,
    "error": "<@everyone> & <!channel> broke",
    "rule": {"id": "r1", "name": None, "threshold": 1},
    "job": {"id": 7, "job_id": "daily", "name": "Daily"},
}


PRIVATE = [
    "169.254.169.254", "localhost", "[::1]", "[::ffff:127.0.0.1]", "2130706433", "0x7f000001", "0177.1", "127.1",
    "0", "10.0.0.1", "[fd00:ec2::254]", "[64:ff9b::7f00:1]",
]  # fmt: skip
"""Each a way to write an address of this machine, of a private network, or of a cloud's keys."""
HOSTILE = "x\r\nBcc: eve@example.com\r\n\r\n<script>alert(1)</script>\n[Sign in](https://evil.example)\u2028Error: none"


class Database:
    """Answers what the functions of the database would, and keeps how deliveries ended."""

    def __init__(self, **delivery: Any) -> None:
        defaults = {"status": "queued", "kind": "firing", "secret": None, "code": None, "alert": ALERT}
        self.delivery = {**defaults, "channel_name": None, "target": "hooks.example.com/…", **delivery}
        self.ends: list[tuple[str, str | None]] = []

    def rpc(self, function: str, arguments: dict[str, Any]) -> Database:
        """Take a call."""
        request = arguments["request"]
        if function == "end_alert_delivery_v1":
            assert request["delivery_id"] == DELIVERY
            self.ends.append((request["status"], request.get("error")))
        self.answer = self.delivery if function == "alert_delivery_v1" else {"receipt": None}
        return self

    async def execute(self) -> Any:
        """Give the answer."""
        return SimpleNamespace(data=self.answer)


async def sent(database: Database, **changes: Any) -> Any:
    """Run the handler once; give its outcome."""
    options = changes.pop("options", {"webhook_allow_private": True})
    now = datetime.now(UTC)  # noqa: TID251 - the library that verifies reads the machine's clock
    payload = {"delivery_id": DELIVERY}
    return (await run_handler(alert_delivery, payload, client=database, options=options, now=now, **changes)).outcome


async def test_a_webhook_is_signed_as_standard_webhooks_says(endpoint):
    """Their own library verifies it; a body that was changed it refuses."""
    database = Database(channel_kind="webhook", target=endpoint.url, secret=KEY)
    assert await sent(database) == Completed({"status": "sent", "kind": "firing", "channel_kind": "webhook"})
    ((method, _, headers, body),) = endpoint.requests
    event = Webhook(KEY).verify(body, headers)
    assert (method, event["type"], event["data"]) == ("POST", "alert.firing", ALERT)
    assert headers["webhook-id"] == DELIVERY
    with pytest.raises(WebhookVerificationError):
        Webhook(KEY).verify(body.replace(b"3", b"4"), headers)
    assert database.ends == [("sent", None)]


async def test_a_chat_gets_a_text_that_mentions_nobody(endpoint):
    """Slack's escapes, and Discord is asked to parse none."""
    for kind in ("slack", "discord"):
        assert isinstance(await sent(Database(channel_kind=kind, secret=endpoint.url)), Completed)
    slack, discord = (json.loads(body) for _, _, _, body in endpoint.requests)
    assert slack["text"].startswith("*Firing: handler report: 3 runs failed*\n")
    assert "&lt;@everyone&gt; &amp; &lt;!channel&gt; broke" in slack["text"]
    assert "Last job: Daily (job 7)" in discord["content"]
    assert discord["allowed_mentions"] == {"parse": []}


@pytest.mark.parametrize(
    ("kind", "subject", "text"),
    [
        ("firing", "Firing: handler report: 3 runs failed", "Occurrences: 3"),
        ("repeat", "Still firing: handler report: 3 runs failed", "Error: <@everyone> & <!channel> broke"),
        ("recovery", "Recovered: handler report: 3 runs failed", "Last run: e9"),
        ("test", "Test of an alert channel", "The channel On call works."),
        ("confirmation", "Confirm this address for alerts", "The code is 9F3A01BC"),
    ],
)
async def test_a_mail_says_what_happened(inbox, url, kind, subject, text):
    """A confirmation has the code and nothing of any job."""
    alert = ALERT if kind in {"firing", "repeat", "recovery"} else None
    database = Database(
        channel_kind="email", target="ada@example.com", kind=kind, alert=alert, channel_name="On call", code="9F3A01BC"
    )
    assert isinstance(await sent(database, options={"smtp_url": url}), Completed)
    ((recipients, message),) = inbox.mails
    assert (recipients, message["Subject"]) == (["ada@example.com"], subject)
    assert text in message.get_content()


async def test_a_mail_server_that_refuses_for_good_ends_the_delivery(inbox, url):
    """With its answer; a refusal for now leaves it queued."""
    database = Database(channel_kind="email", target="ada@example.com")
    inbox.refused = {"ada@example.com": "450 busy"}
    assert isinstance(await sent(database, options={"smtp_url": url}), Failed)
    inbox.refused = {"ada@example.com": "550 unknown"}
    assert (await sent(database, options={"smtp_url": url})).reason == "smtp_550"
    assert [status for status, _ in database.ends] == ["queued", "failed"]
    assert "550 unknown" in str(database.ends[-1][1])


@pytest.mark.parametrize(("status", "retryable"), [(404, False), (503, True)])
async def test_the_url_of_a_chat_is_in_no_text(endpoint, status, retryable):
    """Neither in the ledger nor in the delivery; the answer is."""
    endpoint.status, endpoint.body = status, b"no_service"
    secret = f"{endpoint.url}/T00/B00/ZZZsecretZZZ?key=%C3%BCnsafe"
    database = Database(channel_kind="slack", secret=secret)
    failed = await sent(database)
    assert (failed.retryable, "no_service" in failed.error) == (retryable, True)
    assert "no_service" in str(database.ends[0][1])
    for text in (failed.error, str(failed.details), str(database.ends)):
        assert "ZZZ" not in text
        assert "nsafe" not in text


@pytest.mark.parametrize(
    ("kind", "host"), [*(("slack", host) for host in PRIVATE), ("webhook", "localhost"), ("discord", "localhost")]
)
async def test_a_private_address_is_refused(endpoint, kind, host):
    """An alert is no way around the guard of webhooks, however the address is written."""
    url = endpoint.url.replace("127.0.0.1", host)
    urls = {"target": url, "secret": KEY} if kind == "webhook" else {"secret": url}
    database = Database(channel_kind=kind, **urls)
    failed = await sent(database, options={})
    assert (failed.reason, failed.retryable, endpoint.connections) == ("forbidden_address", False, 0)
    assert [status for status, _ in database.ends] == ["failed"]


async def test_a_name_that_leads_to_this_machine_is_refused(endpoint, monkeypatch):
    """The address that is connected to is checked, not the name."""
    here = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 80))]
    monkeypatch.setattr(_egress.socket, "getaddrinfo", lambda *_, **__: here)
    failed = await sent(Database(channel_kind="webhook", target="https://hooks.example.com/", secret=KEY), options={})
    assert (failed.reason, failed.retryable) == ("forbidden_address", False)


async def test_a_redirect_is_not_followed(endpoint):
    """A public receiver could name an address inside."""
    endpoint.status, endpoint.headers = 302, {"location": endpoint.url.replace("/hook", "/inside")}
    failed = await sent(Database(channel_kind="webhook", target=endpoint.url, secret=KEY))
    assert (failed.reason, failed.retryable) == ("http_302", False)
    assert [path for _, path, _, _ in endpoint.requests] == ["/hook"]


async def test_what_was_sent_or_given_up_is_not_sent_again(endpoint):
    """The delivery's row decides, whatever the attempt."""
    for status in ("sent", "skipped", "failed"):
        database = Database(channel_kind="slack", secret=endpoint.url, status=status)
        assert await sent(database) == Completed({"status": status})
    assert endpoint.requests == []


@pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")  # in Apprise
async def test_an_apprise_channel_of_the_operator_is_used_by_its_name(endpoint):
    """Or by its URL, which the service key wrote."""
    named = endpoint.url.replace("http://", "json://")
    options = {"notification_channels": {"ops": named}}
    assert isinstance(await sent(Database(channel_kind="apprise", target="ops"), options=options), Completed)
    assert isinstance(await sent(Database(channel_kind="apprise", target="json://…", secret=named)), Completed)
    titles = [json.loads(body)["title"] for _, _, _, body in endpoint.requests]
    assert titles == ["Firing: handler report: 3 runs failed"] * 2
    unknown = await sent(Database(channel_kind="apprise", target="other"), options=options)
    assert unknown.reason == "unknown_channel"


async def test_a_rehearsal_sends_nothing(endpoint):
    """It does not even ask what."""
    database = Database(channel_kind="slack", secret=endpoint.url)
    assert isinstance(await sent(database, test_mode=True), Completed)
    assert (endpoint.requests, database.ends) == ([], [])


def test_only_the_service_may_schedule_it():
    """A browser must not."""
    assert not Handler.of(alert_delivery).exposed


async def test_braces_in_an_error_are_no_placeholder(inbox, url):
    """An error of a template engine, or a job's name, must not keep the mail from being sent."""
    alert = {**ALERT, "subject": "job:7", "job": {"id": 7, "name": "{{ job }}"}, "error": "{{ subject }} is undefined"}
    database = Database(channel_kind="email", target="ada@example.com", alert=alert)
    assert isinstance(await sent(database, options={"smtp_url": url}), Completed)
    ((_, message),) = inbox.mails
    assert "{{ job }}" in message["Subject"]
    assert "Error: {{ subject }} is undefined" in message.get_content()


async def test_a_hostile_text_adds_no_header_no_recipient_no_markup_and_no_fact(inbox, url, endpoint):
    """Names of jobs and rules, and errors, are texts of anybody in the tenant, or of what a job talks to."""
    alert = {**ALERT, "subject": "job:7", "job": {"id": 7, "name": HOSTILE}, "error": HOSTILE}
    alert = {**alert, "rule": {"id": "r1", "name": HOSTILE}, "message": HOSTILE}
    mail = Database(channel_kind="email", target="ada@example.com", alert=alert)
    assert isinstance(await sent(mail, options={"smtp_url": url}), Completed)
    ((recipients, message),) = inbox.mails
    assert (recipients, message["Bcc"], message["To"]) == (["ada@example.com"], None, "ada@example.com")
    assert (message.get_content_type(), message.is_multipart()) == ("text/plain", False)
    assert message["Subject"].startswith("Firing: x Bcc: eve@example.com <script>")
    names = [line.partition(":")[0] for line in message.get_content().splitlines()[2:] if not line.startswith(" ")]
    assert names == ["Rule", "Occurrences", "First", "Last", "Last job", "Last run", "Error", "Alert"]
    assert isinstance(await sent(Database(channel_kind="discord", secret=endpoint.url, alert=alert)), Completed)
    assert "](" not in json.loads(endpoint.requests[0][3])["content"].replace("\\]", "")


@pytest.mark.parametrize("target", ["ada@-example.com", "ada(comment)@example.com", "ada@example..com"])
async def test_an_address_that_is_none_is_not_tried_again(inbox, url, target):
    """The database checks the form of it only; the delivery says why."""
    database = Database(channel_kind="email", target=target)
    failed = await sent(database, options={"smtp_url": url})
    assert (failed.reason, failed.retryable, inbox.mails) == ("invalid_address", False, [])
    assert "is no e-mail address" in str(database.ends[-1][1])
