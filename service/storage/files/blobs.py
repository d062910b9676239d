"""Blobs: bytes that are too many for a record. They are stored in chunks, and written and read piece by piece, so
they are never in memory as a whole.

A blob is written once, under a new id, and never changed. So a reader reads one file, even while another file
replaces it. A new chunk lives for a minute, which is renewed while the sender continues. Only lua/attach.lua gives it
the lifetime of the record that names it. So an interrupted upload expires by itself.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Iterable
from hashlib import md5
from time import monotonic
from types import TracebackType
from typing import Self
from uuid import uuid4

from msgspec import Struct

from service.storage.errors import Invalid, NotFound, OutcomeUnknown, Unavailable
from service.storage.keys import Collection
from service.storage.scripts.fan_out import all_of, each
from service.storage.scripts.runner import Runner

# A chunk and Redis's header for it fill an allocation of 256 KiB; 64 bytes more would need 320 KiB.
CHUNK_BYTES = 256 * 1024 - 64
READ_BYTES = 128 * 1024  # limit of bytes of a chunk in one command
READ_AHEAD = 1  # commands that a reader sends before it needs their replies
STAGED_MS = 60_000  # lifetime of a chunk that is not renewed
RENEWED_AFTER = 15.0  # seconds
GRACE_MS = 30_000  # lifetime of a chunk that no manifest names any more, so that readers can finish
IN_FLIGHT = 4  # chunks of one sender that Redis has not stored yet: 1 MiB, beside the bytes of the next chunk
INLINE_BYTES = 8192  # a longer body is stored in a blob; a shorter one, too, if the record has no space left
INLINE_ROOM = 16_384  # limit of the bytes of all bodies of one staging that are stored in the record itself


class Span(Struct, array_like=True, frozen=True):
    """A part of a blob: `size` bytes from `start` on."""

    blob: str
    start: int
    size: int


class Kept(Struct, frozen=True):
    """A body that has arrived: its bytes if it is short, else the span where it is stored. `md5` is the MD5 of the
    whole body.
    """

    body: bytes | Span
    size: int
    md5: bytes


def count(size: int) -> int:
    """Return the number of chunks of a blob of `size` bytes. A short rest is a part of the last chunk, which is longer
    then.
    """
    return max(1, size // CHUNK_BYTES)


class Staging:
    """Bytes that are being stored in a collection; an async context manager. After an error it removes the chunks
    that it has sent.

    A body of a chunk or more gets a blob of its own, so that it can be released alone. Shorter bodies share one
    blob, so that a thousand of them are few chunks. `blobs` has the size of each blob in bytes.
    """

    def __init__(self, runner: Runner, collection: Collection, inline_budget: int = INLINE_ROOM) -> None:
        self.blobs: dict[str, int] = {}
        self._runner, self._collection = runner, collection
        self._flying: deque[asyncio.Task[None]] = deque()
        self._sent: list[str] = []
        self._renewed = monotonic()
        self._inline_budget = inline_budget
        self._shared, self._shared_start, self._gathered = "", 0, bytearray()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # Chunks that may be attached are not removed, and a cancelled request does not wait: all chunks expire.
        if isinstance(error, Exception) and not isinstance(error, OutcomeUnknown):
            await asyncio.gather(*self._flying, return_exceptions=True)
            await self.discard_unattached(())
        for task in self._flying:
            task.cancel()

    def fits(self, body: bytes) -> bool:
        """Reserve space in the record itself for a short body; return False if there is not enough."""
        fits = len(body) <= min(INLINE_BYTES, self._inline_budget)
        if fits:
            self._inline_budget -= len(body)
        return fits

    async def keep(self, content: bytes | AsyncIterator[bytes]) -> Kept:
        """Store a body. Raises Unavailable (nothing was stored), Invalid (nothing of it arrived for a minute)."""
        pieces = _single_piece(content) if isinstance(content, bytes) else content
        gathered, digest, size, blob = bytearray(), md5(usedforsecurity=False), 0, ""
        async for piece in pieces:
            digest.update(piece)
            gathered += piece
            size += len(piece)
            if len(gathered) >= CHUNK_BYTES:
                blob = blob or self._named()
                await self._send_whole(blob, gathered)
            if monotonic() - self._renewed > RENEWED_AFTER:
                await self._renew()
        if not blob:
            return Kept(await self._keep_short(bytes(gathered)), size, digest.digest())
        await self._send(blob, bytes(gathered))
        return Kept(Span(blob, 0, size), size, digest.digest())

    async def _keep_short(self, body: bytes) -> bytes | Span:
        if self.fits(body):
            return body
        self._shared = self._shared or self._named()
        span = Span(self._shared, self._shared_start, len(body))
        self._shared_start += len(body)
        self._gathered += body
        await self._send_whole(self._shared, self._gathered)
        return span

    async def keep_aside(self, body: bytes) -> Span:
        """Store bytes that have arrived already, as a blob of their own. Raises Unavailable."""
        blob, gathered = self._named(), bytearray(body)
        await self._send_whole(blob, gathered)
        await self._send(blob, bytes(gathered))
        return Span(blob, 0, len(body))

    async def finish(self) -> None:
        """Wait until Redis has stored all bytes. Raises Unavailable."""
        if self._gathered:
            await self._send(self._shared, bytes(self._gathered))
            self._gathered.clear()
        while self._flying:
            await self._flying.popleft()

    async def discard_unattached(self, attached: Iterable[str]) -> None:
        """Remove all chunks except those in `attached`. It raises no refusal: chunks that are left expire by
        themselves.
        """
        if left := set(self._sent).difference(attached):
            await each(self._runner.command("UNLINK", key, key=key, write=True) for key in left)

    def _named(self) -> str:
        blob = uuid4().hex
        self.blobs[blob] = 0
        return blob

    async def _send_whole(self, blob: str, gathered: bytearray) -> None:
        """Send whole chunks, but keep at least one, which may become a part of the last chunk."""
        while len(gathered) >= 2 * CHUNK_BYTES:
            with memoryview(gathered) as whole:  # a slice of the bytearray would be copied twice
                chunk = bytes(whole[:CHUNK_BYTES])
            del gathered[:CHUNK_BYTES]
            await self._send(blob, chunk)

    async def _send(self, blob: str, chunk: bytes) -> None:
        key = self._collection.chunk(blob, self.blobs[blob] // CHUNK_BYTES)
        self.blobs[blob] += len(chunk)
        self._sent.append(key)
        self._flying.append(asyncio.create_task(self._write(key, chunk)))
        while len(self._flying) > IN_FLIGHT:
            await self._flying.popleft()

    async def _write(self, key: str, chunk: bytes) -> None:
        try:
            await self._runner.bulk("SET", key, chunk, "PX", STAGED_MS, key=key, write=True)
        except OutcomeUnknown:  # nothing names the chunk, whether it was stored or not
            raise Unavailable("the store did not answer in time; nothing was stored") from None

    async def _renew(self) -> None:
        """Let the chunks that have arrived live for another minute. Raises Invalid if one has expired."""
        while self._flying:
            await self._flying.popleft()
        renewals = (self._runner.command("PEXPIRE", key, STAGED_MS, key=key, write=True) for key in self._sent)
        if not all(await all_of(renewals)):
            raise Invalid("the body must arrive without long pauses; nothing was stored")
        self._renewed = monotonic()


async def _single_piece(body: bytes) -> AsyncIterator[bytes]:
    yield body


async def read(runner: Runner, collection: Collection, span: Span, size: int) -> AsyncIterator[bytes]:
    """Read the bytes of a span of a blob of `size` bytes, in pieces. The next piece is requested while one is
    used.

    Raises NotFound if the bytes are gone: the record that named them has expired, or was replaced a while ago.
    """
    waiting: deque[asyncio.Task[bytes]] = deque()
    try:
        for number, first, last in _parts(span, count(size) - 1):
            waiting.append(asyncio.create_task(_part(runner, collection.chunk(span.blob, number), first, last)))
            if len(waiting) > READ_AHEAD:
                yield await waiting.popleft()
        while waiting:
            yield await waiting.popleft()
    finally:
        for task in waiting:
            task.cancel()


def _parts(span: Span, highest: int) -> Iterable[tuple[int, int, int]]:
    """Split a span into commands: the number of the chunk, at most `highest`, and the first and last byte in
    it.
    """
    at, end = span.start, span.start + span.size
    while at < end:
        number = min(at // CHUNK_BYTES, highest)
        chunk_end = end if number == highest else (number + 1) * CHUNK_BYTES
        until = min(end, chunk_end, at + READ_BYTES)
        yield number, at - number * CHUNK_BYTES, until - 1 - number * CHUNK_BYTES
        at = until


async def _part(runner: Runner, key: str, first: int, last: int) -> bytes:
    found: bytes = await runner.bulk("GETRANGE", key, first, last, key=key)
    if len(found) != last - first + 1:
        raise NotFound("the file was deleted")
    return found
