"""Classifies a failed call: may it be repeated, was it carried out, did a row cause it, must an operator act.

PostgreSQL's and PostgREST's codes say most; without one, the HTTP status or the kind of the transport's fault does.
Every function may be called twice, so a call that may have been carried out may be repeated too.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import aiohttp
from pydantic_core import from_json

from listener.errors import NotConnectedError, RefusedConnectionError, StoreError, TransportError

NO_RIGHT_TO_CALL = "permission denied for function"
"""PostgreSQL gives this message the code of a missing right to a row, but no row is the cause."""
BROKEN = "(no code)"
"""Measured: PostgREST's answer, with status 400, when its connection breaks in the middle of a statement."""
RESTORED = "JS001"
"""The code of `job_scheduler.refuse_restored`: the database was restored from a dump, and nobody has confirmed it."""
ADVICE = {"PGRST202": "apply the migrations with `listener migrate`"}
KEY = "set SUPABASE_SECRET_KEY (or SUPABASE_SERVICE_ROLE_KEY) to a secret key of the project at SUPABASE_URL"
REMEDIES = {
    **dict.fromkeys(["401", "403", "42501", "PGRST301", "PGRST302"], KEY),
    **dict.fromkeys(["PGRST202", "PGRST204", "PGRST205"], "apply the migrations with `listener migrate`"),
    **dict.fromkeys(["404", "unreadable"], "set SUPABASE_URL to the URL of a Supabase project"),
    RESTORED: "to run its jobs here: `select job_scheduler.confirm_restore()`, or LISTENER_RUN_RESTORED=true",
    "25006": "make the database writable again",
    "53100": "give the database more disk",
}
OF_TRANSPORT = "check SUPABASE_URL, and whether this machine reaches its host and port"
OF_CONNECTION = (
    "check LISTENER_DATABASE_URL, and whether this machine reaches its host and port: a project's direct connection has"
    " an IPv6 address only, its session pooler has an IPv4 address too"
)
TRANSACTION_POOLER = "transaction_pooler"
"""The word for a pooler that gives each transaction another session."""
LOG_IN = "LISTENER_DATABASE_URL should name a role that may log in and become service_role, such as postgres"
OF_REFUSAL = {
    TRANSACTION_POOLER: "LISTENER_DATABASE_URL should lead to the database itself or to its session pooler, port 5432",
    "42501": LOG_IN,
}
"""Remedies of refused connections, by code; for others, `LOG_IN`."""
OWN_CODES = re.compile(r"[0-9A-Z]{5}|PGRST\w+")
"""Codes of PostgreSQL and PostgREST; proxies have codes of their own, for which the HTTP status is used instead."""


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
    # PostgREST has no connection, PostgreSQL accepts no more
    **dict.fromkeys(["PGRST000", "PGRST001", "PGRST002", "PGRST003", "53300", "57P03"], NOT_DONE),
    # rolled back: a serialization failure, a deadlock
    **dict.fromkeys(["40001", "40P01"], NOT_DONE),
    # the time limit, or a row that another transaction has locked
    **dict.fromkeys(["57014", "55P03"], TOO_MUCH),
    # the server went down, perhaps after the commit: the outcome is unknown
    **dict.fromkeys(["57P01", "57P02", "40003"], MAYBE_APPLIED),
    # a read-only database, a full disk, a restored database
    **dict.fromkeys(["25006", "53100", RESTORED], SLOWLY),
    # a schema cache that is outdated, a token from a clock that is ahead
    **dict.fromkeys(["PGRST202", "PGRST204", "PGRST205", "PGRST303"], BOUNDED),
    "42501": ROW,  # a right that one row lacks
}
TRIGGERS = re.compile(r"(42|P0)...")
"""Codes that a project's own trigger on our tables may raise, on purpose or because it is wrong."""
OF_ROWS = frozenset(
    {"claim_runs_v1", "extend_leases_v1", "finish_runs_v1", "note_runs_v1", "park_runs_v1", "plan_jobs_v1"}
)
"""Functions that are given rows, one of which may be the cause."""
CLASSES: tuple[tuple[str, Meaning], ...] = (
    ("08", MAYBE_APPLIED),  # the connection broke
    ("53", SLOWLY),  # out of memory, of files
    ("58", SLOWLY),  # the disk
    # Faults that a row may cause: its values, its constraints, somebody's trigger on it.
    *((each, ROW) for each in ("21", "22", "23", "54", "P0", "XX", "PGRST1")),
)
STATUSES: dict[int, Meaning] = {
    **dict.fromkeys([425, 429], NOT_DONE),
    **dict.fromkeys([408, 500, 502, 503, 504], MAYBE_APPLIED),
}
NOT_SENT = (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError, NotConnectedError)


def of_code(code: str) -> Meaning:
    """Return the meaning of a database code."""
    by_class = (meaning for prefix, meaning in CLASSES if code.startswith(prefix))
    return CODES.get(code) or next(by_class, NEVER)


def of_answer(function: str, status: int, body: bytes, *, overdue: bool) -> StoreError:
    """Return the meaning of a failed answer; `overdue`: the function has failed for longer than a fault may last."""
    try:
        answer = from_json(body)
        named = answer.get("code")
        code, message = str(status if named is None else named), str(answer.get("message") or answer)
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


def remedy(fault: StoreError) -> str:
    """Return what an operator may do about a fault."""
    if isinstance(fault.__cause__, RefusedConnectionError):
        return OF_REFUSAL.get(fault.code, LOG_IN)
    if isinstance(fault.__cause__, TransportError):
        return OF_CONNECTION
    of_others = (
        OF_TRANSPORT if fault.code.isalpha() or fault.code.startswith("5") else "`listener doctor` looks for the cause"
    )
    return REMEDIES.get(fault.code, of_others)


def text_of(body: bytes) -> str:
    """Return the beginning of an answer that is not the database's, for a message."""
    return body[:200].decode(errors="replace")


def of_transport(function: str, error: aiohttp.ClientError | TimeoutError | TransportError) -> StoreError:
    """Return the meaning of a transport fault."""
    if isinstance(error, RefusedConnectionError):
        return fault(function, error.code, str(error), NEVER)
    meaning = NOT_DONE if isinstance(error, NOT_SENT) else MAYBE_APPLIED
    return fault(function, type(error).__name__, str(error) or "no answer in time", meaning)


def fault(function: str, code: str, message: str, meaning: Meaning, *, overdue: bool = False) -> StoreError:
    """Return the error; a bounded fault that is overdue counts as permanent."""
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
