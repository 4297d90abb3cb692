"""DBOS: a workflow without steps on one queue that is polled at a tenth of a second."""

import asyncio
import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor

from dbos import DBOS, DBOSClient
from drill import Drill, main

drill = Drill(sys.argv[1], throughput=4_000)
URL = os.environ["DATABASE_URL"].replace("postgresql://", "postgresql+psycopg://")


def launch():
    """Launch DBOS, whose workflow is called through the registry."""
    DBOS(config={"name": "peer", "system_database_url": URL, "run_admin_server": False, "log_level": "CRITICAL"})

    @DBOS.workflow(name="noop")
    async def noop(number):
        drill.started(number)

    DBOS.launch()


class DbosPeer:
    async def prepare(self):
        await asyncio.to_thread(launch)
        await asyncio.to_thread(DBOS.destroy, destroy_registry=True)
        self._client = DBOSClient(system_database_url=URL, application_name="peer", system_database_pool_size=10)
        self._senders = ThreadPoolExecutor(8)

    async def enqueue(self, due, first=0):
        def send(number, at):
            options = {"workflow_name": "noop", "queue_name": "default"}
            if at is not None:
                options["delay_seconds"] = max(0.0, at - time.time())
            self._client.enqueue(options, number)

        loop = asyncio.get_running_loop()
        await asyncio.gather(*(loop.run_in_executor(self._senders, send, *each) for each in enumerate(due, first)))

    async def work(self):
        await asyncio.to_thread(launch)
        await DBOS.register_queue_async("default", polling_interval_sec=0.1)


if __name__ == "__main__":
    main(DbosPeer, drill)
