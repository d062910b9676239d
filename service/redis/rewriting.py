"""Rewrite of the embedded Redis's append-only file after its disk was full.

A full disk can leave a gap in the file (gaps.py). Redis does not count the gap, so it assumes that its file is shorter
than it is. When the disk becomes full a second time, Redis cuts the file off at the wrong place and loses commands. A
rewrite starts a new file at once, and removes the old one at its end. It is not started while Redis refuses writes: the
commands that Redis has still to write would be in the base file and again in the incremental file.
"""

import asyncio
import logging
from pathlib import Path

from service.redis.aof import MANIFEST, listed

log = logging.getLogger(__name__)

PAUSE = 0.2  # seconds between two checks
REFUSING_PAUSE = 0.02  # seconds between two checks while Redis refuses writes
FIRST_RETRY_SECONDS = 1.0  # doubles
MAX_RETRY_SECONDS = 60.0
ASK_SECONDS = 1.0


async def keep_rewritten(data_dir: Path, socket: Path) -> None:
    """Check for a gap regularly, until cancelled, and let Redis rewrite the file if there is one."""
    loop = asyncio.get_running_loop()
    pause, retry, earliest = PAUSE, FIRST_RETRY_SECONDS, 0.0
    while True:
        await asyncio.sleep(pause)
        try:
            state, gap = await look(data_dir, socket)
            writable = state["aof_last_write_status"] == "ok"
            pause = PAUSE if writable else REFUSING_PAUSE
            if gap <= 0:
                retry, earliest = FIRST_RETRY_SECONDS, 0.0
            elif writable and loop.time() >= earliest:
                reply = (await ask(socket, b"BGREWRITEAOF")).decode(errors="replace").strip()
                text = (
                    "a full disk left %d NUL bytes in the append-only file; BGREWRITEAOF was sent, Redis answered: %s"
                )
                log.warning(text, gap, reply)
                earliest, retry = loop.time() + retry, min(2 * retry, MAX_RETRY_SECONDS)
        except (OSError, EOFError, KeyError, ValueError):
            pause = PAUSE  # Redis does not run, or is loading its files


async def look(data_dir: Path, socket: Path) -> tuple[dict[str, str], int]:
    """Return the fields of INFO persistence, and the number of bytes by which the files are longer than Redis assumes.

    That number is 0 during a rewrite, when it cannot be determined, and before the first rewrite, when there is no gap.
    """
    manifest = (data_dir / MANIFEST).read_bytes()
    size = sum(path.stat().st_size for path in listed(data_dir, "bi"))
    text = (await ask(socket, b"INFO persistence")).decode(errors="replace")
    state = dict(line.split(":", 1) for line in text.splitlines() if ":" in line)
    settled = state["aof_rewrite_in_progress"] == "0" and state.get("aof_rewrites") != "0"
    if not settled or (data_dir / MANIFEST).read_bytes() != manifest:
        return state, 0
    return state, size - int(state["aof_current_size"])


async def ask(socket: Path, command: bytes) -> bytes:
    """Send one command and return the reply: the content of a bulk string, or else the line.

    Raises OSError or EOFError.
    """
    async with asyncio.timeout(ASK_SECONDS):
        reader, writer = await asyncio.open_unix_connection(str(socket))
        try:
            writer.write(command + b"\r\n")
            line = await reader.readline()
            return await reader.readexactly(int(line[1:])) if line.startswith(b"$") else line
        finally:
            writer.close()
