"""Sends each part of a run once, whatever the number of its attempts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from listener import Fail

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from listener import JobContext

TEST_MODE = {"test_mode": True}


async def once(job: JobContext, part: str, send: Callable[[], Awaitable[dict[str, Any]]]) -> dict[str, Any]:
    """Send a part of a run, unless an earlier attempt has sent it; return its receipt.

    An attempt that dies between the sending and the note of it leaves the part to be sent again: at least once.
    """
    if job.attempt > 1 and (receipt := await _delivery(job, part)) is not None:
        job.log.info("an earlier attempt has sent it", part=part)
        return receipt
    receipt = await send()
    try:
        await _delivery(job, part, receipt=receipt)
    except Exception as error:  # noqa: BLE001 - it has been sent: another attempt would send it again
        job.log.warning("another attempt would send it again", part=part, error=str(error))
    return receipt


async def _delivery(job: JobContext, part: str, **stored: Any) -> dict[str, Any] | None:  # noqa: ANN401 - JSON
    request = {"idempotency_key": job.idempotency_key, "part": part, **stored}
    answer = (await job.client.rpc("delivery_v1", {"request": request}).execute()).data
    receipt: dict[str, Any] | None = answer["receipt"]
    return receipt


def setting(job: JobContext, name: str, variable: str) -> Any:  # noqa: ANN401 - settings have several types
    """Return a setting without which a handler cannot work.

    Raises:
        Fail: `not_configured` when it is not set.
    """
    value = job.options.get(name)
    if not value:
        raise Fail(reason="not_configured", message=f"the handler needs the setting {variable} of the listener")
    return value
