"""Compares records with the indexes, expiries, registries and usages that belong to them, and repairs on
request.

It may run while the service runs. Each record is compared by one script, so it cannot change in between. A difference
that takes more than one command to find is a fault only if it is found several times. Keys that cannot be read are
reported and not changed.
"""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from functools import partial
from types import MappingProxyType
from typing import NamedTuple

from service.redis.errors import Rejected
from service.storage import keys, registry
from service.storage.fsck.blobs import BlobCheck
from service.storage.fsck.journal import JournalCheck
from service.storage.fsck.links import LinkCheck, Readers
from service.storage.fsck.variables import Audit
from service.storage.keys import Collection
from service.storage.records.filling import ON_REQUEST
from service.storage.records.quota import Usage
from service.storage.root import Storage
from service.storage.scripts.fan_out import fan_out
from service.storage.scripts.runner import Runner

LOOKS = 5  # checks of a wrong usage, in half a second: after that, writes that were in flight are complete
PAUSE = 0.1  # seconds

Out = Callable[[str], object]


class Stored(NamedTuple):
    """The ids, and the kinds of index, of the keys of one collection."""

    ids: set[str]
    kinds: set[str]


Found = dict[tuple[str, str, str], Stored]  # by dialect, namespace and name of the collection


async def run(redis_url: str, *, repair: bool, out: Out, readers: Readers = MappingProxyType({})) -> int:
    """Check a whole Redis. Return 0 if there is no fault, else 1 (also after a repair). Raises NotSent,
    Refusal.

    `readers` names the grants that need links.
    """
    runner = Runner.open(redis_url, timeout=60.0)
    await runner.redis.connect()
    try:
        faults = await Fsck(runner, repair, out, readers).run()
    finally:
        await runner.redis.close()
    out(f"{faults} fault{'' if faults == 1 else 's'} {'repaired' if repair and faults else 'found'}")
    return 1 if faults else 0


class Fsck:
    """One run of the check."""

    def __init__(self, runner: Runner, repair: bool, out: Out, readers: Readers) -> None:
        self._runner, self._repair, self._out, self._readers = runner, repair, out, readers
        self._storage = Storage(runner)
        self._usage = Usage(runner)
        self._journals = JournalCheck(runner, self._fault, repair=repair)
        self._faults = 0
        self._variables: set[Collection] = set()  # collections of variables

    async def run(self) -> int:
        """Check everything, and return the number of faults."""
        # Records first, then registries: a collection is registered before its first record (lua/register.lua).
        stored = await self._stored()
        namespaces = await registry.namespaces(self._runner)
        for dialect, namespace in {collection[:2] for collection in stored} - set(namespaces):
            found = [known.kinds for collection, known in stored.items() if collection[:2] == (dialect, namespace)]
            kinds = "".join(sorted(set().union(*found, ON_REQUEST))) if any(found) else ""
            namespaces[dialect, namespace] = kinds
            if not kinds:  # a collection without indexes is never listed, so it is not registered
                continue
            self._fault(f"{keys.namespace(dialect, namespace)}: is not among the namespaces")
            if self._repair:
                await registry.name(self._runner, dialect, namespace, kinds)
        for collection in self._variables:
            await Audit(self._runner, collection, self._fault, repair=self._repair).run()
        for (dialect, namespace), kinds in namespaces.items():
            await self._namespace(dialect, namespace, kinds, stored)
        await BlobCheck(self._runner, self._repair, self._keys, self._fault).run()
        await LinkCheck(self._runner, self._repair, self._keys, self._fault, self._readers).run()
        return self._faults

    async def _namespace(self, dialect: str, namespace: str, kinds: str, stored: Found) -> None:
        named = set(await registry.collections(self._runner, dialect, namespace, kinds))
        held = {keys.collection(*collection, kinds) for collection in stored if collection[:2] == (dialect, namespace)}
        for collection in held - named if kinds else ():
            self._fault(f"{collection.tag}: its registry does not name it")
            if self._repair:
                await self._storage.records.register(collection)
        for collection in held | named:
            known = stored.get((dialect, namespace, collection.name))
            await fan_out(
                partial(self._record, collection), (known.ids if known else set()) | await self._indexed(collection)
            )
        for collection in held | named:
            await self._journals.run(collection)
        for collection in list(held | named)[:1]:
            await self._compare_usage(collection)

    def _fault(self, text: str) -> None:
        self._faults += 1
        self._out(text)

    async def _stored(self) -> Found:
        """Return all collections that have a key; report staged bodies that would never expire."""
        found: Found = defaultdict(lambda: Stored(set(), set()))
        async for key in self._keys():
            if (parsed := keys.parse(key)) is None:
                if collection := keys.parse_variables(key):
                    self._variables.add(collection)
                continue
            dialect, namespace, name, kind, id = parsed
            if kind in ("f:", "b:"):  # records with files are not registered: see BlobCheck
                continue
            if kind == "r:":
                found[dialect, namespace, name].ids.add(id)
            elif kind != "s:":
                found[dialect, namespace, name].kinds.update(kind.strip("xajk"))
            elif await self._runner.command("TTL", key, key=key) == -1:
                self._fault(f"{key}: staged, and never expires")
                if self._repair:
                    await self._runner.command("UNLINK", key, key=key, write=True)
        return found

    async def _keys(self) -> AsyncIterator[str]:
        for lane in self._runner.redis.lanes:
            cursor = b"0"
            while True:
                cursor, found = await lane.execute("SCAN", cursor, "COUNT", 1000, write=False)
                for key in found:
                    yield key.decode(errors="replace")
                if cursor == b"0":
                    break

    async def _indexed(self, collection: Collection) -> set[str]:
        """Return every id in a collection's indexes and expiry set."""
        found = set()
        for key in (*collection.indexes, collection.expiry):
            async for id, _ in registry.scan(self._runner, "ZSCAN", key):
                found.add(id)
        return found

    async def _record(self, collection: Collection, id: str) -> None:
        try:
            faults = await self._storage.records.examine(collection, id, repair=self._repair)
        except Rejected as error:
            faults = [f"cannot be read: {error}"]
        for fault in faults:
            self._fault(f"{collection.record(id)}: {fault}")

    async def _compare_usage(self, collection: Collection) -> None:
        """Compare a namespace's usage with its collections. It is a fault if the difference stays the same."""
        differences = set()
        for _ in range(LOOKS):
            before = await self._usage.stored(collection)
            counted = await self._usage.count(collection)
            after = await self._usage.stored(collection)
            if after is None or before != after or after == counted:
                return
            differences.add((after[0] - counted[0], after[1] - counted[1]))
            if len(differences) > 1:
                return
            await asyncio.sleep(PAUSE)
        self._fault(f"{keys.usage(collection.dialect, collection.namespace)}: says {after}, counted {counted}")
        if self._repair:
            await self._usage.recount(collection, replace=True)
