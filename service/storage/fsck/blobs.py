"""The check of records with files: every blob that a manifest names is complete, and every chunk that does not
expire is named.

Chunks that were released, or that are being stored, expire by themselves; they are not faults. A possible fault is
checked again, because the chunk may have been written or replaced in between.
"""

from collections.abc import AsyncIterator, Callable

from service.redis.errors import Rejected
from service.storage import keys
from service.storage.errors import Refusal
from service.storage.files.attachments import Attached, Attachments, Blob
from service.storage.files.blobs import GRACE_MS, Span
from service.storage.keys import Collection
from service.storage.records.write import Write
from service.storage.scripts.fan_out import all_of, fan_out
from service.storage.scripts.runner import Runner

FOR_EVER, GONE = -1, -2  # replies of PTTL

Named = tuple[Collection, str]  # a record with files: its collection and id


class BlobCheck:
    """The check of records with files. `scan` walks over all keys of all servers; `fault` reports a fault."""

    def __init__(
        self, runner: Runner, repair: bool, scan: Callable[[], AsyncIterator[str]], fault: Callable[[str], object]
    ) -> None:
        self._runner, self._repair, self._scan, self._fault = runner, repair, scan, fault
        self._attachments = Attachments(runner)

    async def run(self) -> None:
        """Check all records with files, then the chunks that never expire."""
        records, staying = await self._stored()
        await fan_out(self.record, records)
        if staying:
            # The walk may have missed records that were attached since.
            records, _ = await self._stored()
            named: set[str] = set()
            await fan_out(lambda record: self._gather(record, named), records)
            await fan_out(self._orphan, sorted(staying - named))

    async def _stored(self) -> tuple[list[Named], set[str]]:
        """Return all records with files, and the chunks that never expire."""
        records: list[Named] = []
        found: list[str] = []
        staying: set[str] = set()
        async for key in self._scan():
            if (parsed := keys.parse(key)) is None:
                continue
            dialect, namespace, name, kind, id = parsed
            if kind == "f:":
                records.append((keys.collection(dialect, namespace, name, ""), id))
            elif kind == "b:":
                found.append(key)

        async def look(key: str) -> None:
            if await self._runner.command("PTTL", key, key=key) == FOR_EVER:
                staying.add(key)

        await fan_out(look, found)
        return records, staying

    async def record(self, named: Named) -> None:
        """Compare one record with its chunks. Read it again until it is unchanged after the comparison."""
        collection, id = named
        before, faults = None, dict[str, str]()
        try:
            while (attached := await self._attachments.peek(collection, id)) is not None:
                looked = {blob.id: await self._wrong(named, attached, blob) for blob in attached.blobs.values()}
                faults = {blob: said for blob, said in looked.items() if said}
                if not faults or before == attached.record:
                    break
                before = attached.record
        except (Rejected, Refusal, ValueError) as error:
            self._fault(f"{collection.attachment(id)}: cannot be read: {error}")
            return
        for said in faults.values():
            self._fault(f"{collection.attachment(id)}: {said}")
        if attached is not None and faults and self._repair:
            await self._mend(named, attached, set(faults))

    async def _wrong(self, named: Named, attached: Attached, blob: Blob) -> str:
        """Return the fault of a blob's chunks, "" if there is none."""
        if 0 < blob.expires < attached.at // 1000:
            return ""  # it may be gone; the next update removes its name
        names = blob.chunks(named[0])
        left = await all_of(self._runner.command("PTTL", name, key=name) for name in names)
        for name, ms in zip(names, left, strict=True):
            if ms == GONE:
                return f"lacks {name}"
            if (ms == FOR_EVER) != ((blob.expires or attached.record.expires) == 0):
                return f"{name} {'never expires' if ms == FOR_EVER else 'expires, and the record does not'}"
        return ""

    async def _mend(self, named: Named, attached: Attached, faulty: set[str]) -> None:
        """Give chunks their right expiry. A lost blob is removed from the manifest, or the record is removed."""
        collection, id = named
        lost = set()
        for blob in map(attached.blobs.__getitem__, faulty):
            for name in blob.chunks(collection):
                ms = blob.expires or attached.record.expires
                expiry = ("PEXPIREAT", name, ms + GRACE_MS) if ms else ("PERSIST", name)
                if await self._runner.command(*expiry, key=name, write=True):
                    continue
                if not await self._runner.command("EXISTS", name, key=name):
                    lost.add(blob.id)
        if isinstance(attached.content, Span) and attached.content.blob in lost:
            await self._attachments.detach(Write(collection, id), attached)
        elif lost:
            left, record = attached.blobs.keys() - lost, attached.record
            async with self._attachments.staging(collection) as none:
                write = Write(collection, id, record.updater, lifetime="=")
                await self._attachments.attach(
                    write, attached.content, none, left, least=record.expires, before=attached
                )

    async def _gather(self, record: Named, into: set[str]) -> None:
        attached = await self._attachments.peek(*record)
        into.update(attached.chunks(record[0]) if attached else ())

    async def _orphan(self, key: str) -> None:
        if await self._runner.command("PTTL", key, key=key) == FOR_EVER:
            self._fault(f"{key}: no record names it, and it never expires")
            if self._repair:
                await self._runner.command("UNLINK", key, key=key, write=True)
