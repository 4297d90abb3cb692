"""APScheduler 3 with its SQLAlchemy job store and its asyncio scheduler and executor."""

import os
import sys
from datetime import UTC, datetime

from apscheduler.schedulers.asyncio import AsyncIOScheduler
from drill import Drill, main

drill = Drill(sys.argv[1])


async def noop(number):
    drill.started(number)


class APScheduler3:
    async def prepare(self):
        url = os.environ["DATABASE_URL"].replace("postgresql://", "postgresql+psycopg://")
        self._scheduler = AsyncIOScheduler(timezone="UTC", job_defaults={"misfire_grace_time": None})
        self._scheduler.add_jobstore("sqlalchemy", url=url)
        self._scheduler.start(paused=True)

    async def enqueue(self, due, first=0):
        for number, at in enumerate(due, first):
            when = datetime.now(UTC) if at is None else datetime.fromtimestamp(at, UTC)
            self._scheduler.add_job(noop, "date", run_date=when, args=[number], id=str(number))

    async def work(self):
        self._scheduler.resume()


if __name__ == "__main__":
    sys.modules["apscheduler3"] = sys.modules["__main__"]  # jobs name their function by module; there is one drill
    noop.__module__ = "apscheduler3"
    main(APScheduler3, drill)
