"""The usage of a namespace's quota: counted once, then updated with the reply of every write.

Without racing writers it is exact. Racing writers may exceed a quota by the writes that are in flight. After a
crash between a write and its update, the usage is wrong until it is counted again, at most an hour later
(`polystow fsck --repair` counts at once).
"""

import asyncio
from dataclasses import dataclass

from service.storage import keys, registry
from service.storage.keys import Collection
from service.storage.scripts.runner import Runner

COUNTED_FOR = 3600  # seconds until a usage is counted again
ENDLESS = 1 << 53  # more than any namespace holds, and exact as a Lua number


@dataclass(frozen=True, slots=True)
class Quota:
    """The largest number of documents and of bytes in a namespace; None means no limit."""

    documents: int | None = None
    bytes: int | None = None


async def journal_bytes(runner: Runner, collection: Collection) -> int:
    """Return the bytes of a collection's journal that count in the quota."""
    key = collection.journal_state
    added, removed = await runner.command("HMGET", key, "bytes", "freed", key=key)
    return int(added or 0) - int(removed or 0)


class Usage:
    """The usages of namespaces with a quota."""

    def __init__(self, runner: Runner) -> None:
        self._command = runner.command
        self._runner = runner
        self._counting: dict[str, asyncio.Task[tuple[int, int]]] = {}

    async def remaining_quota(self, quota: Quota, collection: Collection) -> str:
        """Return the documents and bytes left to the namespace, as lua/include/admission_error.lua reads them."""
        used = await self.stored(collection) or await self._counted(collection)
        limits = (quota.documents, quota.bytes)
        left = [ENDLESS if limit is None else limit - n for limit, n in zip(limits, used, strict=True)]
        return f"{left[0]} {left[1]}"

    async def stored(self, collection: Collection) -> tuple[int, int] | None:
        """Return the stored usage, documents and bytes; None if there is none."""
        usage = keys.usage(collection.dialect, collection.namespace)
        known = await self._command("GET", usage, key=usage)
        if known is None:
            return None
        documents, size = map(int, known.split())
        return documents, size

    async def _counted(self, collection: Collection) -> tuple[int, int]:
        """Count and store the usage, once for all waiting requests of this worker: 200,000 records take half a
        second.
        """
        usage = keys.usage(collection.dialect, collection.namespace)
        counting = self._counting.get(usage)
        if counting is None:
            counting = self._counting[usage] = asyncio.create_task(self.recount(collection))
            counting.add_done_callback(lambda _: self._counting.pop(usage))
        return await asyncio.shield(counting)

    async def recount(self, collection: Collection, *, replace: bool = False) -> tuple[int, int]:
        """Count the usage and store it, if none is stored or `replace` is set; return it.

        Value and expiry are set by one command: a usage that never expired would never be counted again.
        """
        counted = await self.count(collection)
        usage = keys.usage(collection.dialect, collection.namespace)
        unless = () if replace else ("NX",)
        text = f"{counted[0]} {counted[1]}"
        await self._command("SET", usage, text, "EX", COUNTED_FOR, *unless, key=usage, write=True)
        return counted

    async def count(self, collection: Collection) -> tuple[int, int]:
        """Count the documents and bytes of all collections of the namespace, expired and unswept ones included."""
        documents = size = 0
        for each in await registry.collections(
            self._runner, collection.dialect, collection.namespace, collection.kinds
        ):
            more = await registry.sizes(self._runner, each)
            documents, size = documents + more[0], size + more[1] + await journal_bytes(self._runner, each)
        return documents, size
