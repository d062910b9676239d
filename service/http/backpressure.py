"""Limits on the memory that slow clients hold: request bodies that arrive, answers that are not read.

Over the limit for bodies, a request is refused with 503. Over the limit for answers, the slowest connection is closed.
Heads need no such limit: the parser has one of 96 KiB for each connection, and a head that never ends is closed with
its idle connection.
"""

import logging
from asyncio import TimerHandle, Transport, get_running_loop
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from msgspec import Struct

from service.storage.errors import Unavailable

HELD_BYTES = 128 * 1024 * 1024  # limit of bodies, and of answers; more if four of the largest documents are
BODY_SECONDS = 30.0  # time for a body to arrive, plus one second for each `BODY_RATE` bytes
BODY_RATE = 100_000
UNREAD_SECONDS = 60.0  # a client that reads no byte of its answer for this time is disconnected

log = logging.getLogger(__name__)


class IncomingBodies:
    """An account of the bytes of all request bodies that are being received."""

    def __init__(self, most: int) -> None:
        self.held = 0
        self._most = most

    @contextmanager
    def body(self) -> Iterator["Body"]:
        """Account for one body; its bytes are released at the end of the block."""
        body = Body(self)
        try:
            yield body
        finally:
            self.held -= len(body.received)

    def reserve(self, size: int) -> None:
        """Account for more bytes. Raises Unavailable over the limit."""
        if self.held + size > self._most:
            raise Unavailable("the service is overloaded")
        self.held += size


class Body:
    """The part of a request body that has arrived."""

    def __init__(self, incoming: IncomingBodies) -> None:
        self.received = bytearray()
        self._incoming = incoming

    def add(self, piece: bytes) -> None:
        """Append a piece. Raises Unavailable over the limit."""
        self._incoming.reserve(len(piece))
        self.received += piece


class Reader(Protocol):
    """A connection with an answer that its client should read."""

    transport: Transport | None


class Unread(Struct):
    """The bytes that a connection had left to send at the last check, and the timer of the next one."""

    left: int
    timer: TimerHandle


class SlowReaders:
    """Connections whose write buffer is full, in the order in which it filled."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._waiting: dict[Reader, Unread] = {}
        self._bytes = 0  # bytes that all of these connections have left to send

    def add(self, reader: Reader) -> None:
        """Add a connection whose buffer has filled. Over the limit, close those that have waited longest."""
        left = _left(reader)
        self._waiting[reader] = Unread(left, get_running_loop().call_later(UNREAD_SECONDS, self._check, reader))
        self._bytes += left
        while self._bytes > self._most and len(self._waiting) > 1:
            self._abort(next(iter(self._waiting)), "unread answers take too much memory")

    def remove(self, reader: Reader) -> None:
        """Remove a connection whose buffer has room again, or that is closed."""
        if (unread := self._waiting.pop(reader, None)) is not None:
            unread.timer.cancel()
            self._bytes -= unread.left

    def _check(self, reader: Reader) -> None:
        unread, left = self._waiting[reader], _left(reader)
        if left >= unread.left:
            self._abort(reader, f"the client read nothing of its answer for {UNREAD_SECONDS:g} s")
            return
        self._bytes += left - unread.left
        unread.left, unread.timer = left, get_running_loop().call_later(UNREAD_SECONDS, self._check, reader)

    def _abort(self, reader: Reader, reason: str) -> None:
        self.remove(reader)
        log.info("a connection was closed: %s", reason)
        if reader.transport is not None:
            reader.transport.abort()


def _left(reader: Reader) -> int:
    return reader.transport.get_write_buffer_size() if reader.transport is not None else 0
