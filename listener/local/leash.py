"""Starts a program that cannot outlive its parent: `python leash.py SIGNAL PARENT UID GID program argument…`.

The kernel sends SIGNAL when PARENT dies, however it dies. Requested after the change of user, which would clear it, and
in a program of its own, because code between fork and exec is not safe in a process with threads. Runs with the bare
interpreter (`-I -S`), so that it costs milliseconds.
"""

import ctypes
import os
import sys

PR_SET_PDEATHSIG = 1  # linux/prctl.h
UNCHANGED = -1


def main() -> None:
    """Change the user, tie the process to its parent, and execute the program."""
    death_signal, parent, uid, gid = (int(text) for text in sys.argv[1:5])
    program = sys.argv[5:]
    if uid != UNCHANGED:
        os.setgroups([])
        os.setgid(gid)
        os.setuid(uid)
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, death_signal, 0, 0, 0)
    if os.getppid() != parent:  # the parent died before the call above
        sys.exit(1)
    os.execv(program[0], program)  # noqa: S606 - replacing this process by the program is its purpose


if __name__ == "__main__":
    main()
