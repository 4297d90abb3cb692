"""The log of one run: its lines go to the service's log, and within limits to the ledger."""

from __future__ import annotations

import logging
from collections import deque
from functools import cache
from typing import TYPE_CHECKING, Any, NoReturn

import structlog
from pydantic_core import to_json, to_jsonable_python
from structlog.processors import NAME_TO_LEVEL

from listener.domain.outcome import LogLine
from listener.domain.traceback_text import exception_text
from listener.handler_api.jsonable import clean, clean_text
from listener.masking.redaction import hiding, mask_line, redact, redact_head, redact_tail

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, MutableMapping

    from structlog.typing import FilteringBoundLogger, Processor, WrappedLogger

    from listener.masking.masker import Masker
    from listener.ports import Clock

MAX_LINES = 1000
MAX_BYTES = 1024 * 1024
"""Together; a run that logs more is not followed any further, neither in the ledger nor in the service's log."""
MAX_MESSAGE_CHARACTERS = 8 * 1024
MAX_FIELDS_BYTES = 8 * 1024
KEPT_FROM_LEVEL = logging.INFO
"""Debug lines go only to the service's log; the job's owner reads the ledger."""
METHODS = ("debug", "info", "msg", "warning", "warn", "error", "exception", "critical", "fatal")
LEVEL_NAMES = {"exception": "error", "fatal": "critical", "warn": "warning"}
IDENTITY = ("job_id", "execution_id", "handler", "attempt")
"""Bound to every line of the service's log; the ledger's rows have columns for them."""


format_exception = structlog.processors.ExceptionRenderer(exception_text)


class RunLog:
    """The lines of one run; threads may write while the loop takes them out.

    Args:
        clock: dates the lines.
        masker: masks the run's secret values in every line.
    """

    __slots__ = ("_bytes", "_clock", "_lines", "_masker", "_processors", "_seen", "is_shown")

    def __init__(self, clock: Clock, masker: Masker | None = None) -> None:
        self._clock, self._masker = clock, masker
        self._lines: deque[LogLine] = deque()
        self._seen, self._bytes = [0, 0], 0  # lines for the service's log alone, and for the ledger
        self._processors = _Processors()
        self.is_shown = True  # with the service's own lines

    def logger(self, identity: Mapping[str, object]) -> FilteringBoundLogger:
        """Make the logger that a handler uses: structlog's, with this log before its processors."""
        others = structlog.get_config()["processors"]
        shown = [*others, *([] if mask_line in others else [mask_line])] if self.is_shown else [_drop]
        processors: list[Processor] = [self._limit, redact, self._keep, *shown]
        if self._masker is not None:  # a thread of the handler's own does not inherit what its run hides
            processors = [_hidden(each, self._masker) for each in processors]
        self._processors[:] = processors
        wrapper = _logger_class(min(KEPT_FROM_LEVEL, _lowest_shown()) if self.is_shown else KEPT_FROM_LEVEL)
        logger: FilteringBoundLogger = structlog.wrap_logger(None, self._processors, wrapper).bind(**identity)
        return logger

    def take(self) -> tuple[LogLine, ...]:
        """Remove and return the lines logged since the last call, oldest first."""
        taken = []
        while self._lines:
            taken.append(self._lines.popleft())
        return tuple(taken)

    def put_back(self, lines: Iterable[LogLine]) -> None:
        """Add lines that were logged elsewhere, such as in a worker."""
        self._lines.extend(lines)

    def _limit(self, _: WrappedLogger, method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        """Drop what is too much before anything is done with it: the loop would do that, and all runs wait for it."""
        is_kept = _is_kept(method)
        self._seen[is_kept] += 1
        if self._seen[is_kept] <= MAX_LINES and self._bytes <= MAX_BYTES:
            return event
        if not self._processors.are_closed[is_kept]:
            self._processors.are_closed[is_kept] = True
            if is_kept:
                self._add("warning", f"no line after the first {self._seen[True] - 1} was kept", {})
        raise structlog.DropEvent

    def _keep(self, _: WrappedLogger, method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        if not _is_kept(method):
            self._bytes += getattr(event, "characters", 0)
            return event
        message = event.get("event", "")
        if not isinstance(message, str):
            message = redact_head(str(message), MAX_MESSAGE_CHARACTERS)
        message, fields = clean_text(message), _fields(event, method)
        self._bytes += len(message) + len(to_json(fields))
        self._add(LEVEL_NAMES.get(method, method), message, fields)
        return event if "unprintable" not in fields else {**_known(event), **fields}

    def _add(self, level: str, message: str, fields: Mapping[str, Any]) -> None:
        self._lines.append(LogLine(self._clock.now(), level, message, fields))


class _Processors(list["Processor"]):
    """The processors of a run's logger and of what is bound to it; closed to what the run's log takes no more.

    `are_closed` has lines for the service's log alone first, and then lines for the ledger.
    """

    def __init__(self) -> None:
        super().__init__()
        self.are_closed = [False, False]


@cache
def _logger_class(level: int) -> Any:  # noqa: ANN401 - structlog makes the class
    """Make structlog's logger, whose methods return at once when their lines would be dropped."""
    base = structlog.make_filtering_bound_logger(level)
    return type("RunLogger", (base,), {name: _unless_closed(name, getattr(base, name)) for name in METHODS})


def _unless_closed(name: str, method: Callable[..., Any]) -> Callable[..., Any]:
    is_kept = _is_kept(name)

    def log(self: Any, *args: Any, **fields: Any) -> Any:  # noqa: ANN401 - structlog's own signature
        return None if self._processors.are_closed[is_kept] else method(self, *args, **fields)

    return log


def _lowest_shown() -> int:
    """Return the level from which the service's log shows lines; an application may have configured it otherwise."""
    level = getattr(structlog.get_config()["wrapper_class"], "get_effective_level", None)
    return logging.DEBUG if level is None else int(level(None))


def _fields(event: Mapping[str, Any], method: str) -> dict[str, Any]:
    fields = {key: value for key, value in event.items() if key != "event" and key not in IDENTITY}
    if fields.get("exc_info") or method == "exception":
        fields["exc_info"] = fields.get("exc_info") or True
        fields = dict(format_exception(None, method, fields))
        fields["exception"] = redact_tail(str(fields.get("exception", "")), MAX_FIELDS_BYTES // 2)
    try:
        plain: dict[str, Any] = clean(to_jsonable_python(fields, fallback=repr, inf_nan_mode="null"))
        size = len(to_json(plain))
    except Exception as error:  # noqa: BLE001 - a field's own repr may raise anything; a log line must not end the run
        why = f"{type(error).__name__}: {error}, in one of {', '.join(map(str, fields))}"
        return {"unprintable": clean_text(redact_head(why, MAX_FIELDS_BYTES // 2))}
    return plain if size <= MAX_FIELDS_BYTES else {"truncated": True, "bytes": size, "fields": sorted(plain)[:20]}


def _is_kept(method: str) -> bool:
    return NAME_TO_LEVEL.get(method, logging.INFO) >= KEPT_FROM_LEVEL


def _drop(*_: object) -> NoReturn:
    raise structlog.DropEvent


def _hidden(processor: Processor, masker: Masker) -> Processor:
    def hidden(logger: WrappedLogger, method: str, event: Any) -> Any:  # noqa: ANN401 - structlog's own signature
        with hiding(masker):
            return processor(logger, method, event)

    return hidden


def _known(event: Mapping[str, Any]) -> dict[str, Any]:
    return {key: event[key] for key in ("event", *IDENTITY) if key in event}
