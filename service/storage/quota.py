"""What a namespace uses of its quota: counted once, then kept in step by every write's own reply.

Without racing writers it is exact; racing ones may overshoot by what is in flight. A crash between a write and its
settling leaves it off until the next counting, an hour later at most (`polystow fsck --repair` counts at once).
"""

from dataclasses import dataclass

from service.storage import keys, registry
from service.storage.keys import Collection
from service.storage.runner import Runner

COUNTED_FOR = 3600  # seconds until a usage is counted afresh
ENDLESS = 1 << 53  # more than any namespace holds, and exact as a Lua number


@dataclass(frozen=True, slots=True)
class Quota:
    """The most that a namespace may hold; None is no limit."""

    documents: int | None = None
    bytes: int | None = None


class Usage:
    def __init__(self, runner: Runner) -> None:
        self._runner = runner

    async def room(self, quota: Quota, place: Collection) -> str:
        """What is left to the namespace of `place`, as lua/include/barred.lua reads it: documents and bytes."""
        usage = keys.usage(place.dialect, place.namespace)
        known = await self._runner.command("HMGET", usage, "documents", "bytes", key=usage)
        used = map(int, known) if None not in known else await self.recount(place)
        limits = (quota.documents, quota.bytes)
        left = [ENDLESS if limit is None else limit - n for limit, n in zip(limits, used, strict=True)]
        return f"{left[0]} {left[1]}"

    async def recount(self, place: Collection) -> tuple[int, int]:
        """Count, and keep the result."""
        counted = await self.count(place)
        usage = keys.usage(place.dialect, place.namespace)
        values = ("documents", counted[0], "bytes", counted[1])
        await self._runner.command("HSET", usage, *values, key=usage, write=True)
        await self._runner.command("EXPIRE", usage, COUNTED_FOR, key=usage, write=True)
        return counted

    async def count(self, place: Collection) -> tuple[int, int]:
        """The documents and bytes of all collections of the namespace of `place`."""
        documents = size = 0
        for each in await registry.collections(self._runner, place.dialect, place.namespace, place.kinds):
            more = await registry.sizes(self._runner, each)
            documents, size = documents + more[0], size + more[1]
        return documents, size
