"""Numbers for what is new: unique over all collections of a dialect, never given twice, and ready when they are needed.

A worker reserves them in blocks, the next one before the last is used up, so a request waits for none but the worker's
first. What a worker had not used when it ended is never used.
"""

import asyncio
from collections import defaultdict
from functools import partial
from logging import getLogger

from service.storage import keys
from service.storage.scripts.runner import Runner

BLOCK = 1000
LOW = 500  # numbers left from which on the next block is asked for

log = getLogger(__name__)


class IdAllocator:
    def __init__(self, runner: Runner) -> None:
        self._command = runner.command
        self._left: defaultdict[str, list[int]] = defaultdict(list)  # by dialect, the next one last
        self._asking: dict[str, asyncio.Task[None]] = {}

    async def take(self, dialect: str) -> int:
        """A number that nobody has or had. Raises Unavailable, OutcomeUnknown (some numbers are lost, no matter)."""
        left = self._left[dialect]
        while True:
            if len(left) <= LOW and dialect not in self._asking:
                self._asking[dialect] = task = asyncio.ensure_future(self._ask(dialect))
                task.add_done_callback(partial(self._asked, dialect))
            if left:
                return left.pop()
            await asyncio.shield(self._asking[dialect])

    def give_back(self, dialect: str, number: int) -> None:
        """A number that was taken, and surely not used."""
        self._left[dialect].append(number)

    def _asked(self, dialect: str, task: asyncio.Task[None]) -> None:
        del self._asking[dialect]
        if not task.cancelled() and (error := task.exception()):  # whoever waits is told it, the next one asks again
            log.debug("no numbers could be reserved: %s", error)

    async def _ask(self, dialect: str) -> None:
        key = keys.variable(dialect)
        last = int(await self._command("INCRBY", key, BLOCK, key=key, write=True))
        self._left[dialect][:0] = range(last, last - BLOCK, -1)
