"""Files under keys, in collections with scopes. An upload is initiated first and sent later; each file is on a
record with files.

Initiating an upload stores the file's description and removes the file that was there before. The state of the
record after that (version and microsecond) is the upload's `generation`. lua/attach.lua stores the bytes only if the
record still has this state, and gives it another one. So an upload works only once, and not at all if the key was
deleted or initiated again meanwhile.

The record itself never holds the file's bytes. It is smaller than 1 KB, so one script lists a thousand files.
"""

from collections.abc import AsyncIterator, Sequence

from msgspec import Struct
from msgspec.msgpack import Decoder, encode
from msgspec.structs import replace

from service.storage.access.grants import DELETE, WRITE, Grants
from service.storage.errors import Changed, Denied, Invalid, NotFound, Unavailable
from service.storage.files.attachments import BARE, Attached, Attachments
from service.storage.files.blobs import Span
from service.storage.keys import Collection
from service.storage.records.conditions import NEW, exactly
from service.storage.records.record import saved
from service.storage.records.scoped import CollectionRead, Scoped
from service.storage.records.write import Write
from service.storage.scripts.fan_out import fan_out
from service.storage.scripts.idempotent import idempotent, nothing
from service.storage.scripts.identity import Idempotency
from service.storage.scripts.runner import Runner

ATTEMPTS = 100  # attempts at a key that other writers keep changing
MOST_BYTES = 1_000_000  # bytes of records that one script reads: enough for a thousand


class File(Struct, array_like=True, frozen=True):
    """The description of a file under a key.

    Before the upload there is no `body`, and `size` (bytes) and `md5` are those of the initiation; after it, they are
    the file's own. `type` is the media type that the sender gave.
    """

    name: str
    size: int
    md5: bytes
    type: str = ""
    body: bytes | Span | None = None


_file = Decoder(File).decode
_removed = Decoder(list[str]).decode


class Filed(Struct):
    """A file as it was read. `at` (us) is the time of its upload, or if it was not uploaded, of the upload's
    initiation.
    """

    collection: Collection
    id: str
    attached: Attached
    file: File

    @classmethod
    def of(cls, collection: Collection, id: str, attached: Attached) -> "Filed":
        """Unpack the file of a record with files."""
        assert isinstance(attached.content, bytes)
        file = _file(attached.content)
        if isinstance(file.body, Span) and file.body.blob not in attached.blobs:  # fsck found that the blob is lost
            file = replace(file, body=None)
        return cls(collection, id, attached, file)

    @property
    def at(self) -> int:
        return self.attached.record.updated

    @property
    def generation(self) -> str:
        return exactly(self.attached.record)

    @property
    def uploaded(self) -> bool:
        return self.file.body is not None


class Files:
    """The operations on files under keys."""

    def __init__(self, runner: Runner, grants: Grants, scoped: Scoped) -> None:
        self._runner = runner
        self._attachments, self._grants, self._scoped = Attachments(runner), grants, scoped

    @idempotent(lambda reply, remark: exactly(saved(reply)))
    async def initiate_upload(self, write: Write, file: File, *, create: bool, overwrite: bool) -> str:
        """Store the description of a file that will be uploaded, and return the upload's generation.

        An existing file is removed. `create`: the key may be missing; `overwrite`: it may exist.
        Raises Denied, NotFound, AlreadyExists, Unavailable.
        """
        collection, state = write.collection, BARE if overwrite else NEW
        before = None
        for attempt in range(ATTEMPTS):
            if attempt or not create:  # a first attempt that may create does not read, because usually there is no file
                before = await self._attachments.peek(collection, write.id)
            if before is None and not create:
                await self._grants.permit(collection, write.subject, WRITE)
                raise NotFound("no such key")
            try:
                async with self._attachments.staging(collection) as none:
                    content = encode(file)
                    saved = await self._attachments.attach(write, content, none, set(), state=state, before=before)
                return exactly(saved)
            except Changed:
                continue
        raise Unavailable("the key keeps changing; nothing was done")

    @idempotent(nothing)
    async def upload(self, write: Write, generation: str, pieces: AsyncIterator[bytes], type: str, most: int) -> None:
        """Store the bytes of the file whose upload has this generation.

        The file has at most `most` bytes and the MD5 with which its upload was initiated; `type` is its media type.
        Raises Changed (it was uploaded already, or the key was deleted or initiated again), Denied, Invalid (too many
        bytes, another MD5), Unavailable.
        """
        collection, id = write.collection, write.id
        attached = await self._attachments.peek(collection, id)
        if attached is None or exactly(attached.record) != generation:
            if write.idempotency is not None:  # the whole body is needed to compare it with a remembered request
                async for _ in _at_most(pieces, most):
                    pass
            raise Changed("the file was uploaded, replaced or deleted after this upload was announced")
        file = Filed.of(collection, id, attached).file
        async with self._attachments.staging(collection, inline_budget=0) as staging:
            kept = await staging.keep(_at_most(pieces, most))
            if kept.md5 != file.md5:
                raise Invalid("the MD5 of the file must be the announced one")
            whole = replace(file, size=kept.size, type=type, body=kept.body)
            named = {kept.body.blob} if isinstance(kept.body, Span) else set()
            await self._attachments.attach(write, encode(whole), staging, named, state=generation)

    async def read_many(
        self, collections: Sequence[Collection], ids: Sequence[str], subject: str, *, strict: bool = False
    ) -> list[CollectionRead]:
        """Read the same ids, at most 1,000, in each collection; see `Scoped.read_many`. `filed` decodes a result."""
        return await self._scoped.read_many(collections, ids, subject, most=MOST_BYTES, attached=True, strict=strict)

    def filed(self, reading: CollectionRead) -> dict[str, Filed]:
        """Decode the files that a script has found, by id."""
        return {
            id: Filed.of(reading.collection, id, Attached.of(record, record.updated))
            for id, record in reading.found.items()
        }

    async def find_uploaded(self, collection: Collection, id: str, generation: str, subject: str) -> Filed:
        """Read an uploaded file. Raises Denied, NotFound (there is none, or not of that generation)."""
        [reading] = await self.read_many([collection], [id], subject)
        if reading.refused is not None:
            raise reading.refused
        filed = self.filed(reading).get(id)
        if filed is None or filed.generation != generation or not filed.uploaded:
            raise NotFound("the file was replaced or deleted")
        return filed

    async def read(self, filed: Filed, start: int, size: int) -> AsyncIterator[bytes]:
        """Read `size` bytes of a file from `start` on; see `blobs.read`."""
        body = filed.file.body
        if isinstance(body, Span):
            async for piece in self._attachments.read(
                filed.collection, filed.attached, Span(body.blob, body.start + start, size)
            ):
                yield piece
        else:
            yield (body or b"")[start : start + size]

    @idempotent(lambda reply, remark: _removed(remark))
    async def remove(self, write: Write, ids: Sequence[str]) -> list[str]:
        """Remove keys, at most 1,000, and return those that existed. Raises Denied.

        The fields of `write` that count are collection, subject and idempotency.
        """
        await self._grants.permit(write.collection, write.subject, DELETE)
        [reading] = await self.read_many([write.collection], ids, "")
        found = [*self.filed(reading).values()]
        single = replace(write, idempotency=None)
        removed = await fan_out(lambda filed: self._remove(single, filed), found[:-1])
        gone = [filed.id for filed, there in zip(found, removed, strict=False) if there]
        if write.idempotency is not None:  # the last removal commits the request
            write.idempotency.remark = encode([*gone, *(filed.id for filed in found[-1:])])
        return [*gone, *[filed.id for filed in found[-1:] if await self._remove(write, filed)]]

    async def remove_found(
        self, reading: CollectionRead, subject: str, *, idempotency: Idempotency | None = None
    ) -> list[str]:
        """Remove the keys that a script has found, and return those that still existed; none if the caller may not
        delete.

        If nothing was found, a request with an idempotency key may be a repetition of one that has removed the
        keys.
        """
        if not reading.found and idempotency is None:
            return []
        try:
            return await self.remove(
                Write(reading.collection, subject=subject, idempotency=idempotency), [*reading.found]
            )
        except (Denied, NotFound):
            return []

    async def _remove(self, write: Write, filed: Filed) -> bool:
        """Remove one key. Return False if it does not exist any more. Raises Denied, Unavailable."""
        attached: Attached | None = filed.attached
        write = replace(write, id=filed.id)
        for _ in range(ATTEMPTS):
            if attached is None:
                return False
            try:
                await self._attachments.detach(write, attached)
            except NotFound:
                return False
            except Changed:
                attached = await self._attachments.peek(write.collection, write.id)
            else:
                return True
        raise Unavailable("the key keeps changing; nothing was done")


async def _at_most(pieces: AsyncIterator[bytes], most: int) -> AsyncIterator[bytes]:
    """Pass on pieces of a body. Raises Invalid after more than `most` bytes."""
    size = 0
    async for piece in pieces:
        size += len(piece)
        if size > most:
            raise Invalid(f"the file must have at most the announced {most} bytes")
        yield piece
