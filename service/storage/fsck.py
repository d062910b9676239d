"""Compares records with the indexes, expiries, registries and usages that speak of them, and repairs on request.

It may run beside a serving instance: each record is compared by one script, so nothing can change in between.
"""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterable

from service.redis.client import Redis
from service.storage import keys, registry
from service.storage.keys import Collection
from service.storage.quota import Usage
from service.storage.runner import Runner
from service.storage.store import Storage

BATCH = 200  # records compared at once
Out = Callable[[str], object]


async def run(redis_url: str, *, repair: bool, out: Out) -> int:
    """Check a whole Redis; 0 where all agree, 1 where not (also after a repair). Raises NotSent, Refusal."""
    redis = Redis.open(redis_url, timeout=60.0, on_connect=lambda ask: runner.load(ask))
    runner = Runner(redis)
    await redis.connect()
    try:
        faults = await Fsck(runner, repair, out).run()
    finally:
        await redis.close()
    out(f"{faults} fault{'' if faults == 1 else 's'} {'repaired' if repair and faults else 'found'}")
    return 1 if faults else 0


class Fsck:
    def __init__(self, runner: Runner, repair: bool, out: Out) -> None:
        self._runner, self._repair, self._out = runner, repair, out
        self._storage = Storage(runner)
        self._faults = 0

    async def run(self) -> int:
        stored = await self._stored()
        for (dialect, namespace), kinds in (await registry.namespaces(self._runner)).items():
            named = set(await registry.collections(self._runner, dialect, namespace, kinds))
            held = {keys.collection(*place, kinds) for place in stored if place[:2] == (dialect, namespace)}
            for place in held - named:
                self._fault(f"{place.tag}: its registry does not name it")
                if self._repair:
                    await self._storage.register(place)
            for place in held | named:
                ids = stored.pop((dialect, namespace, place.name), set()) | await self._indexed(place)
                await self._compare(place, ids)
            await self._usage(named | held)
        for dialect, namespace, _ in stored:
            self._fault(f"{dialect}:{namespace}: no such namespace is known, but it has records")
        return self._faults

    def _fault(self, text: str) -> None:
        self._faults += 1
        self._out(text)

    async def _stored(self) -> dict[tuple[str, str, str], set[str]]:
        """The ids of all records, by collection; staged bodies that would stay for ever are faults."""
        found: dict[tuple[str, str, str], set[str]] = defaultdict(set)
        async for key in self._keys():
            if (parsed := keys.parse(key)) is None:
                continue
            dialect, namespace, name, kind, rest = parsed
            if kind == "r":
                found[dialect, namespace, name].add(rest)
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

    async def _indexed(self, place: Collection) -> set[str]:
        """Every id that an index or the expiry set of a collection names."""
        found = set()
        for key in (*place.indexes, place.expiry):
            async for id, _ in registry.scan(self._runner, "ZSCAN", key):
                found.add(id)
        return found

    async def _compare(self, place: Collection, ids: Iterable[str]) -> None:
        waiting = list(ids)
        for start in range(0, len(waiting), BATCH):
            some = waiting[start : start + BATCH]
            found = await asyncio.gather(*(self._storage.examine(place, id, repair=self._repair) for id in some))
            for id, faults in zip(some, found, strict=True):
                for fault in faults:
                    self._fault(f"{place.record(id)}: {fault}")

    async def _usage(self, places: set[Collection]) -> None:
        """Compare a namespace's usage with its collections; writes in flight are given a second look."""
        for place in list(places)[:1]:
            usage = keys.usage(place.dialect, place.namespace)
            for _ in range(3):
                kept = await self._runner.command("HMGET", usage, "documents", "bytes", key=usage)
                counted = await Usage(self._runner).count(place)
                if None in kept or tuple(map(int, kept)) == counted:
                    return
            self._fault(f"{usage}: says {tuple(map(int, kept))}, counted {counted}")
            if self._repair:
                await Usage(self._runner).recount(place)
