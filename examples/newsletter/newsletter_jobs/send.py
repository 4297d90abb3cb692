"""Sends an issue to the workspace's subscribers through LISTENER_SMTP_URL, and notes each delivery."""

from collections.abc import Callable
from email.message import EmailMessage
from email.utils import format_datetime
from typing import Any

import aiosmtplib

from listener import Fail, JobContext, Retry
from listener.smtp_url import MailServer
from newsletter_jobs.payload import Newsletter

PAGE = 500
FOR_GOOD = 500
"""The least code of an answer after which another attempt would be refused too."""


async def send(job: JobContext, _: Newsletter, results: dict[str, Any]) -> dict[str, Any]:
    """Return how many were `sent` and `refused`; in test mode to how many it `would_send`.

    A subscriber who has the issue already gets no second one, except after a crash between the sending and its note.

    Raises:
        Fail: no issue was generated before, or no mail server is configured.
        Retry: the mail server cannot be reached, or says "later".
    """
    if "generate" not in results:
        raise Fail(reason="no_issue", message="send needs the issue of generate: put it before")
    issue = results["generate"]
    if issue["subject"] is None:
        return {"sent": 0, "refused": 0}
    waiting = await recipients(job, issue["issue_id"])
    if job.test_mode:
        return {"would_send": [reader["email"] for reader in waiting]}
    url = job.options.get("smtp_url")
    if not url:
        raise Fail(reason="not_configured", message="send needs LISTENER_SMTP_URL")
    server = MailServer.of(url)
    sender = job.options.get("smtp_from") or server.sender()
    counts = {"sent": 0, "refused": 0}
    try:
        async with connection(server) as smtp:
            for reader in waiting:
                answer = await deliver(smtp, compose(job, issue, sender, reader))
                counts["refused" if answer else "sent"] += 1
                await note(job, issue["issue_id"], reader["id"], answer)
    except (aiosmtplib.SMTPException, OSError) as error:
        raise Retry(message=f"{server.host}:{server.port}: {error}") from error
    return counts


def connection(server: MailServer) -> aiosmtplib.SMTP:
    """Return a connection for all mails of an issue."""
    where = {"hostname": server.host, "port": server.port, "username": server.user, "password": server.password}
    return aiosmtplib.SMTP(**where, use_tls=server.use_tls, start_tls=server.start_tls, timeout=30)


async def recipients(job: JobContext, issue_id: int | None) -> list[dict[str, Any]]:
    """Return the active subscribers who do not have the issue yet."""
    had: set[int] = set()
    if issue_id is not None:
        deliveries = job.client.table("newsletter_deliveries")
        rows = await pages(lambda: deliveries.select("subscriber_id").eq("issue_id", issue_id), "subscriber_id")
        had = {row["subscriber_id"] for row in rows}
    subscribers, workspace = job.client.table("newsletter_subscribers"), job.row["workspace_id"]
    active = {"workspace_id": workspace, "status": "active"}
    everyone = await pages(lambda: subscribers.select("id,email").match(active), "id")
    return [reader for reader in everyone if reader["id"] not in had]


async def pages(query: Callable[[], Any], key: str) -> list[dict[str, Any]]:
    """Read all rows by their key: an answer has a bounded number of them."""
    rows: list[dict[str, Any]] = []
    while page := (await query().gt(key, rows[-1][key] if rows else 0).order(key).limit(PAGE).execute()).data:
        rows += page
    return rows


async def deliver(smtp: aiosmtplib.SMTP, message: EmailMessage) -> str | None:
    """Send one mail; return the answer of a server that refuses it for good, else None.

    Raises:
        SMTPException: it says "later", or the connection broke.
    """
    try:
        await smtp.send_message(message)
    except aiosmtplib.SMTPRecipientsRefused as refused:
        first = refused.recipients[0]
        if first.code < FOR_GOOD:
            raise
        return f"{first.code} {first.message}"
    except aiosmtplib.SMTPResponseException as refused:
        if refused.code < FOR_GOOD:
            raise
        return f"{refused.code} {refused.message}"
    return None


def compose(job: JobContext, issue: dict[str, Any], sender: str, reader: dict[str, Any]) -> EmailMessage:
    """Write the mail of one reader; its Message-ID is the same in each attempt."""
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = sender, reader["email"], issue["subject"]
    message["Date"] = format_datetime(job.now())
    message["Message-ID"] = f"<issue.{issue['issue_id']}.{reader['id']}@{sender.rpartition('@')[2]}>"
    message.set_content(issue["text"])
    message.add_alternative(issue["html"], subtype="html")
    return message


async def note(job: JobContext, issue_id: int, subscriber_id: int, answer: str | None) -> None:
    """Note a delivery as soon as it is made."""
    row = {"issue_id": issue_id, "subscriber_id": subscriber_id, "workspace_id": job.row["workspace_id"]}
    outcome = {"status": "refused" if answer else "sent", "answer": answer}
    await job.client.table("newsletter_deliveries").upsert({**row, **outcome}).execute()
