"""As many rows at once as make a hosted project's Realtime drop all changes for 40 s; jobs run on time all the same."""

from __future__ import annotations

from pathlib import Path

import pytest
from anyio import to_thread
from bursts import lateness_of, limited_realtime, probe_through, watching
from child_listener import listeners_on
from supabase_project import connected

pytestmark = [pytest.mark.chaos, pytest.mark.stack]
HANDLERS = Path(__file__).parents[1] / "integration" / "service" / "jobs"
DROP_SECONDS = 40
LIMIT = 10
"""Changes a second on average: of a burst that is delivered for longer than a second, only the first one counts."""
LATE_MS = 2000
DUE_SECONDS = 4.0
"""A listener that has not noticed yet polls each five seconds."""


@pytest.mark.parametrize("channels", ["broadcast,postgres_changes", "postgres_changes"])
@pytest.mark.parametrize("rows", [5_000, 20_000])
async def test_jobs_inserted_while_realtime_drops_everything_run_on_time(stack, tmp_path, rows, channels):
    """Whether another channel still delivers or not, and with every setting as it is by default."""
    with (
        limited_realtime(stack, LIMIT, tmp_path) as url,
        connected(stack) as project,
        listeners_on(stack, tmp_path, HANDLERS) as listeners,
    ):
        async with watching(url, stack.service_key) as seen:
            await to_thread.run_sync(lambda: listeners.start(SUPABASE_URL=url, channels=channels))
            probes = await probe_through(project, rows, DROP_SECONDS, DUE_SECONDS)
            late = await to_thread.run_sync(lateness_of, project, probes, 30)
        dropped = [probe for probe in probes if probe not in seen]
        assert len(dropped) > len(probes) / 2, "too little was dropped to prove anything"
        assert max(late) <= LATE_MS
