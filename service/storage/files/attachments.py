"""Records with files: a record whose body is a manifest, which names the blobs that are stored beside it.

Manifest and blobs change in one step (lua/attach.lua): a reader sees the files before or the files after, and
no chunk is left that no manifest names. The rest of the manifest, `content`, belongs to the dialect. If it is
long, it is kept in a blob of its own, so the record stays short.

Scripts get every key from Python. So a writer that replaces or removes such a record must first read the blobs that
it names, and its write is committed only onto exactly that record. Only a record without blobs (the condition
'bare') may be replaced without being read.
"""

from collections.abc import AsyncIterator, Callable, Iterable
from typing import Any

from msgspec import Struct
from msgspec.msgpack import Decoder, encode
from msgspec.structs import replace

from service.storage.errors import StagingExpired, Unavailable
from service.storage.files import blobs
from service.storage.files.blobs import GRACE_MS, INLINE_ROOM, Span, Staging, count
from service.storage.keys import Collection
from service.storage.records.conditions import exactly
from service.storage.records.record import Record, Saved
from service.storage.records.write import Write
from service.storage.scripts.runner import Runner

CONTENT_BYTES = 24_000  # a longer content is kept in a blob, because scripts copy their arguments (lua/README.md)
BARE = "bare"  # condition (lua/include/attachment_error.lua): no record, or one that names no blobs


class Blob(Struct, array_like=True, frozen=True):
    """A blob as a manifest names it, with its size in bytes.

    After `expires` (ms since the epoch) it may be gone although it is named; 0: it lives as long as the record. In a
    stored manifest a negative number counts from the time of writing.
    """

    id: str
    size: int
    expires: int = 0

    def chunks(self, collection: Collection) -> list[str]:
        """Return the keys of its chunks."""
        return [collection.chunk(self.id, number) for number in range(count(self.size))]


class Manifest(Struct, array_like=True):
    """The body of a record with files. The blobs are its first field, because the condition 'bare' looks for an
    empty array there.
    """

    blobs: list[Blob]
    content: bytes | Span


_manifest = Decoder(Manifest).decode


class Attached(Struct):
    """A record with files as it was read at the time `at` (us)."""

    at: int
    record: Record
    blobs: dict[str, Blob]
    content: bytes | Span

    @classmethod
    def unpack(cls, reply: tuple[int, bytes | None]) -> "Attached | None":
        """Unpack the reply of `peek`; return None if there is no record, or if it has expired."""
        at, packed = reply
        if packed is None:
            return None
        record = Record.unpack(packed)
        return None if 0 < record.expires < at // 1000 else cls.of(record, at)

    @classmethod
    def of(cls, record: Record, at: int) -> "Attached":
        """Unpack a record that was alive at the time `at` (us)."""
        manifest, written = _manifest(record.body), record.updated // 1000
        blobs = {
            blob.id: blob if blob.expires >= 0 else replace(blob, expires=written - blob.expires)
            for blob in manifest.blobs
        }
        return cls(at, record, blobs, manifest.content)

    def chunks(self, collection: Collection) -> list[str]:
        """Return the keys of the chunks of all its blobs."""
        return _chunks(collection, self.blobs.values())


def _chunks(collection: Collection, blobs: Iterable[Blob]) -> list[str]:
    return [key for blob in blobs for key in blob.chunks(collection)]


async def placed(content: bytes | Span, staging: Staging) -> tuple[bytes | Span, list[Blob]]:
    """Return the content as the manifest stores it, and the blobs in which it is stored: one if it is long."""
    if isinstance(content, Span) or len(content) <= CONTENT_BYTES:
        return content, []
    aside = await staging.keep_aside(content)
    return aside, [Blob(aside.blob, aside.size)]


class Attachments:
    """The operations on records with files."""

    def __init__(self, runner: Runner) -> None:
        self._runner = runner
        self._run = runner.run

    def staging(self, collection: Collection, inline_budget: int = INLINE_ROOM) -> Staging:
        """Return an async context manager that stores the blobs of a record before it is attached.

        `inline_budget` is the number of bytes of short bodies that may be stored in the record itself.
        """
        return Staging(self._runner, collection, inline_budget)

    def read(self, collection: Collection, attached: Attached, span: Span) -> AsyncIterator[bytes]:
        """Read the bytes of a span of one of its blobs; see `blobs.read`."""
        return blobs.read(self._runner, collection, span, attached.blobs[span.blob].size)

    async def content(self, collection: Collection, attached: Attached) -> bytes:
        """Read the content, from the record or its blob. Raises NotFound if it was replaced meanwhile."""
        if isinstance(attached.content, bytes):
            return attached.content
        return b"".join([piece async for piece in self.read(collection, attached, attached.content)])

    async def peek(self, collection: Collection, id: str, until: Callable[[Any], int] | None = None) -> Attached | None:
        """Read a record with files, or None. `until` is that of the Reply."""
        return Attached.unpack(await self._run("peek", (collection.attachment(id),), until=until))

    async def attach(
        self,
        write: Write,
        content: bytes | Span,
        staging: Staging,
        named: set[str],
        *,
        least: int = 0,
        state: str = BARE,
        before: Attached | None = None,
    ) -> Saved:
        """Store a record with files, and release the blobs that it does not name.

        From now on the record owns the blobs in `named`, which are blobs of `staging` or of `before`. `before` is the
        stored record if it names blobs; then the write is committed only onto exactly that record. Otherwise `state`
        is the condition (lua/include/attachment_error.lua), in place of `write.condition`. `write.lifetime` ('', '+ms'
        or '=') applies to the new blobs, and to the record unless `least` (ms since the epoch) is later.

        Raises Denied, AlreadyExists, Changed, Invalid (lifetime), Unavailable (staged blobs have expired).
        """
        collection, lifetime = write.collection, write.lifetime
        content, lasting = await placed(content, staging)
        await staging.finish()
        old = [*before.blobs.values()] if before else []
        expires = -int(lifetime) if lifetime.startswith("+") else 0
        fresh = [Blob(blob, size, expires) for blob, size in staging.blobs.items() if blob in named]
        held = [*(blob for blob in old if blob.id in named), *fresh, *lasting]
        brought = [*_chunks(collection, fresh), *(last := _chunks(collection, lasting))]
        dropped = _chunks(collection, (blob for blob in old if blob not in held))
        try:
            reply = await self._run(
                "attach",
                (collection.attachment(write.id), collection.acl, *brought, *dropped),
                write.idempotency,
                manifest=encode(Manifest(held, content)),
                caller=write.caller,
                lifetime=lifetime,
                least=least,
                condition=exactly(before.record) if before else state,
                brought=len(brought),
                lasting=len(last),
                grace=GRACE_MS,
                subject=write.subject,
            )
        except StagingExpired:
            raise Unavailable("the store did not answer in time; nothing was done") from None
        await staging.discard_unattached(brought)
        return Saved(*reply)

    async def detach(self, write: Write, before: Attached | None = None) -> None:
        """Remove a record with files: exactly `before`, or if that is None, any record that names no blobs.

        Raises Denied, NotFound, Changed.
        """
        collection = write.collection
        chunks = before.chunks(collection) if before else ()
        await self._run(
            "detach",
            (collection.attachment(write.id), collection.acl, *chunks),
            write.idempotency,
            condition=exactly(before.record) if before else BARE,
            grace=GRACE_MS,
            subject=write.subject,
        )
