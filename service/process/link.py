"""The link between the parent process and one worker: a socket pair.

The worker sends reports, each a frame: a 4-byte big-endian length and a msgpack map
`{"ready": bool, "metrics": {...}}`. The parent sends orders of one byte; the only one is `DRAIN`.

Invariant: the end of the stream means that the other process is dead, so neither side polls the other.

Frames with a length are used instead of datagrams, because a socket buffer would limit the size of a datagram.
"""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator
from typing import Any

import msgpack

DRAIN = b"d"
LIMIT = 16 * 1024 * 1024  # bytes of one report
_LENGTH = struct.Struct(">I")

Report = dict[str, Any]


def frame(report: Report) -> bytes:
    """Return a report as a frame."""
    body: bytes = msgpack.packb(report)
    return _LENGTH.pack(len(body)) + body


async def reports(reader: asyncio.StreamReader) -> AsyncIterator[Report]:
    """Yield the reports of one worker until it ends. A report that is incomplete at the end is dropped.

    Raises ValueError if the bytes are not a report.
    """
    try:
        while True:
            (length,) = _LENGTH.unpack(await reader.readexactly(_LENGTH.size))
            if length > LIMIT:
                raise ValueError(f"its report has {length} bytes, more than the {LIMIT} that are allowed")
            yield msgpack.unpackb(await reader.readexactly(length))
    except (asyncio.IncompleteReadError, ConnectionError):
        return


async def connect(end: socket.socket) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Return streams over one end of the socket pair. The streams own the socket from then on."""
    end.setblocking(False)
    return await asyncio.open_unix_connection(sock=end)
