"""Records with files: a record whose body is a manifest, which names the blobs that lie beside it.

Manifest and blobs change in one step (lua/attach.lua): a reader sees the files before or the files after, and no chunk
is left that nothing names. What else the manifest says, `content`, is its dialect's business; where it is long, it is
kept in a blob of its own, so that the record stays short.

The scripts get every key from here. So who replaces or removes such a record must have read which blobs it names, and
is held to exactly that state; only one without blobs ('bare') may be replaced unseen.
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

CONTENT_BYTES = 24_000  # a longer content is kept in a blob: a script copies its arguments (lua/README.md)
BARE = "bare"  # the condition of lua/include/attachment_error.lua: there is no record, or one that names no blobs


class Blob(Struct, array_like=True, frozen=True):
    """A blob as a manifest names it: its bytes, and when it may be gone although it is named (ms since the epoch; as it
    is stored, a negative one counts from the writing). 0: it lives as long as the record."""

    id: str
    size: int
    expires: int = 0

    def chunks(self, collection: Collection) -> list[str]:
        return [collection.chunk(self.id, number) for number in range(count(self.size))]


class Manifest(Struct, array_like=True):
    """The body of a record with files. It begins with the blobs; no blobs are what 'bare' looks for."""

    blobs: list[Blob]
    content: bytes | Span


_manifest = Decoder(Manifest).decode


class Attached(Struct):
    """A record with files as it was read at `at` (us)."""

    at: int
    record: Record
    blobs: dict[str, Blob]
    content: bytes | Span

    @classmethod
    def unpack(cls, reply: tuple[int, bytes | None]) -> "Attached | None":
        """From the reply of `peek`; None where there is no record, or it has expired."""
        at, packed = reply
        if packed is None:
            return None
        record = Record.unpack(packed)
        return None if 0 < record.expires < at // 1000 else cls.of(record, at)

    @classmethod
    def of(cls, record: Record, at: int) -> "Attached":
        """From the record, alive at that time (us)."""
        manifest, written = _manifest(record.body), record.updated // 1000
        blobs = {
            blob.id: blob if blob.expires >= 0 else replace(blob, expires=written - blob.expires)
            for blob in manifest.blobs
        }
        return cls(at, record, blobs, manifest.content)

    def chunks(self, collection: Collection) -> list[str]:
        """The keys of all its blobs."""
        return _chunks(collection, self.blobs.values())


def _chunks(collection: Collection, blobs: Iterable[Blob]) -> list[str]:
    return [key for blob in blobs for key in blob.chunks(collection)]


async def _placed(content: bytes | Span, staging: Staging) -> tuple[bytes | Span, list[Blob]]:
    """The content as the manifest has it, and the blob that it lies in where it was long."""
    if isinstance(content, Span) or len(content) <= CONTENT_BYTES:
        return content, []
    aside = await staging.keep_aside(content)
    return aside, [Blob(aside.blob, aside.size)]


class Attachments:
    def __init__(self, runner: Runner) -> None:
        self._runner = runner
        self._run = runner.run

    def staging(self, collection: Collection, inline_budget: int = INLINE_ROOM) -> Staging:
        """Return an async context manager that takes in the blobs of a record before it is attached.

        `inline_budget` is how many bytes of short bodies may lie in the record itself.
        """
        return Staging(self._runner, collection, inline_budget)

    def read(self, collection: Collection, attached: Attached, span: Span) -> AsyncIterator[bytes]:
        """The bytes of a span of one of its blobs; see `blobs.read`."""
        return blobs.read(self._runner, collection, span, attached.blobs[span.blob].size)

    async def content(self, collection: Collection, attached: Attached) -> bytes:
        """The content, from wherever it lies. Raises NotFound where it went away meanwhile."""
        if isinstance(attached.content, bytes):
            return attached.content
        return b"".join([piece async for piece in self.read(collection, attached, attached.content)])

    async def peek(self, collection: Collection, id: str, until: Callable[[Any], int] | None = None) -> Attached | None:
        """Read a record with files, or None. `until` is as in Reply."""
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

        Of the blobs in `staging` and of `before`, the record owns those in `named` from now on. `before` is the stored
        record if it names blobs; the write is then committed only onto exactly that record, else under `state`
        (lua/include/attachment_error.lua), which replaces `write.condition`. `write.lifetime` ('', '+ms' or '=')
        applies to the new blobs, and to the record unless `least` (ms since the epoch) is later.

        Raises Denied, AlreadyExists, Changed, Invalid (lifetime), Unavailable (staged blobs have expired).
        """
        collection, lifetime = write.collection, write.lifetime
        content, lasting = await _placed(content, staging)
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
        """Remove a record with files: exactly `before`, or if None, whatever record is there that names no blobs.

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
