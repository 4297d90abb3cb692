"""A handler that sends an e-mail through the operator's mail server."""

from __future__ import annotations

import re
from email.message import EmailMessage
from email.utils import format_datetime, parseaddr
from functools import partial
from typing import Annotated, Any, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from listener import Fail, JobContext, Retry, handler
from listener.handlers._delivery import TEST_MODE, once, setting
from listener.handlers._texts import filled, one_line, rendered
from listener.smtp_url import MailServer

MAX_RECIPIENTS = 50
"""Limit of one message, `to`, `cc` and `bcc` together."""
MAX_TEXT_CHARACTERS = 256 * 1024
MAX_SUBJECT_CHARACTERS = 500
MAX_VALUES = 200
CONCURRENCY = 20
TIMEOUT_SECONDS = 30.0
FOR_GOOD = 500
"""The least code of an answer after which another attempt would be refused too."""


def _address(text: str) -> str:
    """Accept an address, also one of a network without public names; return it in its normal form."""
    from email_validator import EmailNotValidError, validate_email  # noqa: PLC0415 - loaded when first needed

    try:
        return validate_email(
            text, check_deliverability=False, globally_deliverable=False, test_environment=True
        ).normalized
    except EmailNotValidError as error:
        message = f"is no e-mail address: {error}"
        raise ValueError(message) from None


def _listed(value: Any) -> Any:  # noqa: ANN401 - of a row
    return [value] if isinstance(value, str) else value


Address = Annotated[str, Field(max_length=320), AfterValidator(_address)]
Addresses = Annotated[list[Address], BeforeValidator(_listed, json_schema_input_type=str | list[str])]


class Mail(BaseModel):
    """An e-mail: its recipients and its text, or the operator's template and the values in it."""

    model_config = ConfigDict(extra="forbid")

    to: Addresses = Field(min_length=1, description="an address, or a list")
    subject: Annotated[str, AfterValidator(one_line)] | None = Field(default=None, max_length=MAX_SUBJECT_CHARACTERS)
    text: str | None = Field(default=None, max_length=MAX_TEXT_CHARACTERS)
    html: str | None = Field(default=None, max_length=MAX_TEXT_CHARACTERS)
    cc: Addresses = Field(default_factory=list)
    bcc: Addresses = Field(default_factory=list)
    reply_to: Addresses = Field(default_factory=list, max_length=5)
    template: str | None = Field(default=None, max_length=64, description="a file of the operator, without its suffix")
    values: dict[str, Any] = Field(default_factory=dict, max_length=MAX_VALUES, description="for {{ name }}")

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.template is None and (self.subject is None or (self.text is None and self.html is None)):
            message = "needs subject and text or html, or a template"
            raise ValueError(message)
        if self.template is not None and (self.text is not None or self.html is not None):
            message = "takes either text and html, or a template"
            raise ValueError(message)
        if len(self.recipients) > MAX_RECIPIENTS:
            message = f"has {len(self.recipients)} recipients; {MAX_RECIPIENTS} are allowed"
            raise ValueError(message)
        return self

    @property
    def recipients(self) -> list[str]:
        """The addresses of `to`, `cc` and `bcc`, each once."""
        return list(dict.fromkeys([*self.to, *self.cc, *self.bcc]))


@handler("email", timeout=90, concurrency=CONCURRENCY)
async def email(job: JobContext, payload: Mail) -> dict[str, Any]:
    """Send an e-mail; a 4xx answer or a broken connection is tried again."""
    return await send_mail(job, payload)


async def send_mail(job: JobContext, mail: Mail) -> dict[str, Any]:
    """Send a mail once in a run; return `message_id`, `recipients` and `refused`.

    Raises:
        Fail: the server refused it for good (`smtp_550` and the like), or a setting or a template lacks.
        Retry: the server refused it for now, or cannot be reached.
    """
    texts = await _texts(job, mail)
    if job.test_mode:
        return {**TEST_MODE, "would_send": {"recipients": mail.recipients, **texts}}
    server = MailServer.of(setting(job, "smtp_url", "LISTENER_SMTP_URL"))
    message = compose(job, mail, texts, job.options.get("smtp_from") or server.sender())
    return await once(job, "email", partial(_send, server, message, mail.recipients))


async def _texts(job: JobContext, mail: Mail) -> dict[str, str]:
    """Return `subject`, `text` and `html`, those that there are, with the values in them."""
    own = {
        part: filled(text, mail.values, escape=part == "html")
        for part in ("subject", "text", "html")
        if (text := getattr(mail, part)) is not None
    }
    if mail.template is None:
        return own
    folder = setting(job, "template_folder", "LISTENER_TEMPLATE_FOLDER")
    texts = {**(await rendered(folder, mail.template, mail.values)), **own}
    if "subject" not in texts:
        message = f"metadata.subject: is required, for {mail.template}.subject.txt is not there"
        raise Fail(reason="invalid_template", message=message)
    return texts


def compose(job: JobContext, mail: Mail, texts: dict[str, str], sender: str) -> EmailMessage:
    """Build the message; all attempts at one due instant have one `Message-ID`."""
    message = EmailMessage()
    message["From"] = sender
    message["To"] = ", ".join(mail.to)
    if mail.cc:
        message["Cc"] = ", ".join(mail.cc)
    if mail.reply_to:
        message["Reply-To"] = ", ".join(mail.reply_to)
    message["Subject"] = " ".join(texts["subject"].split())
    message["Date"] = format_datetime(job.now())
    domain = parseaddr(sender)[1].rpartition("@")[2] or "localhost"
    message["Message-ID"] = f"<{re.sub('[^0-9A-Za-z.-]', '.', job.idempotency_key)}@{domain}>"
    message["Auto-Submitted"] = "auto-generated"
    if "text" in texts:
        message.set_content(texts["text"])
        if "html" in texts:
            message.add_alternative(texts["html"], subtype="html")
    else:
        message.set_content(texts.get("html", ""), subtype="html")
    return message


async def _send(server: MailServer, message: EmailMessage, recipients: list[str]) -> dict[str, Any]:
    import aiosmtplib  # noqa: PLC0415 - loaded when first needed

    try:
        refused, _ = await aiosmtplib.send(
            message,
            recipients=recipients,
            hostname=server.host,
            port=server.port,
            username=server.user,
            password=server.password,
            use_tls=server.use_tls,
            start_tls=server.start_tls,
            timeout=TIMEOUT_SECONDS,
        )
    except aiosmtplib.SMTPRecipientsRefused as error:
        answers = {each.recipient: f"{each.code} {each.message}" for each in error.recipients}
        raise _refusal(
            min(each.code for each in error.recipients), f"every recipient was refused: {answers}"
        ) from error
    except aiosmtplib.SMTPException as error:
        raise _refusal(getattr(error, "code", None), f"{type(error).__name__}: {error}") from error
    except OSError as error:
        raise Retry(message=f"{server.host}:{server.port}: {error}") from error
    shown = {address: f"{answer.code} {answer.message}" for address, answer in refused.items()}
    return {"message_id": message["Message-ID"], "recipients": recipients, "refused": shown}


def _refusal(code: int | None, message: str) -> Exception:
    """Choose between another attempt and none: 5xx is for good, 4xx and a broken connection for now."""
    return Retry(message=message) if code is None or code < FOR_GOOD else Fail(reason=f"smtp_{code}", message=message)
