"""Step the wall clock of the process that starts with this on its path, by as many seconds as a file says.

What reads the wall clock in Python is stepped (`time_machine`); the monotonic clock is not, as with a stepped machine.
"""

import os
import threading
import time
from pathlib import Path


def _follow(file: Path) -> None:
    import time_machine  # noqa: PLC0415 - only a process whose clock is stepped pays for it

    true_offset = time.time() - time.monotonic()
    stepped, machine = 0.0, None
    while True:
        wanted = float(file.read_text() or 0) if file.exists() else 0.0
        if wanted != stepped:
            if machine is not None:
                machine.stop()
            machine, stepped = None, wanted
            if wanted:
                machine = time_machine.travel(time.monotonic() + true_offset + wanted, tick=True)
                machine.start()
        time.sleep(0.1)


if "CHAOS_CLOCK" in os.environ:
    threading.Thread(target=_follow, args=(Path(os.environ["CHAOS_CLOCK"]),), daemon=True).start()
