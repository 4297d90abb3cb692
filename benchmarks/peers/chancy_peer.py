"""Chancy: jobs on the event loop, polled for after each that ends."""

import os
import sys
from datetime import UTC, datetime

from chancy import Chancy, Job, Queue, Worker
from drill import Drill, main

import __main__

drill = Drill(sys.argv[1])
sys.modules["chancy_peer"] = __main__  # where the worker imports the job from


async def noop(number):
    drill.started(number)


class ChancyPeer:
    async def prepare(self):
        self._chancy = Chancy(os.environ["DATABASE_URL"])
        await self._chancy.__aenter__()
        await self._chancy.migrate()
        queue = Queue(
            "default", concurrency=100, executor=Chancy.Executor.Async, polling_interval=1, eager_polling=True
        )
        await self._chancy.declare(queue, upsert=True)

    async def enqueue(self, due, first=0):
        jobs = []
        for number, at in enumerate(due, first):
            when = {} if at is None else {"scheduled_at": datetime.fromtimestamp(at, UTC)}
            jobs.append(Job(func="chancy_peer.noop", kwargs={"number": number}, **when))
        async for _ in self._chancy.push_many(jobs, batch_size=1000):
            pass

    async def work(self):
        self._worker = Worker(self._chancy)
        await self._worker.start()


if __name__ == "__main__":
    main(ChancyPeer, drill)
