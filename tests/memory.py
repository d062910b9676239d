"""Memory of processes, as the kernel counts it."""

import os
from pathlib import Path

from tests.running import Running

MEBIBYTE = 1024 * 1024
PAGE = os.sysconf("SC_PAGE_SIZE")


def resident(pid: int) -> int:
    """Bytes of a process that are in memory."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE


def resident_of_worker(running: Running) -> int:
    """Bytes of a service's one worker."""
    (pid,) = running.worker_pids()
    return resident(pid)
