"""The operations on collections with scopes. The script of an operation first checks the caller's permission.

Reading has two steps. One script for each collection, all in one round trip, checks the grants and replies
small records. Then the records that are large or did not fit are read in portions, when they are needed. So
neither Redis nor this process has much of them in memory at the same time.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from typing import Any

from msgspec import Struct

from service.storage.access.grants import WRITE, Grants
from service.storage.errors import AlreadyExists, Denied, NotFound, OverBudget
from service.storage.keys import Collection
from service.storage.records.join import join
from service.storage.records.record import Listed, Record, Saved, all_until, saved
from service.storage.records.records import Records
from service.storage.records.write import Write
from service.storage.scripts.bounds import DISCARDED, INLINE_BYTES, MERGE_LAST, MERGE_STEPS
from service.storage.scripts.fan_out import FAN_OUT
from service.storage.scripts.idempotent import idempotent, nothing
from service.storage.scripts.reply import Replies
from service.storage.scripts.runner import Runner

ONE_BYTES = 500_000  # of one collection in the first step: below 1 ms of Redis's time
ALL_BYTES = 8_000_000  # of all collections in the first step
AT_ONCE = 500  # ids in one script: 3 ms of Redis's time with the longest ids
Refused = Denied | NotFound


class CollectionRead(Struct, frozen=True):
    """The first step's result for a collection: records, records still to be read, or the refusal."""

    collection: Collection
    found: dict[str, Record]
    rest: Sequence[Listed] = ()
    refused: Refused | None = None


class Scoped:
    """The operations on collections with scopes."""

    def __init__(self, runner: Runner, records: Records, grants: Grants) -> None:
        self._runner, self._records, self._grants = runner, records, grants
        self._run = runner.run

    async def read_many(
        self,
        collections: Sequence[Collection],
        ids: Sequence[str],
        subject: str,
        *,
        most: int = 0,
        attached: bool = False,
        strict: bool = False,
    ) -> list[CollectionRead]:
        """Do the first step of reading the same ids in each of the collections.

        A collection that the caller may not read has a refusal in its result: NotFound if there is no such
        resource, else Denied. `strict`: the refusal is raised instead, NotFound before Denied. At most `most`
        bytes of each collection are in the result, 0 for the default. `attached`: the ids are of records with
        files.
        """
        if len(ids) > AT_ONCE:
            parts = [
                await self.read_many(collections, some, subject, most=most // 2, attached=attached, strict=strict)
                for some in (ids[:AT_ONCE], ids[AT_ONCE:])
            ]
            return [*map(_together, *parts)]
        most = most or min(ONE_BYTES, ALL_BYTES // max(1, len(collections)))
        readings: list[CollectionRead] = []
        denied: Denied | None = None
        for start in range(0, len(collections), FAN_OUT):
            some = collections[start : start + FAN_OUT]
            for collection, reply in zip(
                some,
                await Replies(
                    [
                        self._run(
                            "read",
                            (collection.acl, *map(collection.attachment if attached else collection.record, ids)),
                            until=None if attached else all_until,
                            subject=subject,
                            most=most,
                        )
                        for collection in some
                    ]
                ),
                strict=True,
            ):
                if strict and isinstance(reply, NotFound):
                    raise reply
                if strict and isinstance(reply, Denied):
                    denied = denied or reply
                readings.append(_decode_reading(collection, ids, reply))
        if denied is not None:
            raise denied
        return readings

    async def records(self, reading: CollectionRead) -> AsyncIterator[list[tuple[str, Record]]]:
        """Read all records of a result, a portion at a time; records that are gone are left out."""
        if reading.found:
            yield [*reading.found.items()]
        async for portion in self._records.read_listed(reading.collection, reading.rest):
            yield portion

    @idempotent(saved)
    async def append(self, write: Write, value: bytes, limit: int, *, creating: bool = False) -> Saved:
        """Add a JSON value to a record's value (service/storage/records/join.py). The record keeps its expiry.

        `creating`: if there is no record, the value becomes one. `limit` is the largest body, in bytes; the other
        fields of `write` that count are collection, id, caller, subject and idempotency. Raises Denied, NotFound,
        Mismatched, TooLarge.
        """
        collection, id = write.collection, write.id
        if len(value) > INLINE_BYTES or write.journal is not None:
            await self._grants.permit(collection, write.subject, WRITE)
        else:
            arguments = {
                "id": id,
                "value": value,
                "caller": write.caller,
                "creating": int(creating),
                "subject": write.subject,
                "limit": limit,
                "last": MERGE_LAST,
                "budget": MERGE_STEPS,
            }
            with suppress(OverBudget):
                names = (collection.record(id), *collection.guarded)
                return await self._records.commit("append", names, arguments, write)
        while True:  # others may create and delete the record alternately; one of the two steps succeeds at last
            try:
                return (await self._records.rewrite(write, join, (value, limit)))[0]
            except NotFound:
                if not creating:
                    raise
            with suppress(AlreadyExists):
                return await self._records.create(write, value)

    @idempotent(nothing)
    async def discard(self, write: Write, ids: Sequence[str]) -> None:
        """Remove those of the records that exist, `DISCARDED` in one step. Raises Denied.

        The fields of `write` that count are collection, subject and idempotency.
        """
        collection = write.collection
        for start in range(0, len(ids), DISCARDED):
            some, last = ids[start : start + DISCARDED], start + DISCARDED >= len(ids)
            names = (*collection.guarded, *map(collection.record, some))
            # The last step commits the request, so it alone remembers the reply.
            idempotency = write.idempotency if last else None
            await self._run("discard", names, idempotency, subject=write.subject, kinds=collection.kinds, ids=some)


def _decode_reading(collection: Collection, ids: Sequence[str], reply: Any) -> CollectionRead:
    """Return the result for the reply or refusal of a script that has read these ids."""
    if isinstance(reply, Exception):
        if isinstance(reply, Refused):
            return CollectionRead(collection, {}, (), reply)
        raise reply
    found, rest = dict[str, Record](), list[Listed]()
    for id, each in zip(ids, reply, strict=True):
        if isinstance(each, bytes):
            found[id] = Record.unpack(each)
        elif each is not None:
            rest.append(Listed(id, each))
    return CollectionRead(collection, found, rest)


def _together(first: CollectionRead, second: CollectionRead) -> CollectionRead:
    """Merge the results of two scripts that have read one collection."""
    return CollectionRead(
        first.collection, first.found | second.found, (*first.rest, *second.rest), first.refused or second.refused
    )
