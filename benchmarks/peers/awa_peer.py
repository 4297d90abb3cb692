"""Awa: its own storage, four claimers of a thousand jobs at a time."""

import os
import sys
from dataclasses import dataclass
from datetime import UTC, datetime

from awa import AsyncClient
from drill import Drill, main

drill = Drill(sys.argv[1])


@dataclass
class Noop:
    number: int


class AwaPeer:
    async def prepare(self):
        self._client = AsyncClient(os.environ["DATABASE_URL"])
        await self._client.migrate()

        @self._client.task(Noop, queue="default")
        async def noop(job):
            drill.started(job.args.number)

    async def enqueue(self, due, first=0):
        at_once = [Noop(number) for number, at in enumerate(due, first) if at is None]
        if len(at_once) == 1:
            await self._client.insert(at_once[0], queue="default")
        elif at_once:
            await self._client.insert_many_copy(at_once, queue="default")
        for number, at in enumerate(due, first):
            if at is not None:
                await self._client.insert(Noop(number), queue="default", run_at=datetime.fromtimestamp(at, UTC))

    async def work(self):
        queue = {"name": "default", "max_workers": 200, "claimers": 4}
        await self._client.start([queue], poll_interval_ms=50)


if __name__ == "__main__":
    main(AwaPeer, drill)
