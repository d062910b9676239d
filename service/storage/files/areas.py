"""Storage areas: texts and files under keys. Each key has its own expiry; an area is replaced and read as a whole.

An area is one record with files (files/attachments.py), whose content is a map of its keys. It lives as long as
the key with the longest lifetime, and no other key of Redis names it. All times are Redis's: a new key expires a
number of milliseconds after Redis has written the record.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import TypeVar
from weakref import WeakValueDictionary

from msgspec import Struct
from msgspec.msgpack import Decoder, encode
from msgspec.structs import replace

from service.storage.errors import Changed, NotFound, TooLarge, Unavailable
from service.storage.files.attachments import BARE, Attached, Attachments
from service.storage.files.blobs import Span, Staging
from service.storage.keys import Collection
from service.storage.records.conditions import ABSENT, NEW
from service.storage.records.write import Write
from service.storage.scripts.idempotent import idempotent, nothing
from service.storage.scripts.identity import Idempotency
from service.storage.scripts.reply import NO_TIME
from service.storage.scripts.runner import Runner

ATTEMPTS = 100  # attempts at an area that other writers keep changing
RECORD = ""  # the id of an area's only record

T = TypeVar("T")


class Value(Struct, array_like=True):
    """The value of a key. `expires` is in ms since the epoch. In a stored value it may be negative: then it counts from
    the time of writing.

    A file has a `type` and the MD5 of its bytes; a text is UTF-8 and has neither.
    """

    expires: int
    body: bytes | Span
    type: str = ""
    filename: str = ""
    md5: bytes = b""

    @property
    def size(self) -> int:
        """The value's length in bytes."""
        return self.body.size if isinstance(self.body, Span) else len(self.body)


class Part(Struct):
    """A value that arrives; a file has a `type`. Its content must be read before the next part."""

    key: str
    content: bytes | AsyncIterator[bytes]
    type: str = ""
    filename: str = ""


class Limits(Struct, frozen=True):
    """The largest number of keys, and of bytes, in an area."""

    keys: int
    bytes: int


_values = Decoder(dict[str, Value]).decode


class Area(Struct):
    """An area as it was read, with the keys that had not expired then."""

    collection: Collection
    attached: Attached
    values: dict[str, Value]

    @classmethod
    def unpack(cls, collection: Collection, attached: Attached, content: bytes) -> "Area":
        """Unpack an area: leave out expired keys, and files whose blob is lost."""
        values, written = _values(content), attached.record.updated // 1000
        for value in values.values():
            if value.expires < 0:
                value.expires = written - value.expires
        alive = attached.at // 1000
        return cls(
            collection,
            attached,
            {
                key: value
                for key, value in values.items()
                if value.expires >= alive
                and not (isinstance(value.body, Span) and value.body.blob not in attached.blobs)
            },
        )

    def value(self, key: str) -> Value:
        """Return the value of a key. Raises NotFound."""
        if key not in self.values:
            raise NotFound("no such key")
        return self.values[key]

    def file(self, key: str) -> Value:
        """Return the file under a key. Raises NotFound, also if the key holds a text."""
        value = self.value(key)
        if not value.type:
            raise NotFound("no such file")
        return value


class Areas:
    """The operations on areas. If several collections are given, the operation is on the first one that has an
    area.
    """

    def __init__(self, runner: Runner) -> None:
        self._attachments = Attachments(runner)
        self._runner = runner
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()  # by tag

    async def find_first(self, collections: Sequence[Collection]) -> Area:
        """Read the first area that is found in the collections. Raises NotFound."""
        for collection in collections:
            if (area := await self._read(collection)) is not None:
                return area
        raise NotFound("no such storage area")

    async def read(self, area: Area, value: Value, start: int = 0, size: int | None = None) -> AsyncIterator[bytes]:
        """Read the bytes of a value: `size` of them from `start`, or all; see `blobs.read`."""
        end = value.size if size is None else start + size
        if isinstance(value.body, bytes):
            yield value.body[start:end]
            return
        span = Span(value.body.blob, value.body.start + start, end - start)
        async for piece in self._attachments.read(area.collection, area.attached, span):
            yield piece

    @idempotent(nothing)
    async def create(self, write: Write, parts: AsyncIterator[Part], ms: int, limits: Limits) -> None:
        """Make an area that does not exist yet. Each key lives for `ms`. Raises TooLarge, AlreadyExists."""
        async with self._attachments.staging(write.collection) as staging:
            values = await _taken(staging, parts, ms)
            await self._commit(write, staging, values, ms, limits, state=NEW)

    @idempotent(nothing)
    async def replace(self, write: Write, parts: AsyncIterator[Part], ms: int, limits: Limits) -> None:
        """Make an area in place of an existing one. Raises TooLarge."""
        collection = write.collection
        async with self._attachments.staging(collection) as staging:
            values = await _taken(staging, parts, ms)
            with suppress(Changed):
                return await self._commit(write, staging, values, ms, limits)

            async def commit() -> None:
                old = await self._attachments.peek(collection, RECORD)
                await self._commit(write, staging, values, ms, limits, state=ABSENT, before=old)

            await self._in_turn(collection, commit)

    @idempotent(nothing)
    async def update(
        self,
        collections: list[Collection],
        parts: AsyncIterator[Part],
        ms: int,
        caller: str,
        limits: Limits,
        *,
        idempotency: Idempotency | None = None,
    ) -> None:
        """Put keys into the first area that is found in the collections.

        The keys that arrive live for `ms`; all others keep their expiry. Raises NotFound (before any part is read,
        unless there is an idempotency key), TooLarge.
        """
        try:
            found = await self.find_first(collections)
        except NotFound:
            if idempotency is not None:  # the whole body is needed to compare the request with a remembered one
                async for _ in parts:
                    pass
            raise
        write = Write(found.collection, caller=caller, idempotency=idempotency)
        first = [found]  # the first attempt uses the area that was read already
        async with self._attachments.staging(write.collection) as staging:
            values = await _taken(staging, parts, ms)

            async def commit() -> None:
                area = first.pop() if first else await self.find_first([write.collection])
                old = {key: value for key, value in area.values.items() if key not in values}
                await self._commit(write, staging, old | values, ms, limits, before=area.attached)

            await self._in_turn(write.collection, commit)

    @idempotent(nothing)
    async def delete(self, collections: list[Collection], *, idempotency: Idempotency | None = None) -> None:
        """Delete the first area that is found in the collections. Raises NotFound."""
        for collection in collections:
            with suppress(NotFound):
                write = Write(collection, RECORD, idempotency=idempotency)
                with suppress(Changed):
                    return await self._attachments.detach(write)

                async def commit(write: Write = write) -> None:
                    await self._attachments.detach(write, await self._attachments.peek(write.collection, RECORD))

                return await self._in_turn(collection, commit)
        raise NotFound("no such storage area")

    async def _read(self, collection: Collection) -> Area | None:
        """Read an area, or None. It is read again if its content was replaced between two commands. Raises
        Unavailable.
        """
        for _ in range(ATTEMPTS):
            attached = await self._attachments.peek(collection, RECORD, partial(_until, collection))
            if attached is None:
                return None
            with suppress(NotFound):
                return Area.unpack(collection, attached, await self._attachments.content(collection, attached))
        raise Unavailable("the storage area keeps changing; nothing was read")

    async def _commit(
        self,
        write: Write,
        staging: Staging,
        values: dict[str, Value],
        ms: int,
        limits: Limits,
        *,
        state: str = BARE,
        before: Attached | None = None,
    ) -> None:
        """Store an area with these values. Raises TooLarge, and what `Attachments.attach` raises."""
        if len(values) > limits.keys:
            raise TooLarge(f"a storage area must have at most {limits.keys} keys")
        if sum(value.size for value in values.values()) > limits.bytes:
            raise TooLarge(f"a storage area must have at most {limits.bytes} bytes")
        least = max((value.expires for value in values.values()), default=0)
        fresh = not values or any(value.expires < 0 for value in values.values())
        await self._attachments.attach(
            replace(write, id=RECORD, lifetime=f"+{ms}" if fresh else str(least)),
            encode(values),
            staging,
            {value.body.blob for value in values.values() if isinstance(value.body, Span)},
            least=max(least, 0),
            state=state,
            before=before,
        )

    async def _in_turn(self, collection: Collection, commit: Callable[[], Awaitable[None]]) -> None:
        """Repeat `commit` while other writers change the area first. Raises Unavailable.

        Writers of one worker take turns, so each competes with at most one writer of each other worker.
        """
        async with self._turns.setdefault(collection.tag, asyncio.Lock()):
            for _ in range(ATTEMPTS):
                with suppress(Changed):
                    return await commit()
        raise Unavailable("the storage area keeps changing; nothing was done")


async def _taken(staging: Staging, parts: AsyncIterator[Part], ms: int) -> dict[str, Value]:
    """Store all parts, and return the values by key. The last part with a repeated key counts."""
    values: dict[str, Value] = {}
    async for part in parts:
        values.pop(part.key, None)
        if isinstance(part.content, bytes) and not part.type and staging.fits(part.content):
            values[part.key] = Value(-ms, part.content)
            continue
        kept = await staging.keep(part.content)
        values[part.key] = Value(-ms, kept.body, part.type, part.filename, kept.md5 if part.type else b"")
    return values


def _until(collection: Collection, reply: tuple[int, bytes | None]) -> int:
    """Return the time (ms) at which the first key of an area expires, for Reply.until."""
    if reply[1] is None:
        return 0
    attached = Attached.unpack(reply)
    if attached is None or not isinstance(attached.content, bytes):
        return NO_TIME
    values = Area.unpack(collection, attached, attached.content).values.values()
    return min((value.expires for value in values), default=attached.record.expires)
