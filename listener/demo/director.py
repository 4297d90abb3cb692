"""Does what a user would do while the jobs run: insert, cancel, pause, resume, run in test mode, move a meeting."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import anyio

from listener.demo.scenes import MEETING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from supabase import AsyncClient

    from listener.demo.board import Board
    from listener.demo.scenes import Scene
    from listener.ports import Clock

LOOK_SECONDS = 0.05
WORK_SECONDS = 2.0
# seconds since the opening, each at least a second before the next due instant of its job
PAUSED_AT, RESUMED_AT = timedelta(seconds=1.5), timedelta(seconds=7)
REHEARSED_AT = timedelta(seconds=2.5)
MOVED_AT, PLANNED_END, MOVED_END = timedelta(seconds=3), timedelta(seconds=6), timedelta(seconds=10)


class Director:
    """Plays the scenes through a client.

    Args:
        client: a signed-in user's.
        board: shows the jobs.
        clock: the clock of the scenes.
        opening: when the scenes begin.
    """

    def __init__(self, client: AsyncClient, board: Board, clock: Clock, opening: datetime) -> None:
        self._client, self._board, self._clock, self._opening = client, board, clock, opening
        self.meeting: Mapping[str, Any] = {}

    async def play(self) -> None:
        """Insert everything, then play each scene; returns when all are done."""
        ids = {line.scene.name: await self._insert(line.scene) for line in self._board.lines.values() if line.scene.row}
        async with anyio.create_task_group() as acts:
            acts.start_soon(self._hold_a_meeting)
            acts.start_soon(self._cancel, ids["cancelled"])
            acts.start_soon(self._pause, ids["paused"])
            acts.start_soon(self._rehearse, ids["rehearsed"])

    async def _insert(self, scene: Scene) -> int:
        row = {"job_id": scene.name, "name": scene.trigger, **scene.row}
        inserted = await self._client.table("scheduled_jobs").insert(row).execute()
        return int(_only(inserted.data)["id"])

    async def _call(self, function: str, job: int, **arguments: object) -> None:
        await self._client.rpc(function, {"job": job, **arguments}).execute()

    async def _cancel(self, job: int) -> None:
        """Cancel the job while its handler works."""
        while self._board.lines["cancelled"].status != "running":  # noqa: ASYNC110 - as a person looks at the board
            await anyio.sleep(LOOK_SECONDS)
        await anyio.sleep(WORK_SECONDS)
        await self._call("cancel_job", job)

    async def _pause(self, job: int) -> None:
        await self._clock.sleep_until(self._opening + PAUSED_AT)
        await self._call("pause_job", job)
        await self._clock.sleep_until(self._opening + RESUMED_AT)
        await self._call("resume_job", job)

    async def _rehearse(self, job: int) -> None:
        await self._clock.sleep_until(self._opening + REHEARSED_AT)
        await self._call("run_job_now", job, test_mode=True)

    async def _hold_a_meeting(self) -> None:
        """Insert a meeting, then move its end: its job follows."""
        start, end = self._opening.isoformat(), (self._opening + PLANNED_END).isoformat()
        meetings = self._client.table("meetings")
        row = {"title": "Demo", "start_time": start, "end_time": end}
        self.meeting = _only((await meetings.insert(row).execute()).data)
        self._board.name_job(f"meeting-status:{self.meeting['id']}", MEETING)
        await self._clock.sleep_until(self._opening + MOVED_AT)
        moved = {"end_time": (self._opening + MOVED_END).isoformat()}
        self.meeting = _only((await meetings.update(moved).eq("id", self.meeting["id"]).execute()).data)


def _only(rows: Any) -> Mapping[str, Any]:  # noqa: ANN401 - PostgREST's JSON
    row: Mapping[str, Any] = rows[0]
    return row
