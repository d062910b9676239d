"""Records, read for an export and restored with their versions, times, expiries and callers.

A walk follows the index of ids: it visits every record that exists during the whole walk once, in the same order on any
server. A record is restored by one script, which writes string, expiry and indexes in one step. Restoring it
again changes nothing, so an interrupted import may be repeated.
"""

from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import suppress
from typing import Any, NamedTuple
from uuid import uuid4

from service.storage.errors import (
    AlreadyExists,
    Changed,
    NoMemoryForIndex,
    Refusal,
    StagingExpired,
    Unavailable,
    Unregistered,
)
from service.storage.keys import Collection
from service.storage.outcomes import Outcome
from service.storage.records.conditions import NEW, exactly
from service.storage.records.filling import ON_REQUEST
from service.storage.records.record import MARGIN, Record
from service.storage.records.records import STAGED_SECONDS, Records
from service.storage.records.walk import walk
from service.storage.scripts.bounds import INLINE_BYTES
from service.storage.scripts.fan_out import all_of, each
from service.storage.scripts.reply import Reply
from service.storage.scripts.runner import Runner

STEP = 200  # ids in one command: few, so that other requests wait only for a short time
ATTEMPTS = 100  # attempts at a record that others keep changing


class Restored(NamedTuple):
    """A record to restore, and its collection and id."""

    collection: Collection
    id: str
    record: Record

    @property
    def key(self) -> str:
        return self.collection.record(self.id)


class RecordTransfer:
    """Records, read for an export and restored."""

    def __init__(self, runner: Runner, records: Records) -> None:
        self._runner, self._records = runner, records
        self._run = runner.run

    async def walk(self, collection: Collection, behind: str | None = None) -> AsyncIterator[list[tuple[str, Record]]]:
        """Read the records of a listed collection, a portion at a time, in the order of their ids.

        `behind`: only those whose ids come after this one. If it is None, and there is no memory for an index of ids,
        the order is that of creations. Then a document that is created again would be read twice, but none can be
        created while memory is full.
        """
        kind = "n"
        if behind is None:
            try:
                await self._records.page(collection, kind, 0, 1)
            except NoMemoryForIndex:
                kind = "c"
        async for listed in walk(self._records.page, collection, kind, STEP, behind or ""):
            async for portion in self._records.read_listed(collection, listed):
                yield portion

    async def restore_many(self, wanted: Sequence[Restored], *, replace: bool) -> list[Outcome]:
        """Restore records, and return the outcome of each. `replace`: also if a different record is stored.

        All records that can be restored are restored before a failure is raised. Raises Unavailable, OutcomeUnknown,
        QuotaExceeded (Redis's memory is full); it may be repeated then.
        """
        registered = {one.collection: "" for one in wanted}
        for collection in registered:
            if collection.kinds:
                registered[collection] = await self._records.registered(collection)
        small = [number for number, one in enumerate(wanted) if len(one.record.body) <= INLINE_BYTES]
        commands = [self.restore(wanted[number], registered[wanted[number].collection], NEW) for number in small]
        replies: dict[int, Any] = dict(zip(small, await each(commands), strict=True))
        await self._adjust_usage(wanted, replies)
        outcomes = dict[int, Outcome]()
        for number, reply in replies.items():
            if isinstance(reply, Exception) and not isinstance(reply, AlreadyExists | Unregistered):
                raise reply
            if not isinstance(reply, Exception):
                outcomes[number] = Outcome.STORED if reply[2] else Outcome.EXPIRED
        left = [number for number in range(len(wanted)) if number not in outcomes]
        names = [wanted[number].key for number in left]
        found = await all_of(self._runner.command("GET", name, key=name) for name in names)
        for number, packed in zip(left, found, strict=True):
            one = wanted[number]
            outcomes[number] = await self._compare(one, packed, registered[one.collection], replace)
        return [outcomes[number] for number in range(len(wanted))]

    async def _compare(self, wanted: Restored, packed: bytes | None, registered: str, replace: bool) -> Outcome:
        """Compare a record with the stored one, and restore it if it may be restored."""
        for _ in range(ATTEMPTS):
            found = None if packed is None else Record.unpack(packed)
            if found is not None and state(found) == state(wanted.record):
                return Outcome.PRESENT
            if found is not None and not replace:
                return Outcome.DIFFERENT
            with suppress(AlreadyExists, Changed):
                return await self._restore_onto(wanted, registered, NEW if found is None else exactly(found))
            packed = await self._runner.command("GET", wanted.key, key=wanted.key)
        raise Unavailable("the record keeps changing")

    async def _restore_onto(self, wanted: Restored, registered: str, condition: str) -> Outcome:
        """Restore a record if the condition holds. A large body is staged first. Raises AlreadyExists, Changed."""
        body, staged = wanted.record.body, ""
        if len(body) > INLINE_BYTES:
            staged = wanted.collection.staged(uuid4().hex)
            command = ("SET", staged, bytes(MARGIN) + body, "EX", STAGED_SECONDS)
            await self._runner.command(*command, key=staged, write=True)
        try:
            reply = await self.restore(wanted, registered, condition, staged)
        except (Unregistered, StagingExpired):  # this process, or Redis, was suspended for minutes
            raise Unavailable("the store did not answer in time") from None
        finally:
            if staged:  # the key is gone if it became the record
                with suppress(Refusal):
                    await self._runner.command("UNLINK", staged, key=staged, write=True)
        await self._adjust_usage([wanted], {0: reply})
        return Outcome.STORED if reply[2] else Outcome.EXPIRED

    def restore(self, wanted: Restored, registered: str, condition: str, staged: str = "") -> Reply:
        """Return the command that restores one record, whose body is in `staged` if it is large."""
        collection, record = wanted.collection, wanted.record
        return self._run(
            "restore",
            (wanted.key, staged or collection.staged(""), *collection.tail),
            id=wanted.id,
            body=b"" if staged else record.body,
            margin=MARGIN if staged else "",
            kinds=collection.kinds,
            registered=registered,
            condition=condition,
            version=record.version,
            created=record.created,
            updated=record.updated,
            deadline=record.expires or "",
            creator=record.creator,
            updater=record.updater,
        )

    async def check(self, wanted: Sequence[Restored]) -> list[str]:
        """Check the index entries of records that were restored; return the faults.

        All records of a collection are compared with a few commands. Only those that differ are checked by a script,
        because a client may have changed them in between.
        """
        collections = dict[Collection, list[str]]()
        for one in wanted:
            collections.setdefault(one.collection, []).append(one.id)
        faults = []
        for collection, ids in collections.items():
            for id in [id for id, fine in zip(ids, await self._consistent(collection, ids), strict=True) if not fine]:
                found = await self._records.examine(collection, id, repair=False)
                faults += [f"{collection.record(id)}: {fault}" for fault in found]
        return faults

    async def _consistent(self, collection: Collection, ids: Sequence[str]) -> list[bool]:
        """Return for each record True if its index entries are right, False if they may be wrong."""
        names = [collection.record(id) for id in ids]
        commands = [self._runner.command("MGET", *names, key=names[0])]
        commands += [self._runner.command("ZMSCORE", key, *ids, key=key) for key in collection.tail]
        packed, *scores = await all_of(commands)
        expected = [_scores(each, collection.kinds) for each in packed]
        letters = "x" + collection.kinds
        return [
            all(map(_agrees, letters, actual, wanted))
            for actual, wanted in zip(zip(*scores, strict=True), expected, strict=True)
        ]

    async def _adjust_usage(self, wanted: Sequence[Restored], replies: Mapping[int, Any]) -> None:
        """Add the restored records to the usage of their namespaces."""
        documents, sizes = Counter[tuple[str, str]](), Counter[tuple[str, str]]()
        collections = dict[tuple[str, str], Collection]()
        for number, reply in replies.items():
            if isinstance(reply, Exception):
                continue
            collection = wanted[number].collection
            namespace = collection.dialect, collection.namespace
            collections[namespace] = collection
            documents[namespace] += reply[0]
            sizes[namespace] += reply[1]
        for namespace, collection in collections.items():
            if collection.kinds:
                await self._records.adjust_usage(collection, documents[namespace], sizes[namespace])


def _scores(packed: bytes | None, kinds: str) -> list[int | None]:
    """Return the scores that a record should have: in the expiry set, then in the indexes."""
    if packed is None:
        return [None] * (1 + len(kinds))
    record = Record.unpack(packed)
    scores = {"c": record.created, "u": record.updated, "s": record.size, "n": 0}
    return [record.expires or None, *(scores[kind] for kind in kinds)]


def _agrees(kind: str, score: bytes | None, wanted: int | None) -> bool:
    """Return True if an index has the right score, or if it has none yet and need not have one."""
    if score is None:
        return wanted is None or kind in ON_REQUEST
    return int(score) == wanted


def state(record: Record) -> tuple[object, ...]:
    """Return everything that distinguishes two records; a stored header may also have padding."""
    times = record.version, record.created, record.updated, record.expires
    return *times, record.creator, record.updater, record.body
