"""The text of an exception, its traceback and its causes, in bounded time: the loop makes it, and all runs wait."""

from __future__ import annotations

import reprlib
import traceback
from typing import TYPE_CHECKING, Any

from listener.domain.value_bounds import CONTAINERS

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_CAUSES = 100
MAX_FRAMES = 100
"""Of one exception and all its causes together, about; the last ones of each, where the fault is."""
MAX_NOTES = 20
MAX_ITEMS = 1000
"""Items of a container in the arguments of an exception; of a larger one only the first items are shown."""
LONG_CHARACTERS = 16 * 1024
"""A text of an exception that is longer is not laid out in lines."""
UNSHOWN = "(its text cannot be shown)"


def message_of(error: BaseException) -> str:
    """Return what `str` gives, or less of it; never raises."""
    try:
        if _has_large_arguments(error):
            return ", ".join(reprlib.repr(each) for each in error.args[:MAX_NOTES])
        return str(error)
    except BaseException:  # noqa: BLE001 - somebody else's __str__
        return UNSHOWN


def traceback_of(error: BaseException) -> str:
    """Return the traceback with its causes; without them where they, or their texts, are too many.

    Raises:
        BaseException: whatever an exception's own class raises when it is looked at.
    """
    causes = list(_causes(error))
    if len(causes) < MAX_CAUSES and not any(map(_is_long, causes)):
        return "".join(traceback.format_exception(error, limit=-max(1, MAX_FRAMES // len(causes))))
    frames = "".join(traceback.format_tb(error.__traceback__, -MAX_FRAMES))
    why = f", with more than {MAX_CAUSES} causes, which are not shown" if len(causes) >= MAX_CAUSES else ""
    return f"{frames}{type(error).__name__}{why}: {message_of(error)}"


def exception_text(exc_info: Any) -> str:  # noqa: ANN401 - structlog's own signature
    """Return the traceback of an exception as `sys.exc_info` gives it; never raises."""
    try:
        return traceback_of(exc_info[1]).removesuffix("\n")
    except BaseException as fault:  # noqa: BLE001 - as above
        return f"(an exception that cannot be shown: {type(fault).__name__})"


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield the exception, its causes and theirs, as often as they would be shown, but no more than `MAX_CAUSES`."""
    waiting, seen = [error], 0
    while waiting and seen < MAX_CAUSES:
        part, seen = waiting.pop(), seen + 1
        yield part
        if isinstance(part, BaseExceptionGroup):
            waiting += part.exceptions[:MAX_CAUSES]
        waiting += filter(None, (part.__cause__, part.__context__))


def _has_large_arguments(error: BaseException) -> bool:
    return any(isinstance(each, CONTAINERS) and len(each) > MAX_ITEMS for each in error.args)


def _is_long(error: BaseException) -> bool:
    notes = getattr(error, "__notes__", ())
    texts = [message_of(error), *map(str, notes[:MAX_NOTES])]
    return len(notes) > MAX_NOTES or _has_large_arguments(error) or any(len(each) > LONG_CHARACTERS for each in texts)
