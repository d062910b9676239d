"""Turns: so many at a time, the others wait in the order in which they came.

asyncio's Lock and Semaphore have no deadline, and its timeouts need a task: an operation may run without one.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from service.storage.errors import Unavailable

WAIT_SECONDS = 5.0  # for a turn


class Turns:
    def __init__(self, at_once: int = 1, seconds: float = WAIT_SECONDS) -> None:
        self._free, self._seconds = at_once, seconds
        self._waiting: deque[asyncio.Future[None]] = deque()

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """One turn, from when it comes to the end of the block. Raises Unavailable if it does not come in time."""
        await self.take()
        try:
            yield
        finally:
            self.release()

    async def take(self) -> None:
        """Wait for a turn, which `release` gives to the next. Raises Unavailable."""
        if self._free:
            self._free -= 1
            return
        loop = asyncio.get_running_loop()
        mine = loop.create_future()
        self._waiting.append(mine)
        timer = loop.call_later(self._seconds, _end, mine)
        try:
            await mine
        except BaseException:
            if mine.done() and not mine.cancelled() and mine.exception() is None:  # cancelled when it had just come
                self.release()
            mine.cancel()
            raise
        finally:
            timer.cancel()

    def release(self) -> None:
        """Give a turn to the next who waits."""
        while self._waiting:
            if not (next := self._waiting.popleft()).done():
                next.set_result(None)
                return
        self._free += 1


def _end(waiter: "asyncio.Future[None]") -> None:
    if not waiter.done():
        waiter.set_exception(Unavailable("the turn for this request did not come in time; nothing was done"))
