"""The operations: one typed method per Lua script, always keys -> arguments -> run -> typed result.

A write is surrounded by three things that a script cannot do alone: naming a new collection in its registry, the
namespace's quota, and what is too large or too slow for a script. All three are here, once, for every write.

Times are Redis's, in microseconds since the epoch; a `lifetime` is spelled as lua/include/deadline.lua reads it. The
`subject` is who asks, as the collection's grants name callers (grants.py), "" where it has no scopes; `idempotency` is
set if the request has an idempotency key (scripts/idempotency.py).
Every method may raise Unavailable, every write OutcomeUnknown as well.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable, Sequence
from contextlib import suppress
from functools import partial
from logging import getLogger
from typing import Any, TypeVar
from uuid import uuid4
from weakref import WeakValueDictionary

from service.storage import keys, registry
from service.storage.access.grants import WRITE, Grants
from service.storage.errors import (
    Changed,
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
from service.storage.records.conditions import ANYTHING, NEW, PRESENT, UNCONDITIONAL, Condition, exactly
from service.storage.records.quota import Quota, Usage
from service.storage.records.record import MARGIN, Listed, Record, Saved, Swept, etag, portions, saved, tagged
from service.storage.records.registration import RegistrationCache
from service.storage.records.splice import splice
from service.storage.scripts.bounds import INLINE_BYTES, MERGE_BYTES, MERGE_STEPS
from service.storage.scripts.fan_out import all_of
from service.storage.scripts.idempotency import Idempotency
from service.storage.scripts.idempotent import idempotent, nothing
from service.storage.scripts.reply import Reply
from service.storage.scripts.runner import Runner
from service.storage.scripts.turns import Turns

READ_BYTES = 1_000_000  # of records in one MGET: about 0.4 ms of Redis's time, and all that a slow reader holds here
SWEEP_MEMBERS = 40  # per `sweep`: about 2 ms of Redis's time in a collection of 1,000,000 (45 us a member)
ATTEMPTS = 100  # at a state that others keep changing, before the caller is told
STAGED_SECONDS = 60

KEEP = "="  # the lifetime of a record that is written again and is to expire when it would have

T = TypeVar("T")

log = getLogger(__name__)


class Records:
    def __init__(self, runner: Runner, grants: Grants) -> None:
        self._runner, self._grants = runner, grants
        self._run, self._command = runner.run, runner.command
        self._registrations = RegistrationCache()
        self._usage = Usage(runner)
        self._rewriting = Turns(3)  # so few, for each has its record here twice
        self._turns: WeakValueDictionary[str, Turns] = WeakValueDictionary()  # by key of a record

    @idempotent(saved)
    def create(
        self, collection: Collection, id: str, body: bytes, by: str, *,
        lifetime: str = "", quota: Quota | None = None, subject: str = "", idempotency: Idempotency | None = None,
    ) -> Coroutine[Any, Any, Saved]:  # fmt: skip
        """Store a record that is not there yet. Raises Denied, AlreadyExists, Invalid (lifetime), QuotaExceeded."""
        if len(body) > INLINE_BYTES:
            return self.publish(collection, id, body, by, lifetime, NEW, quota, subject, idempotency)
        arguments = {"id": id, "body": body, "by": by, "lifetime": lifetime, "subject": subject}
        return self.write(
            "create", (collection.record(id), *collection.guarded), arguments, collection, quota, idempotency
        )

    @idempotent(saved)
    def put(
        self, collection: Collection, id: str, body: bytes, by: str, *,
        lifetime: str = "", condition: Condition = UNCONDITIONAL, quota: Quota | None = None, subject: str = "",
        idempotency: Idempotency | None = None,
    ) -> Coroutine[Any, Any, Saved]:  # fmt: skip
        """Store a record, replacing any earlier one. Raises Denied, Changed, Invalid (lifetime), QuotaExceeded."""
        if (state := condition.state) is not None:
            return self._put(collection, id, body, by, lifetime, quota, subject, idempotency, state)
        put = partial(self._put, collection, id, body, by, lifetime, quota, subject, idempotency)
        return self._compare(condition, collection, id, put)

    def _put(
        self, collection: Collection, id: str, body: bytes, by: str, lifetime: str, quota: Quota | None, subject: str,
        idempotency: Idempotency | None, state: str,
    ) -> Coroutine[Any, Any, Saved]:  # fmt: skip
        if len(body) > INLINE_BYTES:
            return self.publish(collection, id, body, by, lifetime, state, quota, subject, idempotency)
        arguments = {"id": id, "body": body, "by": by, "lifetime": lifetime, "condition": state, "subject": subject}
        return self.write(
            "put", (collection.record(id), *collection.guarded), arguments, collection, quota, idempotency
        )

    async def publish(
        self, collection: Collection, id: str, body: bytes, by: str, lifetime: str, state: str, quota: Quota | None,
        subject: str = "", idempotency: Idempotency | None = None,
    ) -> Saved:  # fmt: skip
        """Store a large record under `state` (lua/include/precondition_error.lua). Raises what create and put raise."""
        if subject:  # so that nobody makes Redis hold what would be refused
            await self._grants.permit(collection, subject, WRITE)
        staged = collection.staged(uuid4().hex)
        await self._command("SET", staged, bytes(MARGIN) + body, "EX", STAGED_SECONDS, key=staged, write=True)
        arguments = {
            "id": id, "margin": MARGIN, "by": by, "lifetime": lifetime, "condition": state, "subject": subject,
        }  # fmt: skip
        names = (collection.record(id), staged, *collection.guarded)
        try:
            return await self.write("publish", names, arguments, collection, quota, idempotency)
        except Refusal:
            with suppress(Refusal):  # it would expire anyway
                await self._command("UNLINK", staged, key=staged, write=True)
            raise

    @idempotent(lambda reply, remark: (saved(reply), remark.decode()))
    def merge(
        self, collection: Collection, id: str, patch: bytes, by: str, *,
        limit: int, condition: Condition = UNCONDITIONAL, quota: Quota | None = None, subject: str = "",
        idempotency: Idempotency | None = None,
    ) -> Coroutine[Any, Any, tuple[Saved, str]]:  # fmt: skip
        """Apply a JSON merge patch (RFC 7386); replies the new body's etag too. Its expiry stays.

        `patch` is an object or an array; `limit` is the largest body, in bytes.
        Raises Denied, NotFound, Changed, TooLarge, QuotaExceeded.
        """
        if (state := condition.state) is not None:
            return self._merge(collection, id, patch, by, limit, quota, subject, idempotency, state)
        merge = partial(self._merge, collection, id, patch, by, limit, quota, subject, idempotency)
        return self._compare(condition, collection, id, merge)

    async def _merge(
        self, collection: Collection, id: str, patch: bytes, by: str, limit: int, quota: Quota | None, subject: str,
        idempotency: Idempotency | None, state: str,
    ) -> tuple[Saved, str]:  # fmt: skip
        if idempotency is None and len(patch) <= MERGE_BYTES:
            remaining_quota = await self._usage.remaining_quota(quota, collection) if quota else ""
            with suppress(OverBudget):
                reply = await self._run(
                    "merge", (collection.record(id), *collection.guarded),
                    id=id, patch=patch, by=by, condition=state, kinds=collection.kinds, subject=subject,
                    remaining_quota=remaining_quota, limit=limit, longest=MERGE_BYTES, budget=MERGE_STEPS,
                )  # fmt: skip
                if quota:
                    await self.adjust_usage(collection, reply[4], reply[5])
                return saved(reply), etag(reply[6])
        return await self.rewrite(
            collection,
            id,
            splice,
            (patch, limit),
            by,
            quota=quota,
            subject=subject,
            state=state,
            idempotency=idempotency,
        )

    async def rewrite(
        self, collection: Collection, id: str, change: Callable[..., bytes], arguments: tuple[bytes, int], by: str, *,
        quota: Quota | None = None, subject: str = "", state: str = ANYTHING, idempotency: Idempotency | None = None,
    ) -> tuple[Saved, str]:  # fmt: skip
        """Change a record here, as `change` makes it of the old body and the `arguments`, and commit it only onto the
        state that was read. For what would hold Redis for too long, and for what is done once: its etag is remembered.

        Each record's take turns, so that each meets at most one rival for each other worker; few are here at a time.
        """
        async with self._turns.setdefault(collection.record(id), Turns()).turn(), self._rewriting.turn():
            for _ in range(ATTEMPTS):
                record = await self.find_current(collection, id)
                if record is None and state == ANYTHING:
                    raise NotFound("no such key")
                if record is None or state not in (ANYTHING, PRESENT, exactly(record)):
                    raise Changed("the record has changed")
                body, tag = await offload.run(tagged, change, record.body, *arguments)
                if idempotency is not None:
                    idempotency.remark = tag.encode()
                with suppress(Changed):
                    return await self._put(
                        collection, id, body, by, KEEP, quota, subject, idempotency, exactly(record)
                    ), tag
        raise Unavailable("the record keeps changing; nothing was done")

    def get(self, collection: Collection, id: str) -> Awaitable[Record]:
        """Read one record of a collection without scopes: a bare GET, for Redis a fraction of a script's cost. The one
        read that replicas may answer. Raises NotFound.
        """
        return self._runner.get(collection.record(id), _record)

    async def find_current(self, collection: Collection, id: str) -> Record | None:
        """Read one record as it is now, for what is decided by it; or None."""
        key = collection.record(id)
        packed = await self._command("GET", key, key=key)
        return None if packed is None else Record.unpack(packed)

    async def read_listed(
        self, collection: Collection, listed: Iterable[Listed]
    ) -> AsyncIterator[list[tuple[str, Record]]]:
        """Read what `page` listed, portion by portion as they are asked for; what is gone meanwhile is left out."""
        for portion in portions(listed, READ_BYTES):
            names = [collection.record(one.id) for one in portion]
            found = await self._command("MGET", *names, key=names[0])
            yield [(one.id, Record.unpack(packed)) for one, packed in zip(portion, found, strict=True) if packed]

    async def collections(self, dialect: str, namespace: str, kinds: str) -> dict[Collection, int]:
        """The collections of a namespace and how many live records each has; some have none."""
        collections = list(await registry.collections(self._runner, dialect, namespace, kinds))
        return dict(zip(collections, map(int, await all_of(map(self._counting, collections))), strict=True))

    @idempotent(nothing)
    def delete(
        self, collection: Collection, id: str, *,
        condition: Condition = UNCONDITIONAL, quota: Quota | None = None, subject: str = "",
        idempotency: Idempotency | None = None,
    ) -> Coroutine[Any, Any, None]:  # fmt: skip
        """Remove a record. Raises Denied, NotFound, Changed."""
        if (state := condition.state) is not None:
            return self._delete(collection, id, quota, subject, idempotency, state)
        return self._compare(
            condition, collection, id, partial(self._delete, collection, id, quota, subject, idempotency)
        )

    async def _delete(
        self,
        collection: Collection,
        id: str,
        quota: Quota | None,
        subject: str,
        idempotency: Idempotency | None,
        state: str,
    ) -> None:
        names = (collection.record(id), *collection.guarded)
        documents, size = await self._run(
            "delete", names, idempotency, id=id, condition=state, kinds=collection.kinds, subject=subject
        )
        if quota:
            await self.adjust_usage(collection, documents, size)

    async def page(
        self, collection: Collection, kind: str, offset: int, limit: int, *, descending: bool = False
    ) -> tuple[int, list[Listed]]:
        """How many records there are, and one page of them in the order of the index `kind`; `limit` is 1 to 1000.

        Where members are due, they are swept first, and the page is of that moment: so it comes to an end also where
        records expire all the time.
        """
        names = (collection.index(kind), collection.index("s"), collection.expiry)
        ask = partial(self._run, "page", names, offset=offset, limit=limit)
        moment: int | str = ""
        while True:
            try:
                total, ids, sizes = await ask(descending=int(descending), moment=moment)
            except SweepNeeded:
                while (swept := await self.sweep(collection)).more:
                    pass
                moment = swept.at
            else:
                return total, [Listed(id.decode(), int(size or 0)) for id, size in zip(ids, sizes, strict=True)]

    async def count(self, collection: Collection) -> int:
        """How many live records a collection has that keeps an index."""
        return int(await self._counting(collection))

    def _counting(self, collection: Collection) -> Reply:
        return self._run("count", (collection.indexes[0], collection.expiry))

    async def sweep(self, collection: Collection) -> Swept:
        """Take expired members out of the indexes, `SWEEP_MEMBERS` at the most."""
        names = collection.tail
        documents, size, more, left, at = await self._run("sweep", names, kinds=collection.kinds, limit=SWEEP_MEMBERS)
        await self.adjust_usage(collection, documents, size)
        return Swept(-documents, bool(more), left, at)

    async def examine(self, collection: Collection, id: str, *, repair: bool) -> list[str]:
        """What the indexes say wrongly of one record, a text each; put right if so wished."""
        names = (collection.record(id), *collection.tail)
        faults = await self._run("examine", names, id=id, kinds=collection.kinds, repair=int(repair))
        return [fault.decode() for fault in faults]

    async def adjust_usage(self, collection: Collection, documents: int, size: int) -> None:
        """Add what a write did to the namespace's usage, where that is kept. It never refuses: the write is done."""
        if not documents and not size:
            return
        usage = keys.usage(collection.dialect, collection.namespace)
        try:
            await self._run("adjust_usage", (usage,), documents=documents, bytes=size)
        except Refusal as refusal:
            log.warning("%s is off by %d documents, %d bytes until counted: %s", usage, documents, size, refusal)

    async def register(self, collection: Collection) -> str:
        """Name a collection in its registry, and its namespace among the namespaces; replies the proof of it."""
        await registry.name(self._runner, collection.dialect, collection.namespace, collection.kinds)
        return self._registrations.keep(
            collection, str(await self._run("register", (collection.registry,), name=collection.name))
        )

    async def unregister(self, collection: Collection, seen: str, empty: int) -> bool:
        """Drop a collection found empty at `empty` (us), if its registration still is `seen`, an hour before that."""
        return bool(await self._run("unregister", (collection.registry,), name=collection.name, seen=seen, empty=empty))

    async def write(
        self, script: str, names: Sequence[str], arguments: dict[str, Any], collection: Collection,
        quota: Quota | None, idempotency: Idempotency | None = None,
    ) -> Saved:  # fmt: skip
        """Run a script that may create a record, with the collection's registration and the quota around it.

        Its reply begins as `Saved` does, and goes on with the documents and bytes that the collection grew by.
        """
        arguments["kinds"], arguments["registered"] = collection.kinds, self._registrations.of(collection)
        arguments["remaining_quota"] = await self._usage.remaining_quota(quota, collection) if quota else ""
        try:
            try:
                reply = await self._runner.script(script, names, arguments, idempotency)
            except Unregistered:
                arguments["registered"] = await self.register(collection)
                reply = await self._runner.script(script, names, arguments, idempotency)
        except (Unregistered, StagingExpired):  # this process, or Redis, stood still for minutes
            raise Unavailable("the store did not answer in time; nothing was done") from None
        if quota:
            await self.adjust_usage(collection, reply[4], reply[5])
        return saved(reply)

    async def _compare(
        self, condition: Condition, collection: Collection, id: str, write: Callable[[str], Coroutine[Any, Any, T]]
    ) -> T:
        """Carry out a write under a condition on etags. They are compared here, for Redis has no MD5; the script is
        then held to exactly the state that was looked at, so that of two writers with one etag only one wins."""
        for _ in range(ATTEMPTS):
            record = await self.find_current(collection, id)
            state = condition.on_nothing() if record is None else condition.on(record)
            with suppress(Changed):
                return await write(state)
        raise Unavailable("the record keeps changing; nothing was done")


def _record(packed: bytes | None) -> Record:
    if packed is None:
        raise NotFound("no such key")
    return Record.unpack(packed)
