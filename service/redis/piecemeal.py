"""A connection that is written to a piece at a time, so that its server serves others between the pieces.

Redis reads what has arrived of a long command in one go: 256 KiB at once hold it for half a millisecond.
"""

import asyncio
from collections import deque

PIECE_BYTES = 32 * 1024


class Piecemeal(asyncio.Transport):
    """Writes to `transport` in the order of `write`: a piece now, the others in later turns of the event loop."""

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
            self._go_on()

    def _go_on(self) -> None:
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
            self._loop.call_soon(self._go_on)

    def abort(self) -> None:
        self._left.clear()
        self._transport.abort()
