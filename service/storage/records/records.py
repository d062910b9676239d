"""The operations on records: one typed method for each Lua script.

A method builds keys and arguments, runs its script, and returns a typed result. For a write it also does what a script
cannot do: it registers a new collection, keeps the namespace's quota, and handles data that is too large or too slow
for a script.

Times are Redis's, in microseconds since the epoch. Every method may raise Unavailable, and every write also
OutcomeUnknown.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable, Sequence
from contextlib import suppress
from functools import partial
from logging import getLogger
from typing import Any, TypeVar
from uuid import uuid4

from msgspec.structs import replace

from service.storage import keys, registry
from service.storage.access.grants import WRITE, Grants
from service.storage.errors import (
    Changed,
    Incomplete,
    NotFound,
    OverBudget,
    Refusal,
    StagingExpired,
    SweepNeeded,
    Unavailable,
    Unregistered,
)
from service.storage.keys import Collection
from service.storage.records import offload
from service.storage.records.conditions import ABSENT, ANYTHING, NEW, PRESENT, exactly
from service.storage.records.filling import IndexFilling
from service.storage.records.quota import Usage
from service.storage.records.record import (
    MARGIN,
    Listed,
    Record,
    Saved,
    Swept,
    all_until,
    count_until,
    etag,
    listed_page,
    page_until,
    portions,
    saved,
    tagged,
    until,
)
from service.storage.records.registration import Registrations
from service.storage.records.rewriting import Rewriting
from service.storage.records.splice import splice
from service.storage.records.write import Write
from service.storage.scripts.bounds import INLINE_BYTES, MERGE_BYTES, MERGE_LAST, MERGE_STEPS
from service.storage.scripts.fan_out import all_of
from service.storage.scripts.idempotent import idempotent, nothing
from service.storage.scripts.reply import Reply
from service.storage.scripts.runner import Runner

READ_BYTES = 1_000_000  # of records in one MGET: 0.4 ms of Redis's time; a slow reader holds as much memory
SWEEP_MEMBERS = 40  # members for one `sweep`: about 2 ms of Redis's time in a collection of 1,000,000 (45 us each)
ATTEMPTS = 100  # attempts at a record that other writers keep changing
STAGED_SECONDS = 60

KEEP = "="  # the lifetime of a record that keeps its expiry

T = TypeVar("T")

log = getLogger(__name__)


class Records:
    """The operations on records. Writes take their common parameters as one value, `Write`."""

    def __init__(self, runner: Runner, grants: Grants) -> None:
        self._runner, self._grants = runner, grants
        self._run, self._command = runner.run, runner.command
        self._registrations = Registrations(runner)
        self._usage = Usage(runner)
        self._filling = IndexFilling(runner, self.page)
        self.rewriting = Rewriting()

    @idempotent(saved)
    def create(self, write: Write, body: bytes) -> Coroutine[Any, Any, Saved]:
        """Store a record that does not exist yet; ignore `write.condition`.

        Raises Denied, AlreadyExists, Invalid (lifetime), QuotaExceeded.
        """
        journal = write.entry("create", body)
        if len(body) > INLINE_BYTES:
            return self.publish(write, body, NEW, journal)
        arguments = {
            "id": write.id,
            "body": body,
            "caller": write.caller,
            "lifetime": write.lifetime,
            "subject": write.subject,
            "journal": journal,
        }
        return self.commit("create", (write.collection.record(write.id), *write.collection.guarded), arguments, write)

    @idempotent(saved)
    def put(self, write: Write, body: bytes) -> Coroutine[Any, Any, Saved]:
        """Store a record, replacing any earlier one. Raises Denied, Changed, Invalid (lifetime), QuotaExceeded."""
        if (state := write.condition.state) is not None:
            return self._put(write, body, state)
        return self._compare_etag(write, partial(self._put, write, body))

    def _put(self, write: Write, body: bytes, state: str, operation: str = "put") -> Coroutine[Any, Any, Saved]:
        journal = write.entry(operation, body)
        if len(body) > INLINE_BYTES:
            return self.publish(write, body, state, journal)
        arguments = {
            "id": write.id,
            "body": body,
            "caller": write.caller,
            "lifetime": write.lifetime,
            "condition": state,
            "subject": write.subject,
            "journal": journal,
        }
        return self.commit("put", (write.collection.record(write.id), *write.collection.guarded), arguments, write)

    async def publish(self, write: Write, body: bytes, state: str, journal: bytes | str = "") -> Saved:
        """Store a large record: send the body to a staging key, then make that key the record.

        `state` has the format of lua/include/precondition_error.lua and replaces `write.condition`; `journal` comes
        from `Write.entry`. Raises what `create` and `put` raise.
        """
        collection = write.collection
        if write.subject:  # a caller who may not write must not make Redis store the body
            await self._grants.permit(collection, write.subject, WRITE)
        staged = collection.staged(uuid4().hex)
        await self._command("SET", staged, bytes(MARGIN) + body, "EX", STAGED_SECONDS, key=staged, write=True)
        arguments = {
            "id": write.id,
            "margin": MARGIN,
            "caller": write.caller,
            "lifetime": write.lifetime,
            "condition": state,
            "subject": write.subject,
            "journal": journal,
        }
        names = (collection.record(write.id), staged, *collection.guarded)
        try:
            return await self.commit("publish", names, arguments, write)
        except Refusal:
            with suppress(Refusal):  # it expires by itself
                await self._command("UNLINK", staged, key=staged, write=True)
            raise

    @idempotent(lambda reply, remark: (saved(reply), remark.decode()))
    def merge(self, write: Write, patch: bytes, limit: int) -> Coroutine[Any, Any, tuple[Saved, str]]:
        """Apply a JSON merge patch (RFC 7386) to a record, and return also the new body's etag.

        The record keeps its expiry; `write.lifetime` is ignored. `patch` is a JSON object or array; `limit` is the
        largest body, in bytes. Raises Denied, NotFound, Changed, TooLarge, QuotaExceeded.
        """
        if (state := write.condition.state) is not None:
            return self._merge(write, patch, limit, state)
        return self._compare_etag(write, partial(self._merge, write, patch, limit))

    async def _merge(self, write: Write, patch: bytes, limit: int, state: str) -> tuple[Saved, str]:
        collection, quota = write.collection, write.quota
        if write.idempotency is None and write.journal is None and len(patch) <= MERGE_BYTES:
            remaining_quota = await self._usage.remaining_quota(quota, collection) if quota else ""
            with suppress(OverBudget):
                reply = await self._run(
                    "merge",
                    (collection.record(write.id), *collection.guarded),
                    id=write.id,
                    patch=patch,
                    caller=write.caller,
                    condition=state,
                    kinds=collection.kinds,
                    subject=write.subject,
                    remaining_quota=remaining_quota,
                    limit=limit,
                    last=MERGE_LAST,
                    budget=MERGE_STEPS,
                )
                if quota:
                    await self.adjust_usage(collection, reply[4], reply[5])
                return saved(reply), etag(reply[-1])
        return await self.rewrite(write, splice, (patch, limit), state)

    async def rewrite(
        self, write: Write, change: Callable[..., bytes], arguments: tuple[bytes, int], state: str = ANYTHING
    ) -> tuple[Saved, str]:
        """Change a record in the worker, and commit the result only onto the state that was read.

        The new body is `change(old body, *arguments)`. The record keeps its expiry. It is for changes that would
        block Redis for too long, and for changes with an idempotency key or a journal, whose etag must be stored.

        Changes of one record take turns, so each competes with at most one change of each other worker. Raises
        NotFound, Changed, and what `put` and `change` raise.
        """
        collection, id = write.collection, write.id
        write = replace(write, lifetime=KEEP)
        async with self.rewriting.turn((collection.record(id),)):
            for _ in range(ATTEMPTS):
                record = await self.find_current(collection, id)
                if record is None and state in (ANYTHING, ABSENT):
                    raise NotFound("no such key")
                if record is None or state not in (ANYTHING, PRESENT, exactly(record)):
                    raise Changed("the record has changed")
                body, tag = await offload.run(tagged, change, record.body, *arguments)
                if write.idempotency is not None:
                    write.idempotency.remark = tag.encode()
                with suppress(Changed):
                    return await self._put(write, body, exactly(record), "patch"), tag
        raise Unavailable("the record keeps changing; nothing was done")

    def get(self, collection: Collection, id: str) -> Awaitable[Record]:
        """Read one record of a collection without scopes. Raises NotFound.

        It is a GET, which takes Redis a fraction of the time of a script. Only this read may be answered by replicas.
        """
        return self._runner.get(collection.record(id), _record, until)

    async def find_current(self, collection: Collection, id: str) -> Record | None:
        """Read one record from its primary, for decisions that need its current state; return None if there is
        none.
        """
        key = collection.record(id)
        packed = await self._command("GET", key, key=key)
        return None if packed is None else Record.unpack(packed)

    async def read_listed(
        self, collection: Collection, listed: Iterable[Listed]
    ) -> AsyncIterator[list[tuple[str, Record]]]:
        """Read the records of a page in portions, when they are needed; records that are gone are left out."""
        for portion in portions(listed, READ_BYTES):
            names = [collection.record(one.id) for one in portion]
            found = await self._command("MGET", *names, key=names[0], until=all_until, keys=names)
            yield [(one.id, Record.unpack(packed)) for one, packed in zip(portion, found, strict=True) if packed]

    async def collections(self, dialect: str, namespace: str, kinds: str) -> dict[Collection, int]:
        """Return the collections of a namespace and the number of live records in each, which may be 0."""
        found = list(await registry.collections(self._runner, dialect, namespace, kinds))
        return {each: reply[0] for each, reply in zip(found, await all_of(map(self._counting, found)), strict=True)}

    @idempotent(nothing)
    def delete(self, write: Write) -> Coroutine[Any, Any, None]:
        """Remove a record. Raises Denied, NotFound, Changed."""
        if write.journal is not None:
            return self._delete_journaled(write)
        if (state := write.condition.state) is not None:
            return self._delete(write, state)
        return self._compare_etag(write, partial(self._delete, write))

    async def _delete_journaled(self, write: Write) -> None:
        """Delete exactly the record that was read, because its etag is entered into the journal."""
        for _ in range(ATTEMPTS):
            record = await self.find_current(write.collection, write.id)
            state = write.condition.on_nothing() if record is None else write.condition.on(record)
            journal = "" if record is None else write.entry("delete", record.body)
            with suppress(Changed):
                return await self._delete(write, state, journal)
        raise Unavailable("the record keeps changing; nothing was done")

    async def _delete(self, write: Write, state: str, journal: bytes | str = "") -> None:
        collection = write.collection
        documents, size = await self._run(
            "delete",
            (collection.record(write.id), *collection.guarded, *(collection.journaled if journal else ())),
            write.idempotency,
            id=write.id,
            condition=state,
            kinds=collection.kinds,
            subject=write.subject,
            journal=journal,
        )
        if write.quota:
            await self.adjust_usage(collection, documents, size)

    async def page(
        self, collection: Collection, kind: str, offset: int, limit: int, *, descending: bool = False, **more: Any
    ) -> tuple[int, list[Listed]]:
        """Return the number of records, and one page of them in the order of the index `kind`. `limit` is 1 to 1000.

        `more` may have a `prefix` of ids, for the index "n", and `score` and `last`: the page continues after these.
        Expired members are swept first, and the page is of that time, so it ends even if records expire all the time.
        The first page in an order for which there is no index yet waits until the index is filled.
        """
        names = (collection.index(kind), collection.index("c"), collection.index("s"), collection.expiry)
        more = {"prefix": "", "score": "", "last": "", **more, "offset": offset, "limit": limit}
        ask = partial(self._run, "page", names, until=page_until, descending=int(descending), **more)
        moment: int | str = ""
        while True:
            try:
                return listed_page(await ask(moment=moment))
            except SweepNeeded:
                while (swept := await self.sweep(collection)).more:
                    pass
                moment = swept.at
            except Incomplete:
                await self._filling.fill(collection, kind)
                moment = ""  # filling may have taken long

    async def count(self, collection: Collection) -> int:
        """Return the number of live records of a collection with indexes."""
        return int((await self._counting(collection))[0])

    def _counting(self, collection: Collection) -> Reply:
        return self._run("count", (collection.indexes[0], collection.expiry), until=count_until)

    async def sweep(self, collection: Collection) -> Swept:
        """Remove expired members from the indexes, at most `SWEEP_MEMBERS`; trim the journal."""
        names = (*collection.tail, *collection.journaled)
        documents, size, more, left, at, journaled = await self._run(
            "sweep", names, kinds=collection.kinds, limit=SWEEP_MEMBERS
        )
        await self.adjust_usage(collection, documents, size)
        return Swept(-documents, bool(more), left, at, bool(journaled))

    async def examine(self, collection: Collection, id: str, *, repair: bool) -> list[str]:
        """Compare one record with its index entries, and repair them if asked. Return the faults."""
        names = (collection.record(id), *collection.tail)
        faults = await self._run("examine", names, id=id, kinds=collection.kinds, repair=int(repair))
        return [fault.decode() for fault in faults]

    async def adjust_usage(self, collection: Collection, documents: int, size: int) -> None:
        """Add the effect of a write to the stored usage, if there is one.

        It raises no refusal, because the write is done already.
        """
        if not documents and not size:
            return
        usage = keys.usage(collection.dialect, collection.namespace)
        try:
            await self._run("adjust_usage", (usage,), documents=documents, bytes=size)
        except Refusal as refusal:
            log.warning("%s is off by %d documents, %d bytes until counted: %s", usage, documents, size, refusal)

    def register(self, collection: Collection) -> Coroutine[Any, Any, str]:
        """Register a collection, and its namespace; return the time of the registration."""
        return self._registrations.register(collection)

    async def registered(self, collection: Collection) -> str:
        """Return the time of a collection's registration; register it unless that was done recently."""
        return self._registrations.get(collection) or await self.register(collection)

    async def unregister(self, collection: Collection, seen: str, empty: int) -> bool:
        """Drop a collection that was found empty at `empty` (us). Return True if it was dropped.

        It is dropped only if its registration still is `seen`, and is an hour older than `empty`.
        """
        return bool(await self._run("unregister", (collection.registry,), name=collection.name, seen=seen, empty=empty))

    async def commit(self, script: str, names: Sequence[str], arguments: dict[str, Any], write: Write) -> Saved:
        """Run a script that writes one record, with `admitted`.

        The script's reply is a `Saved`, then the documents and bytes by which the collection grew.
        """
        reply = await self.admitted(script, names, arguments, write)
        if write.quota:
            await self.adjust_usage(write.collection, reply[4], reply[5])
        return saved(reply)

    async def admitted(self, script: str, names: Sequence[str], arguments: dict[str, Any], write: Write) -> Any:
        """Run a script that may create records; register their collection, and give it the remaining quota."""
        collection, quota = write.collection, write.quota
        arguments["kinds"], arguments["registered"] = collection.kinds, self._registrations.get(collection)
        arguments["remaining_quota"] = await self._usage.remaining_quota(quota, collection) if quota else ""
        if write.journal is not None:
            names = (*names, *collection.journaled)
        try:
            try:
                return await self._runner.script(script, names, arguments, write.idempotency)
            except Unregistered:
                arguments["registered"] = await self.register(collection)
                return await self._runner.script(script, names, arguments, write.idempotency)
        except (Unregistered, StagingExpired):  # this process, or Redis, was suspended for minutes
            raise Unavailable("the store did not answer in time; nothing was done") from None

    async def _compare_etag(self, write: Write, commit: Callable[[str], Coroutine[Any, Any, T]]) -> T:
        """Commit a write whose condition names etags.

        Etags are compared in the worker, because Redis has no MD5. The script then requires exactly the state that was
        read, so of two writers with one etag only one succeeds.
        """
        for _ in range(ATTEMPTS):
            record = await self.find_current(write.collection, write.id)
            state = write.condition.on_nothing() if record is None else write.condition.on(record)
            with suppress(Changed):
                return await commit(state)
        raise Unavailable("the record keeps changing; nothing was done")


def _record(packed: bytes | None) -> Record:
    if packed is None:
        raise NotFound("no such key")
    return Record.unpack(packed)
