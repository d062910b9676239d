"""Bounds on the memory that slow clients hold: bodies on their way in, answers on their way out.

Whatever is over it ends the slowest: who behaves is not to pay for who does not. Heads need no such bound, for the
parser has one for each connection (a few KB), and one that never ends is closed with its idle connection.
"""

import logging
from asyncio import Transport, get_running_loop
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from service.storage.errors import Unavailable

HELD_BYTES = 128 * 1024 * 1024  # of bodies and of answers, each; more where a single document may be that large
BODY_SECONDS = 30.0  # for a body to arrive, and one more for each `BODY_RATE` bytes of it
BODY_RATE = 100_000
UNREAD_SECONDS = 60.0  # without a byte read of an answer, then the connection is ended

log = logging.getLogger(__name__)


class Arriving:
    """Bodies that are being received: how many bytes of them are here."""

    def __init__(self, most: int) -> None:
        self.held = 0
        self._most = most

    @contextmanager
    def body(self) -> Iterator["Body"]:
        """One body; its bytes are given back at the end of the block, whatever ends it."""
        body = Body(self)
        try:
            yield body
        finally:
            self.held -= len(body.received)

    def grow(self, size: int) -> None:
        """Raises Unavailable where there is no room for so many bytes more."""
        if self.held + size > self._most:
            raise Unavailable("the service is overloaded")
        self.held += size


class Body:
    """The part of a body that has arrived."""

    def __init__(self, arriving: Arriving) -> None:
        self.received = bytearray()
        self._arriving = arriving

    def add(self, piece: bytes) -> None:
        """Raises Unavailable."""
        self._arriving.grow(len(piece))
        self.received += piece


class Reader(Protocol):
    """A connection whose client reads, or should."""

    transport: Transport | None


class Unread:
    """Connections that have more to send than their client reads, the one that stands still for longest first."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._waiting: dict[Reader, int] = {}  # bytes that are left to send

    def add(self, reader: Reader) -> None:
        """Its buffer is full. If all of them hold too much, the ones that have waited longest are ended."""
        self._waiting[reader] = _left(reader)
        get_running_loop().call_later(UNREAD_SECONDS, self._look, reader)
        while sum(self._waiting.values()) > self._most and len(self._waiting) > 1:
            self._end(next(iter(self._waiting)), "unread answers take too much memory")

    def remove(self, reader: Reader) -> None:
        """Its buffer has room again, or it is gone."""
        self._waiting.pop(reader, None)

    def _look(self, reader: Reader) -> None:
        before = self._waiting.get(reader)
        if before is None:
            return
        left = _left(reader)
        if left >= before:
            self._end(reader, f"nothing of an answer was read for {UNREAD_SECONDS:g} s")
        else:
            self._waiting[reader] = left
            get_running_loop().call_later(UNREAD_SECONDS, self._look, reader)

    def _end(self, reader: Reader, reason: str) -> None:
        del self._waiting[reader]
        log.info("a connection was ended: %s", reason)
        if reader.transport is not None:
            reader.transport.abort()


def _left(reader: Reader) -> int:
    return reader.transport.get_write_buffer_size() if reader.transport is not None else 0
