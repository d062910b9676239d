"""Asks the embedded Redis to rewrite its append-only file once its disk has been full.

A full disk can leave a gap in the file (gaps.py). Redis does not count the gap, so it takes its file to be shorter than
it is, and when the disk is full a second time it cuts off that much of what it had written before. A rewrite begins a
new file at once, and removes the old one in the end. It is not begun while Redis refuses writes: the commands that
Redis still has to write would be in the base file and then, a second time, in the incremental one.
"""

import asyncio
import logging
from pathlib import Path

from service.redis.aof import MANIFEST, listed

log = logging.getLogger(__name__)

PAUSE = 0.2  # seconds between two looks
HURRY = 0.02  # while Redis refuses writes
FIRST_RETRY_SECONDS = 1.0  # doubles
MAX_RETRY_SECONDS = 60.0
ASK_SECONDS = 1.0


async def keep_rewritten(data_dir: Path, socket: Path) -> None:
    """Look again and again, until cancelled, whether there is a gap, and have the file rewritten then."""
    loop = asyncio.get_running_loop()
    pause, retry, earliest = PAUSE, FIRST_RETRY_SECONDS, 0.0
    while True:
        await asyncio.sleep(pause)
        try:
            state, gap = await look(data_dir, socket)
            writable = state["aof_last_write_status"] == "ok"
            pause = PAUSE if writable else HURRY
            if gap <= 0:
                retry, earliest = FIRST_RETRY_SECONDS, 0.0
            elif writable and loop.time() >= earliest:
                said = (await ask(socket, b"BGREWRITEAOF")).decode(errors="replace").strip()
                text = "a full disk left %d NUL bytes in the append-only file; asked to rewrite it, Redis says: %s"
                log.warning(text, gap, said)
                earliest, retry = loop.time() + retry, min(2 * retry, MAX_RETRY_SECONDS)
        except (OSError, EOFError, KeyError, ValueError):
            pause = PAUSE  # Redis is away, or loads its files


async def look(data_dir: Path, socket: Path) -> tuple[dict[str, str], int]:
    """Return what Redis says of its persistence, and by how many bytes its files are longer than it takes them to be.

    0 while that cannot be told: during a rewrite, and before the first one, until when there cannot be a gap either.
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
    """Return the reply to one command: a bulk's content, else the line. Raises OSError or EOFError."""
    async with asyncio.timeout(ASK_SECONDS):
        reader, writer = await asyncio.open_unix_connection(str(socket))
        try:
            writer.write(command + b"\r\n")
            line = await reader.readline()
            return await reader.readexactly(int(line[1:])) if line.startswith(b"$") else line
        finally:
            writer.close()
