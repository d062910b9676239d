"""Forces the append-only file of the embedded Redis to disk, once a second.

Redis would do that itself (`appendfsync everysec`). But while a sync is under way it holds back what it has to write,
for up to two seconds, and answers all the same: killed then, it loses what it acknowledged. So it is told not to sync
at all. Then it always writes before it answers, which outlasts its process; and from here the disk is seen to, which
outlasts the machine.
"""

import asyncio
import contextlib
import logging
import os
from itertools import chain
from pathlib import Path

log = logging.getLogger(__name__)

PAUSE = 1.0  # seconds from the end of one sync to the next

# Of the data alone, with no time stamps, where the system can tell them apart.
_force = getattr(os, "fdatasync", os.fsync)


async def keep_synced(data_dir: Path) -> None:
    """Sync again and again, beside the event loop: a disk may take its time."""
    while True:
        await asyncio.sleep(PAUSE)
        try:
            await asyncio.to_thread(sync, data_dir)
        except OSError as error:
            log.error("the append-only file cannot be forced to disk: %s", error)


def sync(data_dir: Path) -> None:
    """Force what Redis has written to disk; in files of Redis 7 and of older ones. Raises OSError."""
    for path in chain(data_dir.glob("*.aof"), data_dir.glob("appendonlydir/*.aof")):
        # One that has just been replaced has nothing that is needed. The system tells of a failed write whoever opens
        # the file next, so that none goes unnoticed between two syncs.
        with contextlib.suppress(FileNotFoundError):
            file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            try:
                _force(file)
            finally:
                os.close(file)
