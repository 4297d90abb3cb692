"""The check at the app's start, which delays nothing: it asks whether each upcoming meeting has its job."""

import logging
import os
from dataclasses import dataclass, field
from typing import Any

import anyio

from listener.client import AsyncSchedulerService, AsyncSupabaseJobScheduler, JobFault
from listener.errors import ListenerError

log = logging.getLogger("meetings")
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 30.0


@dataclass
class Start:
    """How the check stands."""

    attempts: int = 0
    error: str | None = None
    summary: dict[str, Any] = field(default_factory=dict)
    checked: anyio.Event = field(default_factory=anyio.Event)

    def shown(self) -> dict[str, Any]:
        """Return it for the debug endpoint: of `errors`, only how many, for anybody may read it who is signed in."""
        summary = {**self.summary, "errors": len(self.summary["errors"])} if self.summary else {}
        state = "checked" if self.checked.is_set() else "checking"
        return {"state": state, "attempts": self.attempts, "error": self.error, "summary": summary}


async def check_meetings(start: Start) -> None:
    """Correct the jobs of all upcoming meetings, as soon as the database answers; the listener does the same."""
    url, key = os.environ["SUPABASE_URL"], os.environ["SUPABASE_SERVICE_ROLE_KEY"]
    pause = FIRST_PAUSE
    async with AsyncSupabaseJobScheduler(url=url, key=key) as scheduler:
        service = AsyncSchedulerService(scheduler)
        while not start.checked.is_set():
            start.attempts += 1
            try:
                start.summary = dict(await service.ensure_scheduled_jobs_for_existing_meetings())
                start.error = None
                start.checked.set()
            except (JobFault, ListenerError) as fault:
                start.error = str(fault)
                log.warning("the meetings could not be checked: %s", fault)
                await anyio.sleep(pause)
                pause = min(pause * 2, LONGEST_PAUSE)
