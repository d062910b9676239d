"""Sync of the embedded Redis's append-only file to disk, once a second.

Redis could do this itself (`appendfsync everysec`). But while its own sync is running, it delays writes to the file for
up to two seconds and still acknowledges commands: if it is killed then, acknowledged writes are lost. So Redis runs
with `appendfsync no`, where it always writes to the file before it answers: an acknowledged write survives the end of
the process. The sync from here makes it survive a failure of the machine.
"""

import asyncio
import contextlib
import logging
import os
from itertools import chain
from pathlib import Path

log = logging.getLogger(__name__)

PAUSE = 1.0  # seconds from the end of one sync to the next

# fdatasync syncs the data without time stamps; not every system has it.
_force = getattr(os, "fdatasync", os.fsync)


async def keep_synced(data_dir: Path) -> None:
    """Sync every `PAUSE` seconds until cancelled. The sync runs in a thread, because a disk can be slow."""
    while True:
        await asyncio.sleep(PAUSE)
        try:
            await asyncio.to_thread(sync, data_dir)
        except OSError as error:
            log.error("the append-only file cannot be synced to disk: %s", error)


def sync(data_dir: Path) -> None:
    """Sync the append-only files to disk, those of Redis 7 and those of older versions. Raises OSError."""
    for path in chain(data_dir.glob("*.aof"), data_dir.glob("appendonlydir/*.aof")):
        # A file that Redis has just removed is not needed any more. If a write to the disk has failed since the last
        # sync, the system reports it to the next process that opens the file, so no failure is missed.
        with contextlib.suppress(FileNotFoundError):
            file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            try:
                _force(file)
            finally:
                os.close(file)
