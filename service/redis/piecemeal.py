"""A transport that writes long commands in pieces, so that Redis serves other clients between the pieces.

Redis reads everything that has arrived of a command at once: 256 KiB block it for half a millisecond.
"""

import asyncio
from collections import deque

PIECE_BYTES = 32 * 1024


class Piecemeal(asyncio.Transport):
    """Writer to `transport`, in order: the first piece at once, the others in later ticks of the event loop."""

    def __init__(self, transport: asyncio.Transport) -> None:
        super().__init__()
        self._transport = transport
        self._loop = asyncio.get_running_loop()
        self._left: deque[memoryview] = deque()

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if not self._left and len(data) <= PIECE_BYTES:
            self._transport.write(data)
            return
        self._left.append(memoryview(data))
        if len(self._left) == 1:
            self._write_piece()

    def _write_piece(self) -> None:
        if self._transport.is_closing():
            self._left.clear()
            return
        first = self._left[0]
        self._transport.write(first[:PIECE_BYTES])
        if len(first) > PIECE_BYTES:
            self._left[0] = first[PIECE_BYTES:]
        else:
            self._left.popleft()
        if self._left:
            self._loop.call_soon(self._write_piece)

    def abort(self) -> None:
        self._left.clear()
        self._transport.abort()
