"""Turns of followers: they are served in slices, one slice in each tick of the event loop, with requests in between."""

import asyncio
from collections import OrderedDict
from collections.abc import Iterable
from typing import Protocol

SLICE_BYTES = 1_048_576  # bytes of events that are given to followers in one tick of the event loop
LEAST_BYTES = 65_536  # serving a follower counts as at least so many bytes: waking it takes as long as sending them


class Waiting(Protocol):
    """A follower that waits for events, or for its client to read them."""

    def serve(self) -> int:
        """Serve this follower. Return the number of bytes that it will be given, as far as that is known."""
        ...


class Turns:
    """The followers that must be served, in the order in which they were added. `slices` counts slices."""

    def __init__(self) -> None:
        self.slices = 0
        self._loop = asyncio.get_running_loop()
        self._queue: OrderedDict[Waiting, None] = OrderedDict()
        self._left = SLICE_BYTES
        self._scheduled = False

    def add(self, followers: Iterable[Waiting]) -> None:
        """Serve each of these followers once, after those that are waiting."""
        self._queue.update(dict.fromkeys(followers))
        self._schedule()

    def at_once(self) -> bool:
        """Take a part of this tick's slice for a follower that has not waited. Return False if it must wait."""
        if self._queue or self._left <= 0:
            return False
        self._left -= LEAST_BYTES
        self._schedule()
        return True

    def _schedule(self) -> None:
        if not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self._serve)

    def _serve(self) -> None:
        self._scheduled = False
        self._left = SLICE_BYTES
        self.slices += bool(self._queue)
        while self._queue and self._left > 0:
            follower, _ = self._queue.popitem(last=False)
            self._left -= follower.serve()
        if self._queue:
            self._schedule()
