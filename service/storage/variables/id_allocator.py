"""Allocates ids that are unique over all collections of a dialect and never allotted twice. They are reserved
before they are needed.

A worker reserves ids in blocks. It reserves the next block before the last one is used up, so only the first
request of a worker has to wait. Ids that are left when a worker ends are never used.
"""

import asyncio
from collections import defaultdict
from functools import partial
from logging import getLogger

from service.storage import keys
from service.storage.scripts.runner import Runner

BLOCK = 1000
LOW = 500  # ids left when the next block is reserved

log = getLogger(__name__)


class IdAllocator:
    """The ids that a worker has reserved, by dialect."""

    def __init__(self, runner: Runner) -> None:
        self._command = runner.command
        self._run = runner.run
        self._left: defaultdict[str, list[int]] = defaultdict(list)  # by dialect; the last one is next
        self._reserving: dict[str, asyncio.Task[None]] = {}

    async def take(self, dialect: str) -> int:
        """Return an id that no variable has or had. Raises Unavailable, OutcomeUnknown (then a block of ids is
        lost).
        """
        left = self._left[dialect]
        while True:
            if len(left) <= LOW and dialect not in self._reserving:
                self._reserving[dialect] = task = asyncio.ensure_future(self._reserve(dialect))
                task.add_done_callback(partial(self._reserved, dialect))
            if left:
                return left.pop()
            await asyncio.shield(self._reserving[dialect])

    async def reserve_through(self, dialect: str, last: int) -> tuple[int, int]:
        """Reserve all ids up to `last` that are not reserved yet; return the first and the last of them.

        The first is larger than the last if there are none. Raises Unavailable, OutcomeUnknown (then they are lost).
        """
        key = keys.variable(dialect)
        reserved = int(await self._command("GET", key, key=key) or 0)
        if last <= reserved:
            return 1, 0
        end = int(await self._command("INCRBY", key, last - reserved, key=key, write=True))
        return end - (last - reserved) + 1, end

    async def advance(self, key: str, number: int) -> None:
        """Raise a counter, `keys.variable(dialect)` or `keys.user(dialect)`, to at least this number."""
        await self._run("advance", (key,), number=number)

    def give_back(self, dialect: str, number: int) -> None:
        """Return an id that was taken and certainly not used."""
        self._left[dialect].append(number)

    def _reserved(self, dialect: str, task: asyncio.Task[None]) -> None:
        del self._reserving[dialect]
        if not task.cancelled() and (
            error := task.exception()
        ):  # the waiting request raises it; the next one tries again
            log.debug("no ids could be reserved: %s", error)

    async def _reserve(self, dialect: str) -> None:
        key = keys.variable(dialect)
        last = int(await self._command("INCRBY", key, BLOCK, key=key, write=True))
        self._left[dialect][:0] = range(last, last - BLOCK, -1)
