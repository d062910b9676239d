"""Removal of a transaction that is cut off at the end of an append-only file.

Redis writes the effects of a script as a transaction, from MULTI to EXEC. If Redis is killed while it writes, the file
can end inside of a transaction. At the next start Redis 7.0 removes the incomplete command, but leaves the MULTI and
the commands behind it, and appends new ones. So at the start after that, the first part of the script that was cut off
is executed together with the next transaction; and commands that no EXEC follows are lost, although they were
acknowledged. Redis 8.0 and Valkey 9.1 remove the whole transaction. Here it is removed before Redis starts.

Invariant: only commands of a transaction without EXEC are removed.
"""

import logging
import os
from pathlib import Path

from service.redis.aof import listed
from service.redis.gaps import CHUNK_BYTES, Damaged, scan

log = logging.getLogger(__name__)

EXEC = b"*1\r\n$4\r\nEXEC\r\n"


def cut_unfinished(data_dir: Path) -> int:
    """Cut an unfinished transaction off the file to which Redis would append. Return the number of bytes removed.

    A file with other damage is unchanged: Redis refuses it. Raises OSError.
    """
    try:
        files = listed(data_dir, "i")
        size = files[-1].stat().st_size if files else 0
    except FileNotFoundError:
        return 0
    if not size:
        return 0
    begins = unfinished(files[-1])
    if begins is None:
        return 0
    with files[-1].open("r+b") as file:
        file.truncate(begins)
        os.fsync(file.fileno())
    log.warning("%s ended within a transaction, whose %d bytes were removed", files[-1], size - begins)
    return size - begins


def unfinished(path: Path) -> int | None:
    """Return the offset of the transaction in which a file ends, None if it ends in none or has other damage.

    Usually only the commands after the last EXEC are read. That EXEC may be in a value of the unfinished transaction.
    So the whole file is read if the last command is incomplete. If a value looks like commands, and is cut off between
    two of them, that is not noticed.
    """
    last = _last(path, EXEC)
    for offset in (0,) if last is None else (last + len(EXEC), 0):
        try:
            found = scan(path, offset)
        except Damaged:
            continue
        if found.transaction is not None or not found.incomplete:
            return found.transaction
    return None


def _last(path: Path, text: bytes) -> int | None:
    """Return the offset of the last occurrence of a text in a file."""
    with path.open("rb", buffering=0) as file:
        end = begin = os.fstat(file.fileno()).st_size
        while begin:
            begin = max(0, begin - CHUNK_BYTES)
            file.seek(begin)
            found = file.read(min(end - begin, CHUNK_BYTES + len(text) - 1)).rfind(text)
            if found >= 0:
                return begin + found
    return None
