"""All that the dashboard needs, outside of pytest: a stack, a listener that serves it, people and a browser."""

from __future__ import annotations

import contextlib
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from anyio.from_thread import start_blocking_portal
from child_listener import listeners_on
from dashboard_browser import Visits, chromium
from dashboard_team import make_team
from supabase_project import connected

from listener.local.stack import temporary_stack

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dashboard_team import Team
    from supabase_project import Project

JOBS = Path(__file__).parents[1] / "dashboard" / "jobs"


@dataclass(frozen=True)
class Parts:
    """The running parts: `visits` opens windows, and `dsn` is the database's superuser's."""

    team: Team
    project: Project
    dsn: str
    visits: Visits
    folder: Path


@contextlib.contextmanager
def running_parts(handlers: str) -> Iterator[Parts]:
    """Run everything while the block runs; nothing stays."""
    with (
        tempfile.TemporaryDirectory(prefix="dashboard-") as name,
        start_blocking_portal() as portal,
        portal.wrap_async_context_manager(temporary_stack()) as stack,
        connected(stack) as project,
        listeners_on(stack, Path(name), JOBS) as listeners,
        chromium() as browser,
    ):
        listener = listeners.start(handlers=handlers)
        team = make_team(stack, project.sql)
        visits = Visits(browser, team, listener.url)
        yield Parts(team, project, stack.admin_dsn, visits, Path(name))
        visits.close(checked=False)
