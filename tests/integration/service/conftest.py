"""Listeners in processes of their own against the session's stack, and the project as its users see it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from child_listener import free_port, listeners_on
from emptying import empty
from patience import until
from supabase_project import connected

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from child_listener import Listener, Listeners
    from supabase_project import Project

    from listener.local.stack import Stack

HERE = Path(__file__).parent
HANDLERS = HERE / "jobs"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything here needs the stack."""
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.stack)


@pytest.fixture(scope="module")
def project(embedded_stack: Stack, tables_to_empty: list[str]) -> Iterator[Project]:
    """Give the project, empty at the start of each module."""
    with connected(embedded_stack) as project:
        project.sql.execute("delete from auth.users")
        empty(project.sql, tables_to_empty)
        yield project


@pytest.fixture(scope="module")
def shared_settings(request: pytest.FixtureRequest) -> dict[str, object]:
    """Give the settings of the module's listener: its `LISTENER`."""
    return getattr(request.module, "LISTENER", {})


@pytest.fixture(scope="module")
def way(request: pytest.FixtureRequest) -> str:
    """Name the way of the listeners to their database: that of `both_ways`, else `--direct` decides."""
    return getattr(request, "param", "direct" if request.config.option.direct else "postgrest")


@pytest.fixture(scope="module")
def way_settings(way: str, embedded_stack: Stack) -> dict[str, str]:
    """Give the settings of that way."""
    return {"LISTENER_DATABASE_URL": embedded_stack.database_url} if way == "direct" else {}


@pytest.fixture(scope="module")
def database_url(way_settings: dict[str, str]) -> str | None:
    """Give what a listener inside this process needs for that way."""
    return way_settings.get("LISTENER_DATABASE_URL")


@pytest.fixture(scope="module")
def listener_factory(
    embedded_stack: Stack,
    project: Project,
    shared_settings: dict[str, object],
    way_settings: dict[str, str],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Callable[[], Listener]]:
    """Give a starter of listeners that live as long as a module, with its settings."""
    with listeners_on(embedded_stack, tmp_path_factory.mktemp("listener"), HANDLERS, way_settings) as listeners:
        yield lambda: listeners.start(**shared_settings)


@pytest.fixture(scope="module")
def listener(listener_factory: Callable[[], Listener]) -> Listener:
    """Run one listener for all tests of a module."""
    return listener_factory()


@pytest.fixture
def listeners(
    embedded_stack: Stack, project: Project, way_settings: dict[str, str], tmp_path: Path
) -> Iterator[Listeners]:
    """Give a starter of listeners that live for one test."""
    with listeners_on(embedded_stack, tmp_path, HANDLERS, way_settings) as listeners:
        yield listeners


@pytest.fixture
def marks(tmp_path: Path) -> Path:
    """Give a file in which handlers leave marks."""
    path = tmp_path / "marks"
    path.touch()
    return path


@pytest.fixture
def eventually() -> Callable[..., Any]:
    """Give `until`."""
    return until


@pytest.fixture
def a_free_port() -> int:
    """Give a port that nobody has."""
    return free_port()
