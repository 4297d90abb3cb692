"""Connections that went silent, behind a gateway that is well: jobs begin within three seconds all the same."""

from __future__ import annotations

import pytest
from anyio.from_thread import start_blocking_portal
from faulty_proxy import Mode, TcpRoad, running_proxy
from patience import allowed
from ways import both_ways


@pytest.fixture
def road(embedded_stack):
    """Give a road to the stack, and what goes silent on it: everything that is connected now."""
    with (
        start_blocking_portal() as portal,
        portal.wrap_async_context_manager(running_proxy(TcpRoad(embedded_stack.ports["api"]))) as api,
        portal.wrap_async_context_manager(running_proxy(TcpRoad(embedded_stack.ports["postgres"]))) as database,
    ):

        def go_silent():
            for proxy in (api, database):
                for mode in (Mode.HALF_OPEN, Mode.PASS):
                    portal.call(setattr, proxy, "mode", mode)

        yield api.port, database.port, go_silent


@both_ways
def test_jobs_begin_although_every_connection_went_silent(project, listeners, road) -> None:
    """Those that were armed, and those that only a poll finds; each ends once."""
    api, database, go_silent = road
    listeners.by_ports(api, database)
    listeners.start(poll_seconds=1, stale_poll_seconds=1)
    for job in [project.insert() for _ in range(20)]:
        assert project.wait(job)["status"] == "completed"
    armed = [project.insert(run_date=project.soon(2 + number / 10)) for number in range(20)]
    project.sql.execute("select pg_sleep(1)")
    go_silent()
    found = [project.insert() for _ in range(5)]
    for job in armed + found:
        assert project.wait(job, within=allowed(10, 30))["status"] == "completed"
    for job in armed + found:
        (run,) = project.ledger(job)
        assert run["lateness_ms"] < allowed(3000, 6000), (job in armed, run)
