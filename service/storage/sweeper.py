"""The sweeper: takes what has expired out of the indexes of collections that nobody touches, and drops empty ones.

Reads are exact without it (a page sweeps first, a count subtracts what is due): it gives memory and quota back. One
worker at a time holds the job; two at once, after a stall, would only do the same thing twice.
"""

import asyncio
import logging
from uuid import uuid4

from service.storage import keys, registry
from service.storage.errors import Refusal
from service.storage.keys import Collection
from service.storage.runner import Runner
from service.storage.store import Storage

PERIOD = 3.0  # seconds between two rounds
HELD_FOR = 10_000  # ms after which another worker may take over
BATCH = 100  # collections at once, then a pause of `PAUSE`: at most 2,000 a second, below 2 % of Redis's time
PAUSE = 0.05  # seconds

log = logging.getLogger(__name__)


class Sweeper:
    def __init__(self, runner: Runner, storage: Storage) -> None:
        self._runner = runner
        self._storage = storage
        self._name = uuid4().hex

    async def run(self) -> None:
        """Sweep again and again, for as long as the worker lives."""
        while True:
            try:
                if await self._hold():
                    await self.sweep()
            except Refusal as refusal:  # Redis is away; the next round will find it again
                log.debug("the sweep was broken off: %s", refusal)
            await asyncio.sleep(PERIOD)

    async def _hold(self) -> bool:
        """Take the job, or keep it."""
        key, command = keys.SWEEPER, self._runner.command
        if await command("SET", key, self._name, "NX", "PX", HELD_FOR, key=key, write=True):
            return True
        if await command("GET", key, key=key) != self._name.encode():
            return False
        return bool(await command("PEXPIRE", key, HELD_FOR, key=key, write=True))

    async def sweep(self) -> None:
        """One round over all collections."""
        for (dialect, namespace), kinds in (await registry.namespaces(self._runner)).items():
            found = list((await registry.collections(self._runner, dialect, namespace, kinds)).items())
            for start in range(0, len(found), BATCH):
                await asyncio.gather(*(self._sweep(*each) for each in found[start : start + BATCH]))
                await asyncio.sleep(PAUSE)
                if not await self._hold():
                    return

    async def _sweep(self, place: Collection, seen: str) -> None:
        while (swept := await self._storage.sweep(place)).more:
            pass
        if swept.left == 0:
            await self._storage.unregister(place, seen)
