"""Oban: one queue, as many jobs at a time as help it."""

import os
import sys
from datetime import UTC, datetime

from drill import Drill, main
from oban import Oban, worker
from oban.schema import install

drill = Drill(sys.argv[1])


@worker(queue="default")
class Noop:
    async def process(self, job):
        drill.started(job.args["number"])


class ObanPeer:
    async def prepare(self):
        self._pool = await Oban.create_pool(os.environ["DATABASE_URL"], min_size=1, max_size=10)
        await install(self._pool)
        self._client = Oban(pool=self._pool, name="client")
        await self._client.start()

    async def enqueue(self, due, first=0):
        jobs = []
        for number, at in enumerate(due, first):
            when = {} if at is None else {"scheduled_at": datetime.fromtimestamp(at, UTC)}
            jobs.append(Noop.new({"number": number}, **when))
        for start in range(0, len(jobs), 1000):
            await self._client.enqueue_many(jobs[start : start + 1000])

    async def work(self):
        self._worker = Oban(pool=self._pool, queues={"default": 100})
        await self._worker.start()


if __name__ == "__main__":
    main(ObanPeer, drill)
