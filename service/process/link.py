"""The link between the parent and one worker: a socket pair, reports up, one-byte orders down.

Up go frames: a 4-byte big-endian length and a msgpack map `{"ready": bool, "metrics": {...}}`. Down goes
`DRAIN`. Invariant: the end of the stream means that the other side is dead; neither side needs to ask.

Length-prefixed frames rather than a datagram each: no socket buffer then limits the size of a snapshot.
"""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator
from typing import Any

import msgpack

DRAIN = b"d"
LIMIT = 16 * 1024 * 1024  # bytes of one report; a longer one is not a report
_LENGTH = struct.Struct(">I")

Report = dict[str, Any]


def frame(report: Report) -> bytes:
    """One report as it travels."""
    body: bytes = msgpack.packb(report)
    return _LENGTH.pack(len(body)) + body


async def reports(reader: asyncio.StreamReader) -> AsyncIterator[Report]:
    """The reports of one worker, until it is gone. What it died in the middle of is dropped.

    Raises ValueError when what arrives is no report.
    """
    try:
        while True:
            (length,) = _LENGTH.unpack(await reader.readexactly(_LENGTH.size))
            if length > LIMIT:
                raise ValueError(f"a worker's report of {length} bytes")
            yield msgpack.unpackb(await reader.readexactly(length))
    except (asyncio.IncompleteReadError, ConnectionError):
        return


async def connect(end: socket.socket) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Streams over one end of the pair, which they own from here on."""
    end.setblocking(False)
    return await asyncio.open_unix_connection(sock=end)
