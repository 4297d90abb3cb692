"""Thousands of rows at once make Realtime drop what follows, without a word; jobs run on time all the same."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest
from anyio import to_thread
from bursts import lateness_of, limited_realtime, probe_through, watching
from child_listener import listeners_on
from supabase_project import connected

HANDLERS = Path(__file__).parents[1] / "service" / "jobs"
ROWS, LIMIT, TICK, SECONDS = 900, 20, 0.5, 5
"""The real numbers are 5,000 rows, 100 a second, 5 s and 60 s; `tests/chaos/test_bursts.py` is nearer to those."""
SHORT = {"poll_seconds": 3, "probe_seconds": 2}


@pytest.mark.stack
async def test_jobs_inserted_while_realtime_drops_everything_run_on_time(stack, tmp_path):
    """Where the channel that drops is the only one; and what it dropped is counted."""
    with (
        limited_realtime(stack, LIMIT, tmp_path, TICK) as url,
        connected(stack) as project,
        listeners_on(stack, tmp_path, HANDLERS) as listeners,
    ):
        async with watching(url, stack.service_key) as seen:
            settings = {"SUPABASE_URL": url, "channels": "postgres_changes", **SHORT}
            listener = await to_thread.run_sync(lambda: listeners.start(**settings))
            assert (await to_thread.run_sync(listener.describe))["feed_state"] == "receiving"
            probes = await probe_through(project, ROWS, SECONDS, due_in=2.5)
            late = await to_thread.run_sync(lateness_of, project, probes, 15)
            assert set(probes) - seen.keys(), "nothing was dropped: this proves nothing"
        assert max(late) <= 2000
        metrics = (await to_thread.run_sync(httpx.get, f"{listener.url}/metrics")).text
        (missed,) = [line for line in metrics.splitlines() if line.startswith("listener_feed_changes_missed_total")]
        assert float(missed.split()[1]) >= 1
