"""Each cell of one table: who selects, inserts, updates and deletes which rows, over the REST API."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from cast import ROLES

from listener.local.keys import user_id

if TYPE_CHECKING:
    from collections.abc import Callable

    import httpx
    from cast import Tenancy

VERBS = {"s": "select", "i": "insert", "u": "update", "d": "delete"}
MATRIX = """
    table               row        anon stranger viewer editor admin owner service
    scheduled_jobs      private    ---- ----     ----   ----   ----  siud  s-ud
    scheduled_jobs      workspace  ---- ----     s---   siud   siud  ----  siud
    job_executions      private    ---- ----     ----   ----   ----  si--  siud
    job_executions      workspace  ---- ----     s---   si--   si--  ----  siud
    job_execution_logs  private    ---- ----     ----   ----   ----  s---  si-d
    job_execution_logs  workspace  ---- ----     s---   s---   s---  ----  si-d
    job_audit           private    ---- ----     ----   ----   ----  s---  s---
    job_audit           workspace  ---- ----     s---   s---   s---  ----  s---
    meetings            private    ---- ----     ----   ----   ----  siud  siud
    meetings            workspace  ---- ----     s---   siud   siud  ----  siud
    job_handlers        any        ---- s---     s---   s---   s---  s---  s---
    job_listeners       any        ---- ----     ----   ----   ----  ----  s---
    job_notifications   own        ---- s-ud     s-ud   s-ud   s-ud  s-ud  siud
    job_notifications   another    ---- ----     ----   ----   ----  ----  siud
    job_alert_channels  private    ---- ----     ----   ----   ----  siud  siud
    job_alert_channels  workspace  ---- ----     s---   s---   siud  ----  siud
    job_alert_rules     private    ---- ----     ----   ----   ----  siud  siud
    job_alert_rules     workspace  ---- ----     s---   siud   siud  ----  siud
    job_alerts          private    ---- ----     ----   ----   ----  s-u-  s-ud
    job_alerts          workspace  ---- ----     s---   s-u-   s-u-  ----  s-ud
    job_alert_deliveries private   ---- ----     ----   ----   ----  s---  s---
    job_alert_deliveries workspace ---- ----     s---   s---   s---  ----  s---
    job_activity        private    ---- ----     ----   ----   ----  s---  s---
    job_activity        workspace  ---- ----     s---   s---   s---  ----  s---
    job_workspaces          workspace  ---- -i--     si--   si--   siud  -i--  siud
    job_workspace_members   another    ---- ----     s---   s---   s-ud  ----  siud
    job_workspace_members   own        ---- ----     s--d   s--d   s-ud  ----  -i--
    job_workspace_invitations another  ---- ----     ----   ----   si-d  ----  siud
    job_workspace_invitations own      ---- s--d     s--d   s--d   si-d  s--d  siud
"""
"""A letter is a verb that takes effect. The owner of private rows is no member of the workspace. An insert of a private
row is one in the owner's name, of `job_workspaces` a new one, of members and invitations that of another."""


@dataclass(frozen=True)
class Target:
    """A row: how the API finds it, what would change it, and what would insert another one like it."""

    where: dict[str, object]
    change: dict[str, object]
    fresh: dict[str, object]


def _job(tenancy: Tenancy, kind: str) -> Target:
    owner = {"created_by": str(user_id("owner"))} if kind == "private" else {"workspace_id": str(tenancy.workspace)}
    where = {"id": getattr(tenancy, f"{kind}_job")}
    return Target(where, {"name": "changed"}, {"handler": "noop", "run_date": "2099-01-01T00:00:00Z", **owner})


def _run(tenancy: Tenancy, kind: str) -> Target:
    job = {"scheduled_job_id": getattr(tenancy, f"{kind}_job")}
    return Target({"id": tenancy.run(kind)}, {"status": "failed"}, job)


def _log(tenancy: Tenancy, kind: str) -> Target:
    run = {"execution_id": str(tenancy.run(kind))}
    line = tenancy.add("job_execution_logs", message="said", **run)
    return Target({"id": line}, {"message": "changed"}, {"message": "forged", **run})


def _act(tenancy: Tenancy, kind: str) -> Target:
    act = {"scheduled_job_id": getattr(tenancy, f"{kind}_job"), "role": "authenticated", "action": "cancel"}
    owner = {name: str(value) for name, value in tenancy.owned(kind).items()}
    return Target({"id": tenancy.add("job_audit", **act, **owner)}, {"action": "delete"}, {**act, **owner})


def _meeting(tenancy: Tenancy, kind: str) -> Target:
    owner = {"created_by": str(user_id("owner"))} if kind == "private" else {"workspace_id": str(tenancy.workspace)}
    where = {"id": tenancy.add("meetings", end_time="2099-01-01Z", **tenancy.owned(kind))}
    return Target(where, {"title": "changed"}, {"end_time": "2099-01-01T00:00:00Z", **owner})


def _handler(tenancy: Tenancy, _kind: str) -> Target:
    name = tenancy.add("job_handlers", name=f"h{uuid.uuid4().hex}")
    return Target({"name": name}, {"exposed": True}, {"name": f"h{uuid.uuid4().hex}", "exposed": True})


def _listener(tenancy: Tenancy, _kind: str) -> Target:
    row = {"id": str(uuid.uuid4()), "name": "n", "heartbeat_at": "2099-01-01Z"}
    return Target({"id": tenancy.add("job_listeners", **row)}, {"name": "changed"}, {**row, "id": str(uuid.uuid4())})


def _activity(tenancy: Tenancy, kind: str) -> Target:
    owner = {"created_by": user_id("owner")} if kind == "private" else {"workspace_id": tenancy.workspace}
    where = {"tenant_id": next(iter(owner.values())), "handler": "noop"}
    row = {**where, **owner, "hour": "2020-01-01T00:00:00Z"}
    names, places = ", ".join(row), ", ".join(["%s"] * len(row))
    query = f"insert into public.job_activity ({names}) values ({places}) on conflict do nothing"  # noqa: S608 - ours
    tenancy.database.execute(query, list(row.values()))
    another = {name: str(value) for name, value in row.items()} | {"hour": "2021-01-01T00:00:00Z"}
    return Target(where, {"failed": 7}, another)


def _channel(tenancy: Tenancy, kind: str) -> Target:
    owner = {name: str(value) for name, value in _owner(tenancy, kind).items()}
    where = {"id": tenancy.add("job_alert_channels", kind="email", target="a@example.com", **tenancy.owned(kind))}
    fresh = {"kind": "webhook", "target": "https://example.com/", "secret": "whsec_" + "c2VjcmV0" * 4, **owner}
    return Target(where, {"name": "changed"}, fresh)


def _rule(tenancy: Tenancy, kind: str) -> Target:
    owner = {name: str(value) for name, value in _owner(tenancy, kind).items()}
    where = {"id": tenancy.add("job_alert_rules", condition="failed", **tenancy.owned(kind))}
    return Target(where, {"name": "changed"}, {"condition": "failing", **owner})


def _alert(tenancy: Tenancy, kind: str) -> Target:
    rule = tenancy.add("job_alert_rules", condition="failed", **tenancy.owned(kind))
    owner = {name: str(value) for name, value in tenancy.owned(kind).items()}
    row = {"rule_id": str(rule), "condition": "failed", "subject": "handler:noop", **owner}
    return Target({"id": tenancy.add("job_alerts", **row)}, {"status": "acknowledged"}, {**row, "subject": "all"})


def _delivery(tenancy: Tenancy, kind: str) -> Target:
    row = {"kind": "test", "status": "sent", **{name: str(value) for name, value in tenancy.owned(kind).items()}}
    return Target({"id": tenancy.add("job_alert_deliveries", **row)}, {"status": "failed"}, row)


def _owner(tenancy: Tenancy, kind: str) -> dict[str, object]:
    return {"created_by": user_id("owner")} if kind == "private" else {"workspace_id": tenancy.workspace}


def _workspace(tenancy: Tenancy, _kind: str) -> Target:
    return Target({"id": tenancy.workspace}, {"name": "changed"}, {"name": "Another"})


def _invitation(tenancy: Tenancy, kind: str, role: str) -> Target:
    user = user_id(role) if kind == "own" else uuid.uuid4()
    here = {"workspace_id": str(tenancy.workspace)}
    query = "insert into public.job_workspace_invitations (workspace_id, user_id, role) values (%s, %s, 'viewer')"
    tenancy.database.execute(query, [tenancy.workspace, user])
    return Target({**here, "user_id": user}, {"role": "admin"}, {**here, "user_id": str(uuid.uuid4())})


def _membership(tenancy: Tenancy, user: uuid.UUID) -> Target:
    here = {"workspace_id": str(tenancy.workspace)}
    fresh = {**here, "user_id": str(uuid.uuid4()), "role": "admin"}
    return Target({**here, "user_id": user}, {"role": "editor" if user != user_id("editor") else "viewer"}, fresh)


TARGETS: dict[str, Callable[[Tenancy, str], Target]] = {
    "scheduled_jobs": _job,
    "job_executions": _run,
    "job_execution_logs": _log,
    "job_audit": _act,
    "meetings": _meeting,
    "job_handlers": _handler,
    "job_listeners": _listener,
    "job_activity": _activity,
    "job_alert_channels": _channel,
    "job_alert_rules": _rule,
    "job_alerts": _alert,
    "job_alert_deliveries": _delivery,
    "job_workspaces": _workspace,
}


@dataclass(frozen=True)
class Cell:
    """One letter of the table, or its absence."""

    table: str
    kind: str
    role: str
    verb: str
    allowed: bool


def cells() -> list[Any]:
    """Read the table: one parameter set for each table, kind of row, role and verb."""
    head, *lines = (line.split() for line in MATRIX.strip().splitlines())
    assert tuple(head[2:]) == ROLES
    return [
        pytest.param(Cell(table, kind, role, verb, letter in letters), id=f"{role}-{verb}-{kind}-{table}")
        for table, kind, *by_role in lines
        for role, letters in zip(ROLES, by_role, strict=True)
        for letter, verb in VERBS.items()
    ]


def _notification(tenancy: Tenancy, user: uuid.UUID) -> Target:
    row = {"recipient_id": str(user), "message": "Soon", "read_at": "2099-01-01Z"}
    return Target({"id": tenancy.add("job_notifications", **row)}, {"read_at": None}, row)


def target_of(tenancy: Tenancy, cell: Cell) -> Target:
    """Make the row, and a second admin, so that the first one is not kept by being the last."""
    if cell.table == "job_notifications":
        return _notification(tenancy, user_id(cell.role) if cell.kind == "own" else uuid.uuid4())
    if cell.table == "job_workspace_invitations":
        return _invitation(tenancy, cell.kind, cell.role)
    if cell.table != "job_workspace_members":
        return TARGETS[cell.table](tenancy, cell.kind)
    boss = {"workspace_id": tenancy.workspace, "user_id": uuid.uuid4(), "role": "admin"}
    tenancy.database.execute(
        "insert into public.job_workspace_members (workspace_id, user_id, role) "
        "values (%(workspace_id)s, %(user_id)s, %(role)s)",
        boss,
    )
    return _membership(tenancy, boss["user_id"] if cell.kind == "another" else user_id(cell.role))


def rows(tenancy: Tenancy, table: str, where: dict[str, object]) -> list[dict[str, Any]]:
    """Read rows as superuser."""
    conditions = " and ".join(f"{name} = %s" for name in where)
    query = f"select * from public.{table} where {conditions}"  # noqa: S608 - the names are ours
    return tenancy.database.execute(query, list(where.values())).fetchall()


def count(tenancy: Tenancy, table: str) -> int:
    """Count the rows of a table as superuser."""
    return tenancy.database.execute(f"select count(*) as n from public.{table}").fetchone()["n"]  # noqa: S608


def send(cell: Cell, tenancy: Tenancy, target: Target) -> httpx.Response:
    """Ask the API for what the cell says, for nothing to be read back."""
    client, path = tenancy.clients[cell.role], f"/{cell.table}"
    params = {name: f"eq.{value}" for name, value in target.where.items()}
    match cell.verb:
        case "select":
            return client.get(path, params=params)
        case "insert":
            return client.post(path, json=target.fresh)
        case "update":
            return client.patch(path, params=params, json=target.change)
        case _:
            return client.delete(path, params=params)


@pytest.mark.parametrize("cell", cells())
def test_every_cell_is_as_the_table_says(tenancy: Tenancy, cell: Cell):
    """A verb that is not granted is refused with 4xx or finds nothing; either way nothing changes."""
    target = target_of(tenancy, cell)
    before, number = rows(tenancy, cell.table, target.where), count(tenancy, cell.table)
    answer = send(cell, tenancy, target)
    after, added = rows(tenancy, cell.table, target.where), count(tenancy, cell.table) - number
    took_effect = {
        "select": answer.is_success and answer.text not in {"", "[]"},
        "insert": added == 1,
        "update": bool(after) and target.change.items() <= after[0].items(),
        "delete": bool(before) and after == [],
    }[cell.verb]
    assert took_effect is cell.allowed, answer.text
    assert answer.is_success or (answer.is_client_error and not cell.allowed), answer.text
    if not cell.allowed:
        assert (after, added) == (before, 0)
    if cell.role == "anon":
        assert answer.status_code in {401, 403}


def test_no_table_of_the_api_is_left_out(tenancy: Tenancy):
    """The author of a new table declares the rights of each role."""
    query = "select tablename from pg_tables where schemaname = 'public'"
    tables = {row["tablename"] for row in tenancy.database.execute(query).fetchall()}
    assert {line.split()[0] for line in MATRIX.strip().splitlines()[1:]} == tables
