"""Procrastinate, polling at a tenth of a second, as many jobs at a time as help it."""

import asyncio
import os
import sys
from datetime import UTC, datetime

from drill import Drill, main
from procrastinate import App, PsycopgConnector

drill = Drill(sys.argv[1])


class Procrastinate:
    async def prepare(self):
        self._app = App(connector=PsycopgConnector(conninfo=os.environ["DATABASE_URL"], max_size=10))

        @self._app.task(name="noop")
        async def noop(number):
            drill.started(number)

        self._noop = noop
        await self._app.open_async()
        await self._app.schema_manager.apply_schema_async()

    async def enqueue(self, due, first=0):
        jobs = list(enumerate(due, first))
        at_once = [{"number": number} for number, at in jobs if at is None]
        if at_once:
            await self._noop.batch_defer_async(*at_once)
        for number, at in jobs:
            if at is not None:
                await self._noop.configure(schedule_at=datetime.fromtimestamp(at, UTC)).defer_async(number=number)

    async def work(self):
        worker = self._app.run_worker_async(
            concurrency=20, fetch_job_polling_interval=0.1, install_signal_handlers=False
        )
        self._task = asyncio.create_task(worker)


if __name__ == "__main__":
    main(Procrastinate, drill)
