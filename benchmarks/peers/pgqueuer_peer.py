"""PgQueuer on a pool of five connections, a hundred jobs a batch."""

import asyncio
import os
import sys
import time
from datetime import timedelta

import asyncpg
from drill import Drill, main
from pgqueuer import PgQueuer

drill = Drill(sys.argv[1])


class PgQueuerPeer:
    async def prepare(self):
        pool = await asyncpg.create_pool(os.environ["DATABASE_URL"], min_size=5, max_size=5)
        self._queue = PgQueuer.from_asyncpg_pool(pool)
        await self._queue.queries.install()

        @self._queue.entrypoint("noop")
        async def noop(job):
            drill.started(int(job.payload))

    async def enqueue(self, due, first=0):
        after = [timedelta(seconds=max(0, at - time.time()) if at else 0) for at in due]
        payloads = [str(number).encode() for number in range(first, first + len(due))]
        await self._queue.queries.enqueue(["noop"] * len(due), payloads, [0] * len(due), after)

    async def work(self):
        self._task = asyncio.create_task(self._queue.run(batch_size=100))


if __name__ == "__main__":
    main(PgQueuerPeer, drill)
