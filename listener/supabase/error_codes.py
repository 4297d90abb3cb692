"""What a fault of a call means: may it be repeated, was it carried out, is a row the cause, must an operator act.

PostgreSQL's and PostgREST's codes tell most; without one, the HTTP status or the kind of the transport's fault does.
Every function may be called twice, so what may have been carried out may be repeated too.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import aiohttp
from pydantic_core import from_json

from listener.errors import StoreError

NO_RIGHT_TO_CALL = "permission denied for function"
"""Said by the code of a right that a row lacks, and no row is to blame."""
BROKEN = "(no code)"
"""Measured: what PostgREST answers, with status 400, when its connection ends in the middle of a statement."""
ADVICE = {"PGRST202": "apply the migrations with `listener migrate`"}
OWN_CODES = re.compile(r"[0-9A-Z]{5}|PGRST\w+")
"""PostgreSQL's and PostgREST's; what stands between here and them has codes of its own, and the status tells more."""


@dataclass(frozen=True, slots=True)
class Meaning:
    """The flags of `StoreError`; `bounded` faults pass by themselves, or after a while an operator has to fix them."""

    retryable: bool
    split_batch: bool = False
    maybe_applied: bool = False
    needs_operator: bool = False
    bounded: bool = False


NOT_DONE = Meaning(retryable=True)
MAYBE_APPLIED = Meaning(retryable=True, maybe_applied=True)
TOO_MUCH = Meaning(retryable=True, split_batch=True)
SLOWLY = Meaning(retryable=True, needs_operator=True)
BOUNDED = Meaning(retryable=True, bounded=True)
ROW = Meaning(retryable=False, split_batch=True)
NEVER = Meaning(retryable=False, needs_operator=True)
ROW_UNLESS_ALL = Meaning(retryable=False, split_batch=True, needs_operator=True)
"""A row's, through somebody's trigger on its table; an operator's, if the rows of several jobs all meet it."""

CODES: dict[str, Meaning] = {
    # PostgREST has no connection, PostgreSQL no room for one
    **dict.fromkeys(["PGRST000", "PGRST001", "PGRST002", "PGRST003", "53300", "57P03"], NOT_DONE),
    # rolled back: a serialization failure, a deadlock
    **dict.fromkeys(["40001", "40P01"], NOT_DONE),
    # the time limit, or a row that somebody holds
    **dict.fromkeys(["57014", "55P03"], TOO_MUCH),
    # the server went down, perhaps after the commit; nobody knows whether it was done
    **dict.fromkeys(["57P01", "57P02", "40003"], MAYBE_APPLIED),
    # a read-only database, a full disk
    **dict.fromkeys(["25006", "53100"], SLOWLY),
    # a schema cache that is behind, a token from a clock that is ahead
    **dict.fromkeys(["PGRST202", "PGRST204", "PGRST205", "PGRST303"], BOUNDED),
    "42501": ROW,  # a right that one row lacks
}
TRIGGERS = re.compile(r"(42|P0)...")
"""What a project's own trigger on our tables may raise on purpose, or because it is wrong."""
OF_ROWS = frozenset(
    {"claim_runs_v1", "extend_leases_v1", "finish_runs_v1", "note_runs_v1", "park_runs_v1", "plan_jobs_v1"}
)
"""Functions that are given rows, one of which may be the cause."""
CLASSES: tuple[tuple[str, Meaning], ...] = (
    ("08", MAYBE_APPLIED),  # the connection broke
    ("53", SLOWLY),  # out of memory, of files
    ("58", SLOWLY),  # the disk
    # What a row may do to the statement: its values, its constraints, somebody's trigger on it.
    *((each, ROW) for each in ("21", "22", "23", "54", "P0", "XX", "PGRST1")),
)
STATUSES: dict[int, Meaning] = {
    **dict.fromkeys([425, 429], NOT_DONE),
    **dict.fromkeys([408, 500, 502, 503, 504], MAYBE_APPLIED),
}
NOT_SENT = (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError)


def of_code(code: str) -> Meaning:
    """Look up a code of the database's."""
    by_class = (meaning for prefix, meaning in CLASSES if code.startswith(prefix))
    return CODES.get(code) or next(by_class, NEVER)


def of_answer(function: str, status: int, body: bytes, *, overdue: bool) -> StoreError:
    """Read an answer that is no success; `overdue` says that the function fails for longer than it may."""
    try:
        answer = from_json(body)
        told = answer.get("code")
        code, message = str(status if told is None else told), str(answer.get("message") or answer)
    except (ValueError, AttributeError):
        code, message = str(status), text_of(body)
    meaning = of_code(code) if OWN_CODES.fullmatch(code) else STATUSES.get(status, NEVER)
    if function in OF_ROWS and TRIGGERS.fullmatch(code) and message != f"{NO_RIGHT_TO_CALL} {function}":
        meaning = ROW_UNLESS_ALL
    elif message.startswith(NO_RIGHT_TO_CALL):
        meaning = NEVER
    if code in ADVICE:
        message = f"{message}; {ADVICE[code]}"
    return fault(function, code or BROKEN, message, meaning if code else MAYBE_APPLIED, overdue=overdue)


def text_of(body: bytes) -> str:
    """Give the beginning of an answer that is not the database's, for a message."""
    return body[:200].decode(errors="replace")


def of_transport(function: str, error: aiohttp.ClientError | TimeoutError) -> StoreError:
    """Read a fault on the way there, or back."""
    meaning = NOT_DONE if isinstance(error, NOT_SENT) else MAYBE_APPLIED
    return fault(function, type(error).__name__, str(error) or "no answer in time", meaning)


def fault(function: str, code: str, message: str, meaning: Meaning, *, overdue: bool = False) -> StoreError:
    """Make the error; a bounded fault that is overdue is one that does not pass."""
    given_up = meaning.bounded and overdue
    return StoreError(
        function,
        code,
        message,
        retryable=meaning.retryable and not given_up,
        split_batch=meaning.split_batch,
        maybe_applied=meaning.maybe_applied,
        needs_operator=meaning.needs_operator or given_up,
    )
