"""Plans that read the ledger."""

from __future__ import annotations

from typing import TYPE_CHECKING

from listener.client.errors import JobNotFound
from listener.client.jobs import EXECUTIONS, PAGE, id_of
from listener.client.models import Answers, Execution, LogLine, Statistics
from listener.client.requests import Call, Select

if TYPE_CHECKING:
    from uuid import UUID

    from listener.client.columns import Defaults
    from listener.client.jobs import JobRef
    from listener.client.requests import Plan

LOGS = "job_execution_logs"


def get_execution(_: Defaults, execution: Execution | UUID | str) -> Plan[Execution]:
    """Return a run as it is now.

    Raises:
        JobNotFound: no such run that the caller may see.
    """
    key = _key(execution)
    rows = yield Select(EXECUTIONS, {"id": key})
    if not rows:
        message = f"no execution {key} that you may see"
        raise JobNotFound(message)
    return Execution.model_validate(rows[0])


def get_history(own: Defaults, job: JobRef, limit: int = 100) -> Plan[Answers[Execution]]:
    """Return the latest runs of a job, latest first; also instants that did not run, with the reason.

    Raises:
        JobNotFound: no job has this `job_id`.
    """
    where = {"scheduled_job_id": (yield from id_of(own, job))}
    rows = yield Select(EXECUTIONS, where, order="scheduled_for", descending=True, limit=min(limit, PAGE))
    return Answers(map(Execution.model_validate, rows))


def get_logs(_: Defaults, execution: Execution | UUID | str) -> Plan[Answers[LogLine]]:
    """Return what a run's handler logged, in order; a run has at most 1,000 lines."""
    rows = yield Select(LOGS, {"execution_id": _key(execution)}, limit=PAGE)
    return Answers(map(LogLine.model_validate, rows))


def get_statistics(own: Defaults, job: JobRef) -> Plan[Statistics]:
    """Return the statistics of a job.

    Raises:
        JobNotFound: no such job that the caller may see.
    """
    return Statistics.model_validate((yield Call("job_stats", {"job": (yield from id_of(own, job))})))


def _key(execution: Execution | UUID | str) -> str:
    return str(execution.id if isinstance(execution, Execution) else execution)
