"""Records with files, read for an export and restored: files under keys, and storage areas.

The bytes of a file are stored like those of an upload: under new names, in chunks that expire unless a record names
them. So an import that was stopped leaves nothing, and an existing file is never overwritten.
"""

from collections.abc import Awaitable, Callable
from contextlib import suppress

from msgspec.msgpack import encode

from service.storage.errors import AlreadyExists, Changed, NotFound, StagingExpired, Unavailable
from service.storage.files.areas import RECORD, Area, Value
from service.storage.files.attachments import Attached, Attachments, Blob, Manifest, placed
from service.storage.files.blobs import GRACE_MS, Span, Staging
from service.storage.files.files import File, Filed
from service.storage.keys import Collection
from service.storage.outcomes import Outcome
from service.storage.records.conditions import NEW, exactly
from service.storage.records.record import Record
from service.storage.scripts.runner import Runner

ATTEMPTS = 100  # attempts at a record that others keep changing

Content = File | dict[str, Value]
Fill = Callable[[Staging], Awaitable[Content]]  # stores the blobs and returns the content that names them


class FileTransfer:
    """Records with files, read for an export and restored."""

    def __init__(self, runner: Runner) -> None:
        self._run = runner.run
        self.attachments = Attachments(runner)

    async def find(self, collection: Collection, id: str) -> tuple[Attached, Content] | None:
        """Read a record with files, and its content; None if it is gone. All expiries in it are absolute."""
        for _ in range(ATTEMPTS):
            if (attached := await self.attachments.peek(collection, id)) is None:
                return None
            with suppress(NotFound):
                if id != RECORD:
                    return attached, Filed.of(collection, id, attached).file
                return attached, Area.unpack(
                    collection, attached, await self.attachments.content(collection, attached)
                ).values
        raise Unavailable("the record keeps changing")

    async def restore(
        self, collection: Collection, id: str, record: Record, fill: Fill, before: Attached | None
    ) -> Outcome:
        """Restore a record with files, if there is none (`before` is None) or exactly `before`.

        `record` is the state to restore; its body is not used. Raises AlreadyExists, Changed, Unavailable.
        """
        async with self.attachments.staging(collection, inline_budget=0) as staging:
            content, aside = await placed(encode(await fill(staging)), staging)
            await staging.finish()
            names = {blob.id for blob in aside}
            blobs = [Blob(blob, size) for blob, size in staging.blobs.items() if blob not in names]
            manifest = encode(Manifest([*blobs, *aside], content))
            brought = [key for blob in (*blobs, *aside) for key in blob.chunks(collection)]
            try:
                stored = await self.reattach(collection, id, record, manifest, brought, before)
            except StagingExpired:
                raise Unavailable("the store did not answer in time") from None
            except (AlreadyExists, Changed):
                await staging.discard_unattached(())
                raise
        return Outcome.STORED if stored else Outcome.EXPIRED

    async def reattach(
        self,
        collection: Collection,
        id: str,
        record: Record,
        manifest: bytes,
        brought: list[str],
        before: Attached | None,
    ) -> bool:
        """Store a manifest whose chunks were sent before. Return False if it has expired."""
        dropped = before.chunks(collection) if before else []
        stored = await self._run(
            "reattach",
            (collection.attachment(id), *brought, *dropped),
            manifest=manifest,
            condition=exactly(before.record) if before else NEW,
            version=record.version,
            created=record.created,
            updated=record.updated,
            deadline=record.expires or "",
            creator=record.creator,
            updater=record.updater,
            brought=len(brought),
            grace=GRACE_MS,
        )
        return bool(stored)


def spans(content: Content) -> list[Span]:
    """Return the parts of blobs that a content names."""
    bodies = [content.body] if isinstance(content, File) else [value.body for value in content.values()]
    return [body for body in bodies if isinstance(body, Span)]
