"""The sweeper: removes expired members from the indexes of collections that nobody uses, and drops empty
collections.

Reads are exact without it: a page sweeps first, and a count subtracts expired members. The sweeper frees memory
and quota. One worker at a time has its lease. If two work at the same time after a stall, they only do the same
work twice.
"""

import asyncio
import logging
from time import monotonic
from uuid import uuid4

from service.redis.errors import Failed
from service.storage import keys, registry
from service.storage.errors import Refusal
from service.storage.keys import Collection
from service.storage.libraries import Libraries
from service.storage.records.record import Swept
from service.storage.root import Storage
from service.storage.scripts.runner import Runner

PERIOD = 2.0  # seconds between two rounds
HELD_FOR = 5_000  # ms after which another worker may take over, so after a restart memory is freed within 10 s
BATCH = 20  # collections at once, then a pause: at most 2,000 a second, below 2 % of Redis's time where nothing is due
PAUSE = 0.01  # seconds

log = logging.getLogger(__name__)


class Sweeper:
    """The sweeper of one worker."""

    def __init__(self, runner: Runner, storage: Storage) -> None:
        self._runner = runner
        self._storage = storage
        self._libraries = Libraries(runner)
        self._name = uuid4().hex

    async def run(self) -> None:
        """Sweep regularly, until the worker ends."""
        while True:
            try:
                leading = await self.acquire_lease()
                await self._libraries.tend(remove=leading)
                if leading:
                    await self.sweep()
            except Refusal as refusal:  # Redis cannot be reached; the next round tries again
                log.debug("the sweep was interrupted and is tried again: %s", refusal)
            except Failed as error:
                log.warning("the sweep was interrupted: %s", error)
            await asyncio.sleep(PERIOD)

    async def acquire_lease(self) -> bool:
        """Acquire or renew the lease. Return True if this worker has it."""
        return bool(await self._runner.run("acquire_lease", (keys.SWEEPER,), name=self._name, ms=HELD_FOR))

    async def sweep(self) -> None:
        """Sweep all collections once. It pauses after each batch, whose collections may be of many namespaces."""
        waiting: list[tuple[Collection, str]] = []
        for (dialect, namespace), kinds in (await registry.namespaces(self._runner)).items():
            waiting += (await registry.collections(self._runner, dialect, namespace, kinds)).items()
            while len(waiting) >= BATCH:
                if not await self._batch(waiting[:BATCH]):
                    return
                del waiting[:BATCH]
        await self._batch(waiting)

    async def _batch(self, batch: list[tuple[Collection, str]]) -> bool:
        """Sweep these collections. Return True if this worker still has the lease."""
        swept = await asyncio.gather(*(self._storage.records.sweep(collection) for collection, _ in batch))
        for (collection, seen), first in zip(batch, swept, strict=True):
            await self._finish(collection, seen, first)
        await asyncio.sleep(PAUSE)
        return await self.acquire_lease()

    async def _finish(self, collection: Collection, seen: str, swept: Swept) -> None:
        """Sweep the rest of a collection, and unregister it if it is empty.

        One collection is swept at a time, so a request waits for one step at most. The pauses are as long as
        the steps, so half of Redis's time is left to requests.
        """
        while swept.more:
            started = monotonic()
            swept = await self._storage.records.sweep(collection)
            await asyncio.sleep(monotonic() - started)
        if swept.left == 0 and not swept.journaled:  # an empty journal knows what was removed from it
            await self._storage.records.unregister(collection, seen, swept.at)
