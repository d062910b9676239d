"""Reads the memory of processes from /proc."""

import os
from pathlib import Path

from tests.running import Running

MEBIBYTE = 1024 * 1024
PAGE = os.sysconf("SC_PAGE_SIZE")


def resident(pid: int) -> int:
    """Return the resident memory of a process in bytes."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE


def resident_of_worker(running: Running) -> int:
    """Return the resident memory of the only worker of a service in bytes."""
    (pid,) = running.worker_pids()
    return resident(pid)
