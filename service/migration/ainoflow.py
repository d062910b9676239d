"""Migration of Ainoflow documents, into this service and out of it.

Documents that come in keep their bytes, versions, times, expiries and the ids of the keys that wrote them. Documents
that go out keep their bytes and expiries. If both sides have different documents under one name, the document that was
updated last is kept. Nothing is deleted on either side.
"""

from collections.abc import Callable, Sequence
from hashlib import sha256

from service.migration.documents import Documents, Found, Item, Metadata, etag_of, microseconds
from service.migration.outcome import Agreement, Outcome, Refused, Sample
from service.migration.state import State
from service.remote.client import Oversized
from service.remote.concurrency import at_once
from service.storage import keys, outcomes, registry
from service.storage.errors import NotFound
from service.storage.keys import Collection
from service.storage.records.record import CALLER_ID_BYTES, Record
from service.storage.records.transfer import RecordTransfer, Restored
from service.storage.root import Storage
from service.storage.scripts.runner import Runner
from service.transfer.lines import EXACT

DIALECT = "ainoflow"
INDEXES = "cusn"  # of the dialect's collections; a test compares this with the dialect
AT_ONCE = 8  # concurrent requests to the vendor
LARGEST_PAGE = 512  # documents on a page; all page sizes are powers of 2
SMALL_PAGE, LARGE_PAGE = 1 << 20, 16 << 20  # bytes: after a smaller page the next is longer, after a larger one shorter
PASSES = 3  # attempts to read a category whose number of documents changes meanwhile

FROM_CANNOT = (
    "Ainoflow's API does not list keys, quotas and rates: declare them in the access document. Documents keep their "
    "bytes, versions, times, expiries, createdBy and updatedBy."
)
TO_CANNOT = (
    "Documents keep their bytes and expiries. Ainoflow's API cannot set anything else: versions begin at 1 again, "
    "times are those of the migration, and createdBy is the key that the migration uses."
)


class _Side:
    """The common part of both directions: the vendor, the store, and the outcome so far."""

    def __init__(
        self,
        vendor: Documents,
        runner: Runner,
        project: str,
        state: State,
        outcome: Outcome,
        progress: Callable[[int], object],
    ) -> None:
        self.vendor, self.project, self.state, self.outcome, self.progress = vendor, project, state, outcome, progress
        self.runner = runner
        self.records = Storage(runner).records
        self.transfer = RecordTransfer(runner, self.records)
        self.samples: dict[str, Sample] = {}

    def collection(self, category: str) -> Collection:
        """The collection of a category in this project."""
        return keys.collection(DIALECT, self.project, category, INDEXES)

    def sample(self, category: str) -> Sample:
        """The sample of a category's documents whose etags are compared at the end."""
        return self.samples.setdefault(category, Sample(sha256(category.encode()).hexdigest()))

    async def agree(self, category: str) -> None:
        """Compare both sides of a category: the number of documents, and a sample of etags."""
        collection = self.collection(category)
        await self.records.sweep(collection)
        agreement = Agreement(category, await self.vendor.count(category), await self.records.count(collection))
        for key in self.sample(category).names:
            known = await self.vendor.metadata(category, key)
            agreement.compared += 1
            try:
                body = (await self.records.get(collection, key)).body
            except NotFound:
                agreement.equal += known is None  # gone on both sides: it expired meanwhile
                continue
            agreement.equal += known is not None and known.etag == etag_of(body)
        self.outcome.agreements.append(agreement)


class Arrival(_Side):
    """The migration of documents from the vendor to this service."""

    async def run(self, categories: Sequence[str]) -> None:
        """Bring these categories, or all if none is named."""
        for category in categories or sorted(await self.vendor.categories()):
            if not self.state.part(category).done:
                await self._bring(category)
                self.state.part(category).done = True
                self.state.save()
            await self.agree(category)

    async def _bring(self, category: str) -> None:
        """Bring a category, page by page. Start again, at most PASSES times, if its number of documents has changed."""
        part = self.state.part(category)
        for _ in range(PASSES):
            self.samples.pop(category, None)
            position, limit, before = *part.numbers(0), 32, list[str]()
            while True:
                while position % limit:
                    limit //= 2
                try:
                    items, total, size = await self.vendor.page(category, position // limit + 1, limit)
                except Oversized:
                    if limit == 1:
                        raise
                    limit //= 2
                    continue
                if len(items) > 1 and before == (before := [item.key for item in items]):
                    raise Refused(f"the vendor sends the same documents of {category} on several pages")
                await self._store(category, items)
                position += len(items)
                part.position = str(position)
                self.state.save()
                if len(items) < limit:
                    break
                limit = max(1, limit // 2) if size > LARGE_PAGE else limit * 2 if size < SMALL_PAGE else limit
                limit = min(limit, LARGEST_PAGE)
            part.position = ""
            if position == total:
                return

    async def _store(self, category: str, items: Sequence[Item]) -> None:
        """Read the documents of a list with their metadata, and restore them."""
        wanted = []
        every = await at_once(AT_ONCE, (self.vendor.find(category, item) for item in items))
        for item, found in zip(items, every, strict=True):
            if found is None:
                self.outcome.counts["gone meanwhile"] += 1
                continue
            if not found.proven:
                self.outcome.trouble(f"{category}/{item.key}: its etag is not the MD5 of its body; the body was kept")
            wanted.append(Restored(self.collection(category), item.key, _record(found)))
            self.sample(category).add(item.key)
        await self._restore(wanted)
        self.progress(len(items))

    async def _restore(self, wanted: Sequence[Restored]) -> None:
        """Restore documents. If a different document is stored, keep the one that was updated last."""
        older = []
        for one, became in zip(wanted, await self.transfer.restore_many(wanted, replace=False), strict=True):
            if became is not outcomes.Outcome.DIFFERENT:
                self.outcome.counts[became.value] += 1
            elif (await self.records.get(one.collection, one.id)).updated < one.record.updated:
                older.append(one)
            else:
                self.outcome.trouble(f"{one.collection.name}/{one.id}: the document in Polystow is newer and was kept")
        if older:
            await self.transfer.restore_many(older, replace=True)
            self.outcome.counts["replaced"] += len(older)


def _record(found: Found) -> Record:
    """Make the record of a document. Raises Refused if its times are not ISO 8601, or cannot be stored exactly."""
    known, body = found.metadata, found.body
    try:
        created, updated = microseconds(known.createdAt), microseconds(known.updatedAt)
        expires = microseconds(known.expiresAt) // 1000 if known.expiresAt else 0
        if min(created, updated, expires) < 0 or max(created, updated) > EXACT:
            raise ValueError("it must be after 1969 and before 2255")
    except ValueError as error:
        raise Refused(f"a time in the metadata cannot be kept: {error}") from error
    creator, updater = (_shortened(name or "") for name in (known.createdBy, known.updatedBy))
    return Record(known.version, created, updated, expires, creator, updater, len(body), body)


def _updated(known: Metadata) -> int:
    try:
        return microseconds(known.updatedAt)
    except ValueError as error:
        raise Refused(f"a time in the metadata is not ISO 8601: {error}") from error


def _shortened(name: str) -> str:
    return name.encode()[:CALLER_ID_BYTES].decode(errors="ignore")


class Departure(_Side):
    """The migration of documents from this service to the vendor."""

    async def run(self, categories: Sequence[str]) -> None:
        """Move these categories to the vendor, or all if none is named."""
        found = await registry.collections(self.runner, DIALECT, self.project, INDEXES)
        for category in categories or sorted(collection.name for collection in found):
            part = self.state.part(category)
            if not part.done:
                async for portion in self.transfer.walk(self.collection(category), part.position):
                    await self._send(category, portion)
                    if portion:
                        part.position = portion[-1][0]
                        self.state.save()
                part.done = True
                self.state.save()
            await self.agree(category)

    async def _send(self, category: str, portion: Sequence[tuple[str, Record]]) -> None:
        self.outcome.counts.update(
            await at_once(AT_ONCE, (self._write(category, key, record) for key, record in portion))
        )
        for key, _ in portion:
            self.sample(category).add(key)
        self.progress(len(portion))

    async def _write(self, category: str, key: str, record: Record) -> str:
        """Write a document, and return the outcome as a word. A different document that is newer is kept."""
        expected = etag_of(record.body)
        etag = await self.vendor.write("POST", category, key, record.body, record.expires)
        became = "stored"
        if etag is None:
            known = await self.vendor.metadata(category, key)
            if known is not None and known.etag == expected:
                return "present"
            if known is not None and _updated(known) >= record.updated:
                self.outcome.trouble(f"{category}/{key}: the vendor's document is newer and was kept")
                return "different"
            etag = await self.vendor.write("PUT", category, key, record.body, record.expires)
            became = "replaced"
        if etag != expected:
            self.outcome.trouble(f"{category}/{key}: its etag there is {etag}, not the MD5 of its body")
        return became
