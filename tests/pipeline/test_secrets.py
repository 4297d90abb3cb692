"""Secret fields of a payload are in no log line and no row of the ledger, whatever the handler does."""

from __future__ import annotations

import io
import json
import logging
import threading
from dataclasses import asdict
from typing import Annotated

import anyio
import pytest
import structlog
from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator, model_serializer, model_validator

from listener import Fail, JobContext, Retry, handler
from listener.handlers.webhook import webhook
from listener.observability.events import configure_logging
from listener.testing import run_handler

KEY = "correct-horse-battery-staple"
PIN = 90210


class Login(BaseModel):
    model_config = ConfigDict(extra="forbid")

    user: str
    key: Annotated[str, Field(json_schema_extra={"secret": True}, max_length=100)]
    token: SecretStr = SecretStr("")
    pin: Annotated[int, Field(json_schema_extra={"secret": True})] = PIN


LOGIN = {"user": "ann", "key": KEY, "token": f"token-{KEY[::-1]}", "pin": PIN}
SECRETS = ("correct-", "horse", "staple", KEY[::-1], str(PIN))


@pytest.fixture(params=["json", "console"])
def shown(request) -> io.StringIO:
    """Log everything into a text, in each format."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    stream = io.StringIO()
    configure_logging(request.param, "debug", stream)
    yield stream
    structlog.reset_defaults()
    root.handlers[:], root.level = handlers, level


async def reported(function, payload, shown, **changes):
    """Run, and give all that anybody can read of it, as one text."""
    report = await run_handler(function, payload, **changes)
    text = json.dumps(asdict(report), default=str)
    return report.outcome, text + shown.getvalue()


def assert_is_hidden(text: str) -> None:
    """No part of a secret is in it, but something stands where it was."""
    assert [secret for secret in SECRETS if secret in text] == []
    assert "[redacted]" in text or "**********" in text


async def _raises(job: JobContext, payload: Login) -> None:
    message = f"cannot sign in with {payload!r} and {payload.token.get_secret_value()}"
    raise ValueError(message)


async def _raises_a_cut_text(job: JobContext, payload: Login) -> None:
    raise ValueError("x" * 2027 + KEY)


async def _fails(job: JobContext, payload: Login) -> None:
    reason, message = f"bad key {payload.key}", f"the key {payload.key} is bad"
    raise Fail(reason, message)


async def _retries(job: JobContext, payload: Login) -> None:
    try:
        {}[payload.pin]
    except KeyError as error:
        raise Retry(message=f"pin {payload.pin}") from error


async def _validates(job: JobContext, payload: Login) -> None:
    class Inner(BaseModel):
        number: int

    Inner(number=payload.key * 9)


async def _raises_in_a_group(job: JobContext, payload: Login) -> None:
    async def child():
        raise ValueError(payload.key)

    async with anyio.create_task_group() as group:
        group.start_soon(child)
        group.start_soon(child)


async def _returns(job: JobContext, payload: Login) -> dict[str, object]:
    return {"login": payload, payload.key: [payload.pin, f"…{payload.key}…"], "row": job.row}


async def _returns_too_much(job: JobContext, payload: Login) -> list[str]:
    return ["x" * 1005 + payload.key, "y" * 300_000]


async def _returns_no_json(job: JobContext, payload: Login) -> object:
    class Odd(BaseModel):
        @model_serializer
        def dump(self) -> str:
            raise ValueError(payload.key)

    return Odd()


async def _logs(job: JobContext, payload: Login) -> None:
    message = f"key {payload.key}"
    job.log.info(message, login=payload, raw=job.row, pin=payload.pin, odd=[{"x": (payload.key,)}])
    job.log.debug("quiet", error=ValueError(payload.key), odd={payload.pin: object()})
    await job.progress(0.5, f"signed in as {payload.key}")


async def _logs_an_error(job: JobContext, payload: Login) -> None:
    key = payload.key
    try:
        int(key)
    except ValueError:
        job.log.exception("it failed")
        logging.getLogger("somebody").exception("it failed, too")


async def _logs_elsewhere(job: JobContext, payload: Login) -> None:
    logging.getLogger("somebody").warning("key %s of %r", payload.key, payload)
    structlog.get_logger("somebody").warning("key", login=payload, key_of=payload.key)

    async def child():
        logging.getLogger("somebody").warning("child %s", payload.key)

    async with anyio.create_task_group() as group:
        group.start_soon(child)


def _logs_in_threads(job: JobContext, payload: Login) -> None:
    logging.getLogger("somebody").warning("thread %s", payload.key)
    own = threading.Thread(target=lambda: job.log.warning("own thread", login=payload, text=payload.key))
    own.start()
    own.join()


@pytest.mark.parametrize(
    "function",
    [
        _raises, _raises_a_cut_text, _fails, _retries, _validates, _raises_in_a_group, _returns, _returns_too_much,
        _returns_no_json, _logs, _logs_an_error, _logs_elsewhere, _logs_in_threads,
    ],
    ids=lambda function: function.__name__[1:],
)  # fmt: skip
async def test_a_handler_cannot_leak_a_secret_by_mistake(function, shown):
    """In an error, its traceback, a reason, a result, a log line, a line of a library, a message of progress."""
    _, text = await reported(handler(function.__name__)(function), LOGIN, shown)
    assert_is_hidden(text)


@handler("in_process", run_in="process")
def in_process(job: JobContext, payload: Login) -> str:
    """Log and return it in a worker."""
    job.log.warning("key", login=payload, text=payload.key)
    if job.attempt > 1:
        raise ValueError(payload.key)
    return payload.key


@pytest.mark.parametrize("attempt", [1, 2])
@pytest.mark.slow  # it starts processes
async def test_a_worker_process_cannot_either(attempt, shown):
    """Its lines and its outcome come back covered."""
    _, text = await reported(in_process, LOGIN, shown, attempt=attempt)
    assert_is_hidden(text)


class Checked(Login):
    @field_validator("key")
    @classmethod
    def check(cls, key: str) -> str:
        if key.startswith("correct"):
            message = f"{key} is nobody's"
            raise ValueError(message)
        return key


class CheckedWhole(Login):
    @model_validator(mode="after")
    def check(self) -> CheckedWhole:
        message = "no"
        raise ValueError(message)


@handler("checked")
async def _checked(job: JobContext, payload: Checked) -> None: ...


@handler("whole")
async def _whole(job: JobContext, payload: CheckedWhole) -> None: ...


@pytest.mark.parametrize(
    ("function", "payload"),
    [
        (_checked, LOGIN),
        (_checked, {**LOGIN, "key": KEY * 10}),
        (_checked, {**LOGIN, "key": [KEY]}),
        (_checked, {"user": LOGIN}),
        (_checked, {**LOGIN, "keys": KEY}),
        (_whole, LOGIN),
    ],
)
async def test_a_refused_payload_is_not_shown(function, payload, shown):
    """The fields are named and what is expected of them, but no value: an object around a secret shows it, too."""
    outcome, text = await reported(function, payload, shown)
    assert outcome.reason == "invalid_payload"
    assert outcome.error.startswith("metadata")
    assert [secret for secret in SECRETS if secret in text] == []


async def test_a_secret_is_hidden_only_while_its_run_goes_on(shown):
    """Another run may say the same word, and has nothing to hide."""

    @handler
    async def innocent(job):
        job.log.info(KEY)

    await reported(handler("raises")(_raises), LOGIN, shown)
    assert KEY not in shown.getvalue()
    _, text = await reported(innocent, {}, shown)
    assert KEY in text


async def test_the_keys_of_a_webhook_are_hidden(shown):
    """Headers whose names look secret are; others are shown."""
    payload = {"url": f"http://127.0.0.1/?key={KEY}", "headers": {"Authorization": f"Basic {KEY}", "X-Kind": "a kind"}}
    payload |= {"body": {"echo": f"Basic {KEY}"}, "method": "get"}
    outcome, text = await reported(webhook, payload, shown)
    assert outcome.reason == "invalid_payload"
    assert f"Basic {KEY}" not in text
