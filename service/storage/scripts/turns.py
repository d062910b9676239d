"""Turns: a limited number of operations run at a time; the others wait in order, up to a deadline.

asyncio's Lock and Semaphore have no deadline, and its timeouts need a task, which operations may not have.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from service.storage.errors import Unavailable

WAIT_SECONDS = 5.0  # the longest wait for a turn


class Turns:
    """A bounded number of turns, given in the order in which they are asked for."""

    def __init__(self, at_once: int = 1, seconds: float = WAIT_SECONDS) -> None:
        self._free, self._seconds = at_once, seconds
        self._waiting: deque[asyncio.Future[None]] = deque()

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Hold a turn for the length of the block. Raises Unavailable if it does not come in time."""
        await self.take()
        try:
            yield
        finally:
            self.release()

    async def take(self) -> None:
        """Wait for a turn. The caller must give it back with `release`. Raises Unavailable."""
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
            if mine.done() and not mine.cancelled() and mine.exception() is None:  # cancelled just after the turn came
                self.release()
            mine.cancel()
            raise
        finally:
            timer.cancel()

    def release(self) -> None:
        """Give back a turn. The first waiting operation gets it."""
        while self._waiting:
            if not (next := self._waiting.popleft()).done():
                next.set_result(None)
                return
        self._free += 1


def _end(waiter: "asyncio.Future[None]") -> None:
    if not waiter.done():
        waiter.set_exception(Unavailable("the turn for this request did not come in time; nothing was done"))
