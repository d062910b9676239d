"""Turns of long commands, which go to Redis on lanes of their own, and few of a worker's at a time.

So a short command of this worker stands behind none of them, and those of others behind few: what Redis has received,
it serves in one go. Turns are taken first come first served, whichever transfer they belong to.
"""

from asyncio import CancelledError, Future, get_running_loop
from collections import deque

from service.storage.errors import Unavailable

AT_ONCE = 3  # of a worker's
WAIT_SECONDS = 5.0  # for a turn; as long again as for an answer


class Turns:
    """`take` and `release` go together. There is no `asyncio.timeout` here, for that needs a task."""

    def __init__(self) -> None:
        self._free = AT_ONCE
        self._waiting: deque[Future[None]] = deque()

    async def take(self) -> None:
        """Wait for a turn. Raises Unavailable where none is free in time."""
        if self._free:
            self._free -= 1
            return
        loop = get_running_loop()
        turn: Future[None] = loop.create_future()
        self._waiting.append(turn)
        timer = loop.call_later(WAIT_SECONDS, _late, turn)
        try:
            await turn
        except CancelledError:
            if turn.done() and not turn.cancelled() and turn.exception() is None:
                self.release()
            raise
        finally:
            timer.cancel()

    def release(self) -> None:
        """Give the turn to the next who waits."""
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self._free += 1


def _late(turn: Future[None]) -> None:
    if not turn.done():
        turn.set_exception(Unavailable("the store is too slow for what is being transferred"))
