"""Long commands on their way to Redis: on lanes of their own, and few of a worker's at a time.

So a short command of this worker stands behind none of them, and those of others behind few: what Redis has received,
it serves in one go. Turns are taken first come first served, whichever transfer they belong to.
"""

import asyncio
from typing import Any

from service.redis.client import Redis
from service.storage.errors import Unavailable

AT_ONCE = 3  # of a worker's
WAIT_SECONDS = 5.0  # for a turn; as long again as for an answer


class Bulk:
    def __init__(self, redis: Redis) -> None:
        self._execute = redis.execute_bulk
        self._turns = asyncio.Semaphore(AT_ONCE)

    async def command(self, *command: str | bytes | int, key: str, write: bool) -> Any:
        """Run a command when it is its turn. Raises Failed, Unavailable (it was not sent)."""
        if self._turns.locked():
            await self._turn()
        else:  # at once
            await self._turns.acquire()
        try:
            return await self._execute(*command, key=key, write=write)
        finally:
            self._turns.release()

    async def _turn(self) -> None:
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                await self._turns.acquire()
        except TimeoutError:
            raise Unavailable("the store is too slow for what is being transferred") from None
