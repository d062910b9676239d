"""The operations: one typed method per Lua script, always keys -> arguments -> run -> typed result.

A write is surrounded by three things that a script cannot do alone: naming a new collection in its registry, the
namespace's quota, and what is too large or too slow for a script. All three are here, once, for every write.

Times are Redis's, in microseconds since the epoch; a `lifetime` is spelled as lua/include/deadline.lua reads it. The
`subject` is who asks, as the collection's grants name callers (grants.py), "" where it has no scopes; `once` is the
request where it is to be carried out once (once.py).
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
from service.storage.errors import Changed, Due, Gone, Long, NotFound, Refusal, Unavailable, Unregistered
from service.storage.keys import Collection
from service.storage.records import offload
from service.storage.records.conditions import ANYTHING, NEW, PRESENT, UNCONDITIONAL, Condition, exactly
from service.storage.records.quota import Quota, Usage
from service.storage.records.record import MARGIN, Listed, Record, Saved, Swept, etag, portions, saved, tagged
from service.storage.records.registration import Proofs
from service.storage.records.splice import splice
from service.storage.scripts.bounds import INLINE_BYTES, MERGE_BYTES, MERGE_STEPS
from service.storage.scripts.fan_out import all_of
from service.storage.scripts.idempotency import Once
from service.storage.scripts.idempotent import nothing, repeatable
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
        self._proofs = Proofs()
        self._usage = Usage(runner)
        self._rewriting = Turns(3)  # so few, for each has its record here twice
        self._turns: WeakValueDictionary[str, Turns] = WeakValueDictionary()  # by key of a record

    @repeatable(saved)
    def create(
        self, place: Collection, id: str, body: bytes, by: str, *,
        lifetime: str = "", quota: Quota | None = None, subject: str = "", once: Once | None = None,
    ) -> Coroutine[Any, Any, Saved]:  # fmt: skip
        """Store a record that is not there yet. Raises Denied, AlreadyExists, Invalid (lifetime), QuotaExceeded."""
        if len(body) > INLINE_BYTES:
            return self.publish(place, id, body, by, lifetime, NEW, quota, subject, once)
        arguments = {"id": id, "body": body, "by": by, "lifetime": lifetime, "subject": subject}
        return self.write("create", (place.record(id), *place.guarded), arguments, place, quota, once)

    @repeatable(saved)
    def put(
        self, place: Collection, id: str, body: bytes, by: str, *,
        lifetime: str = "", condition: Condition = UNCONDITIONAL, quota: Quota | None = None, subject: str = "",
        once: Once | None = None,
    ) -> Coroutine[Any, Any, Saved]:  # fmt: skip
        """Store a record, replacing any earlier one. Raises Denied, Changed, Invalid (lifetime), QuotaExceeded."""
        if (state := condition.state) is not None:
            return self._put(place, id, body, by, lifetime, quota, subject, once, state)
        put = partial(self._put, place, id, body, by, lifetime, quota, subject, once)
        return self._compare(condition, place, id, put)

    def _put(
        self, place: Collection, id: str, body: bytes, by: str, lifetime: str, quota: Quota | None, subject: str,
        once: Once | None, state: str,
    ) -> Coroutine[Any, Any, Saved]:  # fmt: skip
        if len(body) > INLINE_BYTES:
            return self.publish(place, id, body, by, lifetime, state, quota, subject, once)
        arguments = {"id": id, "body": body, "by": by, "lifetime": lifetime, "condition": state, "subject": subject}
        return self.write("put", (place.record(id), *place.guarded), arguments, place, quota, once)

    async def publish(
        self, place: Collection, id: str, body: bytes, by: str, lifetime: str, state: str, quota: Quota | None,
        subject: str = "", once: Once | None = None,
    ) -> Saved:  # fmt: skip
        """Store a large record: `state` is as in lua/include/unmet.lua. Raises what create and put raise."""
        if subject:  # so that nobody makes Redis hold what would be refused
            await self._grants.permit(place, subject, WRITE)
        staged = place.staged(uuid4().hex)
        await self._command("SET", staged, bytes(MARGIN) + body, "EX", STAGED_SECONDS, key=staged, write=True)
        arguments = {
            "id": id, "margin": MARGIN, "by": by, "lifetime": lifetime, "condition": state, "subject": subject,
        }  # fmt: skip
        names = (place.record(id), staged, *place.guarded)
        try:
            return await self.write("publish", names, arguments, place, quota, once)
        except Refusal:
            with suppress(Refusal):  # it would expire anyway
                await self._command("UNLINK", staged, key=staged, write=True)
            raise

    @repeatable(lambda reply, remark: (saved(reply), remark.decode()))
    def merge(
        self, place: Collection, id: str, patch: bytes, by: str, *,
        limit: int, condition: Condition = UNCONDITIONAL, quota: Quota | None = None, subject: str = "",
        once: Once | None = None,
    ) -> Coroutine[Any, Any, tuple[Saved, str]]:  # fmt: skip
        """Apply a JSON merge patch (RFC 7386); replies the new body's etag too. Its expiry stays.

        `patch` is an object or an array; `limit` is the largest body, in bytes.
        Raises Denied, NotFound, Changed, TooLarge, QuotaExceeded.
        """
        if (state := condition.state) is not None:
            return self._merge(place, id, patch, by, limit, quota, subject, once, state)
        merge = partial(self._merge, place, id, patch, by, limit, quota, subject, once)
        return self._compare(condition, place, id, merge)

    async def _merge(
        self, place: Collection, id: str, patch: bytes, by: str, limit: int, quota: Quota | None, subject: str,
        once: Once | None, state: str,
    ) -> tuple[Saved, str]:  # fmt: skip
        if once is None and len(patch) <= MERGE_BYTES:
            room = await self._usage.room(quota, place) if quota else ""
            with suppress(Long):
                reply = await self._run(
                    "merge", (place.record(id), *place.guarded),
                    id=id, patch=patch, by=by, condition=state, kinds=place.kinds, room=room, subject=subject,
                    limit=limit, longest=MERGE_BYTES, budget=MERGE_STEPS,
                )  # fmt: skip
                if quota:
                    await self.settle(place, reply[4], reply[5])
                return saved(reply), etag(reply[6])
        return await self.rewrite(
            place, id, splice, (patch, limit), by, quota=quota, subject=subject, state=state, once=once
        )

    async def rewrite(
        self, place: Collection, id: str, change: Callable[..., bytes], arguments: tuple[bytes, int], by: str, *,
        quota: Quota | None = None, subject: str = "", state: str = ANYTHING, once: Once | None = None,
    ) -> tuple[Saved, str]:  # fmt: skip
        """Change a record here, as `change` makes it of the old body and the `arguments`, and commit it only onto the
        state that was read. For what would hold Redis for too long, and for what is done once: its etag is remembered.

        Each record's take turns, so that each meets at most one rival for each other worker; few are here at a time.
        """
        async with self._turns.setdefault(place.record(id), Turns()).turn(), self._rewriting.turn():
            for _ in range(ATTEMPTS):
                record = await self.find(place, id)
                if record is None and state == ANYTHING:
                    raise NotFound("no such key")
                if record is None or state not in (ANYTHING, PRESENT, exactly(record)):
                    raise Changed("the record has changed")
                body, tag = await offload.run(tagged, change, record.body, *arguments)
                if once is not None:
                    once.remark = tag.encode()
                with suppress(Changed):
                    return await self._put(place, id, body, by, KEEP, quota, subject, once, exactly(record)), tag
        raise Unavailable("the record keeps changing; nothing was done")

    def get(self, place: Collection, id: str) -> Awaitable[Record]:
        """Read one record of a collection without scopes: a bare GET, for Redis a fraction of a script's cost. The one
        read that replicas may answer. Raises NotFound.
        """
        return self._runner.get(place.record(id), _record)

    async def find(self, place: Collection, id: str) -> Record | None:
        """Read one record as it is now, for what is decided by it; or None."""
        key = place.record(id)
        packed = await self._command("GET", key, key=key)
        return None if packed is None else Record.unpack(packed)

    async def read_listed(self, place: Collection, listed: Iterable[Listed]) -> AsyncIterator[list[tuple[str, Record]]]:
        """Read what `page` listed, portion by portion as they are asked for; what is gone meanwhile is left out."""
        for portion in portions(listed, READ_BYTES):
            names = [place.record(one.id) for one in portion]
            found = await self._command("MGET", *names, key=names[0])
            yield [(one.id, Record.unpack(packed)) for one, packed in zip(portion, found, strict=True) if packed]

    async def collections(self, dialect: str, namespace: str, kinds: str) -> dict[Collection, int]:
        """The collections of a namespace and how many live records each has; some have none."""
        places = list(await registry.collections(self._runner, dialect, namespace, kinds))
        return dict(zip(places, map(int, await all_of(map(self._counting, places))), strict=True))

    @repeatable(nothing)
    def delete(
        self, place: Collection, id: str, *,
        condition: Condition = UNCONDITIONAL, quota: Quota | None = None, subject: str = "", once: Once | None = None,
    ) -> Coroutine[Any, Any, None]:  # fmt: skip
        """Remove a record. Raises Denied, NotFound, Changed."""
        if (state := condition.state) is not None:
            return self._delete(place, id, quota, subject, once, state)
        return self._compare(condition, place, id, partial(self._delete, place, id, quota, subject, once))

    async def _delete(
        self, place: Collection, id: str, quota: Quota | None, subject: str, once: Once | None, state: str
    ) -> None:
        names = (place.record(id), *place.guarded)
        documents, size = await self._run(
            "delete", names, once, id=id, condition=state, kinds=place.kinds, subject=subject
        )
        if quota:
            await self.settle(place, documents, size)

    async def page(
        self, place: Collection, kind: str, offset: int, limit: int, *, descending: bool = False
    ) -> tuple[int, list[Listed]]:
        """How many records there are, and one page of them in the order of the index `kind`; `limit` is 1 to 1000.

        Where members are due, they are swept first, and the page is of that moment: so it comes to an end also where
        records expire all the time.
        """
        names = (place.index(kind), place.index("s"), place.expiry)
        ask = partial(self._run, "page", names, offset=offset, limit=limit)
        moment: int | str = ""
        while True:
            try:
                total, ids, sizes = await ask(descending=int(descending), moment=moment)
            except Due:
                while (swept := await self.sweep(place)).more:
                    pass
                moment = swept.at
            else:
                return total, [Listed(id.decode(), int(size or 0)) for id, size in zip(ids, sizes, strict=True)]

    async def count(self, place: Collection) -> int:
        """How many live records a collection has that keeps an index."""
        return int(await self._counting(place))

    def _counting(self, place: Collection) -> Reply:
        return self._run("count", (place.indexes[0], place.expiry))

    async def sweep(self, place: Collection) -> Swept:
        """Take expired members out of the indexes, `SWEEP_MEMBERS` at the most."""
        names = place.tail
        documents, size, more, left, at = await self._run("sweep", names, kinds=place.kinds, limit=SWEEP_MEMBERS)
        await self.settle(place, documents, size)
        return Swept(-documents, bool(more), left, at)

    async def examine(self, place: Collection, id: str, *, repair: bool) -> list[str]:
        """What the indexes say wrongly of one record, a text each; put right if so wished."""
        names = (place.record(id), *place.tail)
        faults = await self._run("examine", names, id=id, kinds=place.kinds, repair=int(repair))
        return [fault.decode() for fault in faults]

    async def settle(self, place: Collection, documents: int, size: int) -> None:
        """Add what a write did to the namespace's usage, where that is kept. It never refuses: the write is done."""
        if not documents and not size:
            return
        usage = keys.usage(place.dialect, place.namespace)
        try:
            await self._run("settle", (usage,), documents=documents, bytes=size)
        except Refusal as refusal:
            log.warning("%s is off by %d documents, %d bytes until counted: %s", usage, documents, size, refusal)

    async def register(self, place: Collection) -> str:
        """Name a collection in its registry, and its namespace among the namespaces; replies the proof of it."""
        await registry.name(self._runner, place.dialect, place.namespace, place.kinds)
        return self._proofs.keep(place, str(await self._run("register", (place.registry,), name=place.name)))

    async def unregister(self, place: Collection, seen: str, empty: int) -> bool:
        """Drop a collection found empty at `empty` (us), if its registration still is `seen`, an hour before that."""
        return bool(await self._run("unregister", (place.registry,), name=place.name, seen=seen, empty=empty))

    async def write(
        self, script: str, names: Sequence[str], arguments: dict[str, Any], place: Collection,
        quota: Quota | None, once: Once | None = None,
    ) -> Saved:  # fmt: skip
        """Run a script that may create a record, with the collection's registration and the quota around it.

        Its reply begins as `Saved` does, and goes on with the documents and bytes that the collection grew by.
        """
        arguments["kinds"], arguments["registered"] = place.kinds, self._proofs.of(place)
        arguments["room"] = await self._usage.room(quota, place) if quota else ""
        try:
            try:
                reply = await self._runner.script(script, names, arguments, once)
            except Unregistered:
                arguments["registered"] = await self.register(place)
                reply = await self._runner.script(script, names, arguments, once)
        except (Unregistered, Gone):  # this process, or Redis, stood still for minutes
            raise Unavailable("the store did not answer in time; nothing was done") from None
        if quota:
            await self.settle(place, reply[4], reply[5])
        return saved(reply)

    async def _compare(
        self, condition: Condition, place: Collection, id: str, write: Callable[[str], Coroutine[Any, Any, T]]
    ) -> T:
        """Carry out a write under a condition on etags. They are compared here, for Redis has no MD5; the script is
        then held to exactly the state that was looked at, so that of two writers with one etag only one wins."""
        for _ in range(ATTEMPTS):
            record = await self.find(place, id)
            state = condition.on_nothing() if record is None else condition.on(record)
            with suppress(Changed):
                return await write(state)
        raise Unavailable("the record keeps changing; nothing was done")


def _record(packed: bytes | None) -> Record:
    if packed is None:
        raise NotFound("no such key")
    return Record.unpack(packed)
