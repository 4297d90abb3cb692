"""The dashboard in a real browser, on the session's stack, served by a listener: one of each for a module's tests.

`visit("editor").go("/jobs")` opens a route as somebody; at the test's end each window must have asked no other host,
and have nothing in its console. `team` inserts jobs as one of its people, `project` with the service key.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from child_listener import listeners_on
from dashboard_browser import Visits, chromium
from dashboard_team import make_team
from emptying import empty
from supabase_project import connected

if TYPE_CHECKING:
    from collections.abc import Iterator

    from child_listener import Listener
    from dashboard_team import Team
    from playwright.sync_api import Browser
    from supabase_project import Project

    from listener.local.stack import Stack

HERE = Path(__file__).parent
BUILT = HERE.parents[1] / "listener" / "_dashboard" / "index.html"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything here needs the stack and a browser."""
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.stack)
            item.add_marker(pytest.mark.browser)


@pytest.fixture(scope="module")
def project(embedded_stack: Stack, tables_to_empty: list[str]) -> Iterator[Project]:
    """Give the project, empty at the start of each module."""
    with connected(embedded_stack) as project:
        project.sql.execute("delete from auth.users")
        empty(project.sql, tables_to_empty)
        yield project


@pytest.fixture(scope="module")
def team(embedded_stack: Stack, project: Project) -> Team:
    """Give a workspace with its people, and a stranger."""
    return make_team(embedded_stack, project.sql)


@pytest.fixture(scope="module")
def listener(embedded_stack: Stack, project: Project, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Listener]:
    """Run a listener that has the handlers of `jobs` and serves the dashboard."""
    assert BUILT.exists(), "the dashboard was not built: make install"
    with listeners_on(embedded_stack, tmp_path_factory.mktemp("listener"), HERE / "jobs") as listeners:
        yield listeners.start(handlers="handlers,dashboard_handlers")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Run a browser. Not for the whole session: Playwright's loop would be in the way of other modules' own."""
    with chromium() as browser:
        yield browser


@pytest.fixture
def visit(browser: Browser, listener: Listener, team: Team, request: pytest.FixtureRequest) -> Iterator[Visits]:
    """Give what opens windows, which are checked at the end."""
    visits = Visits(browser, team, listener.url)
    yield visits
    visits.close()
