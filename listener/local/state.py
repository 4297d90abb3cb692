"""The state folder of one stack: its paths, its lock, and the ports of the last start."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import random
import re
import shutil
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from listener.local.errors import NoFreePortError, NoStackError, StateFolderInUseError
from listener.local.keys import Keys, load_or_create, open_private, write_private

if TYPE_CHECKING:
    from collections.abc import Iterator

SOCKET_PATH_LIMIT = 107  # bytes, sun_path of Linux; the longest name in the folder is PostgreSQL's
LONGEST_SOCKET = ".s.PGSQL.65535.lock"
PLAIN_PATH = re.compile(r"[\w/.+~-]+")  # a space, comma or quote ends the name of a host or the entry of a list
LASTING = Path("/var/tmp")  # noqa: S108 - outlives a restart of the machine, unlike /tmp; `outside` checks the owner
PORTS = range(20000, 32000)  # below those that the kernel gives to outgoing connections, which come and go
CHANCE = random.SystemRandom()
FOLDER_MODE = 0o711 if os.geteuid() == 0 else 0o700
"""Where we are root, PostgreSQL runs as another user, who must get to its own folder in it."""
SERVICES = ("api", "postgres", "realtime", "listener")


@dataclass(frozen=True)
class StateFolder:
    """Paths below `root`, which is absolute."""

    root: Path

    @classmethod
    def at(cls, path: Path) -> StateFolder:
        """Return the folder at `path`, created if it is not there, and then closed to others."""
        path.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
        return cls(path.resolve())

    @property
    def keys_file(self) -> Path:
        """The file of the secrets, mode 600."""
        return self.root / "secrets.json"

    @property
    def ports_file(self) -> Path:
        """The file with the ports of the last start."""
        return self.root / "ports.json"

    @property
    def lock_file(self) -> Path:
        """Held by the running stack; its text is the holder's pid."""
        return self.root / "lock"

    def log(self, program: str) -> Path:
        """Return the log file of `program`."""
        return self.root / f"{program}.log"

    def outside(self) -> Path:
        """Return a folder for files that cannot lie below `root`, made if need be: a short path, one for each `root`.

        Raises:
            StateFolderInUseError: It belongs to another user, who may have put it there to be trusted.
        """
        folder = self._outside()
        folder.mkdir(mode=0o711, exist_ok=True)
        if folder.is_symlink() or folder.stat().st_uid != os.geteuid():
            raise StateFolderInUseError(folder, "another user")
        folder.chmod(0o711)  # whatever our umask
        return folder

    def discard_outside(self) -> None:
        """Remove the folder that `outside` returns."""
        shutil.rmtree(self._outside(), ignore_errors=True)

    def _outside(self) -> Path:
        digest = hashlib.sha256(os.fsencode(self.root)).hexdigest()[:12]
        return LASTING / f"listener-{digest}"

    def sockets_below(self, home: Path) -> Path:
        """Return the folder of the Unix sockets: in `home`, unless that path is too long or has odd characters."""
        inside = home / "sockets"
        fits = len(os.fsencode(inside / LONGEST_SOCKET)) <= SOCKET_PATH_LIMIT
        return inside if fits and PLAIN_PATH.fullmatch(str(inside)) else self.outside() / "sockets"

    def keys(self) -> Keys:
        """Return the keys of the stack, new ones at the first start; what old keys locked elsewhere goes with them."""
        if not self.keys_file.exists():
            self.discard_outside()
        return load_or_create(self.keys_file)

    def existing_keys(self) -> Keys:
        """Return the keys of a stack that was started before.

        Raises:
            NoStackError: There was none.
        """
        if not self.keys_file.exists():
            raise NoStackError(self.root)
        return load_or_create(self.keys_file)

    def last_ports(self) -> dict[str, int]:
        """Return the ports of the last start by service, empty before the first."""
        if not self.ports_file.exists():
            return {}
        return {service: int(port) for service, port in json.loads(self.ports_file.read_text()).items()}

    def choose_ports(self) -> dict[str, int]:
        """Return a port for every service: the one of the last start where it is free, else any free one."""
        last = self.last_ports()
        with contextlib.ExitStack() as held:
            ports = {service: _free_port(last.get(service), held) for service in SERVICES}
        write_private(self.ports_file, json.dumps(ports))
        return ports

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Hold the folder; the kernel releases the lock when this process dies, however it dies.

        Raises:
            StateFolderInUseError: Another process holds it.
        """
        with open_private(self.lock_file) as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                file.seek(0)
                raise StateFolderInUseError(self.root, file.read().decode().strip() or "another stack") from None
            file.truncate(0)
            file.write(f"`listener up` with process id {os.getpid()}".encode())
            file.flush()
            yield


def _free_port(preferred: int | None, held: contextlib.ExitStack) -> int:
    """Return `preferred` if nothing listens there, else any free port; it stays taken until `held` is closed."""
    listening = held.enter_context(socket.socket())
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    for port in (preferred, *CHANCE.sample(PORTS, 50)):
        with contextlib.suppress(OSError):
            if port is not None:
                listening.bind(("127.0.0.1", port))
                return port
    raise NoFreePortError(PORTS)
