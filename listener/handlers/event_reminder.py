"""A handler that reminds somebody of an event: by a notification, by mail and by text message."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from pydantic import AliasChoices, BaseModel, ConfigDict, Field

from listener import JobContext, handler
from listener.handlers.email import Address, Mail, send_mail
from listener.handlers.notification import MAX_MESSAGE_CHARACTERS, MAX_TITLE_CHARACTERS, Notification, notify
from listener.handlers.sms import MAX_MESSAGE_CHARACTERS as MAX_SMS_CHARACTERS
from listener.handlers.sms import PhoneNumber, TextMessage, send_sms


class Reminder(BaseModel):
    """An event, and whom to remind of it, in which ways; keys that it does not have go to the notification's `data`."""

    model_config = ConfigDict(extra="allow")

    event_id: str = Field(max_length=200)
    message: str | None = Field(default=None, max_length=MAX_MESSAGE_CHARACTERS)
    title: str = Field(default="Reminder", max_length=MAX_TITLE_CHARACTERS)
    recipient_id: UUID | None = Field(default=None, validation_alias=AliasChoices("recipient_id", "user_id"))
    email: Address | None = None
    phone: PhoneNumber | None = None

    @property
    def text(self) -> str:
        """The message, or one that names the event."""
        return self.message or f"Reminder: event {self.event_id}"


@handler("event_reminder", timeout=200)
async def event_reminder(job: JobContext, payload: Reminder) -> dict[str, Any]:
    """Remind of an event by a notification, an e-mail and a text message, those that the payload names."""
    sent: dict[str, Any] = {}
    if payload.recipient_id is not None:
        data = {"event_id": payload.event_id, **(payload.model_extra or {})}
        note = Notification(recipient_id=payload.recipient_id, title=payload.title, message=payload.text, data=data)
        sent["notification"] = await notify(job, note)
    if payload.email is not None:
        mail = Mail(to=[payload.email], subject=" ".join(payload.title.split()), text=payload.text)
        sent["email"] = await send_mail(job, mail)
    if payload.phone is not None:
        text = TextMessage(to=payload.phone, message=payload.text[:MAX_SMS_CHARACTERS])
        sent["sms"] = await send_sms(job, text)
    if not sent:
        job.log.warning("it reminds nobody: the payload has none of recipient_id, email and phone")
    return {"event_id": payload.event_id, **sent}
