"""A follower: one client's position in a stream, from which it goes on until the client has had enough."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from service.storage.feed.tail import Event, Position, Tail
from service.storage.feed.watcher import PORTION, Source, Watcher

PIECE_BYTES = 65_536  # of events that are given to a client at a time
FIRST = 16  # events of the first read for one follower, at most; then twice as many, while they are short
WAITING_BYTES = 1_000_000  # of events that wait for a client; with more it is cut off


class Followers:
    """Makes followers, and counts them. `events` were given to them; `cut` of them were too slow."""

    def __init__(self, watcher: Watcher) -> None:
        self.watcher = watcher
        self.now = self.events = self.cut = 0

    def follow(self, source: Source, position: Position) -> "Follower":
        return Follower(self, source, position)


class Follower:
    """See the module. `position` is that of the last event that `take` returned. `over`: there is nothing to wait for
    any more, because the client has left or the worker ends.

    A client that has once had all events is cut off, by `abort`, if it does not read while more than `WAITING_BYTES` of
    newer ones wait. A client that catches up reads as slowly as it likes.
    """

    def __init__(self, followers: Followers, source: Source, position: Position) -> None:
        self.position = position
        self.abort: Callable[[], None] = lambda: None
        self._followers, self._watcher, self._source = followers, followers.watcher, source
        self._future: asyncio.Future[None] | None = None
        self._portion = FIRST
        self._left = False
        self._live = False
        self._unread = False  # events were given to the client, and it has not read them yet

    @property
    def over(self) -> bool:
        return self._left or self._watcher.stopping

    @property
    def more(self) -> bool:
        """True if it is known that there are further events."""
        return self._watcher.follow(self._source).tail.last > self.position

    @property
    def generation(self) -> int | None:
        """The generation of the access directory; None if it is not confirmed."""
        return self._watcher.generation()

    @contextmanager
    def counted(self) -> Iterator[None]:
        """Count it as a follower."""
        self._followers.now += 1
        try:
            yield
        finally:
            self._followers.now -= 1

    async def take(self, limit: int, until: float) -> list[Event]:
        """Return the next events, at most `limit`. If there are none, wait for something to happen until a moment of
        the event loop's clock, and look once more: there may still be none.

        Raises Refusal, also if one of the next events was trimmed.
        """
        found = await self._take(limit)
        if not found and not self.over and asyncio.get_running_loop().time() < until:
            await self._wait(until)
            found = await self._take(limit)
        if found:
            self.position = found[-1].position
            self._followers.events += len(found)
        return found

    async def _take(self, limit: int) -> list[Event]:
        tail = self._watcher.follow(self._source).tail
        for _ in range(2):  # while the first read was on its way, the tail may have begun with an event behind it
            if (found := tail.after(self.position, limit)) is not None:
                self._live |= len(found) < limit
                return found
            if (found := await self._read(limit)) or tail.base is None or self.position > tail.last:
                break
        return found or []

    async def _read(self, limit: int) -> list[Event]:
        limit = min(limit, self._portion)
        found = await self._source.read(self.position, limit)
        self._live |= not found
        large = sum(len(event.data) for event in found) > PIECE_BYTES
        self._portion = FIRST if large else min(2 * self._portion, PORTION)
        return found

    async def _wait(self, until: float) -> None:
        followed, loop = self._watcher.follow(self._source), asyncio.get_running_loop()
        self._future = loop.create_future()
        timer = loop.call_at(until, self.wake)
        followed.followers.add(self)
        try:
            await self._future
        finally:
            timer.cancel()
            followed.followers.discard(self)
            self._future = None

    @contextmanager
    def unread(self) -> Iterator[None]:
        """The time in which the client has not read all that it was given."""
        followed = self._watcher.follow(self._source)
        followed.followers.add(self)
        self._unread = True
        try:
            yield
        finally:
            self._unread = False
            followed.followers.discard(self)

    def wake(self) -> None:
        """Let it look for events, or see that it is over."""
        if self._future is not None and not self._future.done():
            self._future.set_result(None)

    def measure(self, tail: Tail) -> None:
        """Cut the client off if it does not read and too much waits for it. See Waiting."""
        if self._unread and not self._left and (self._watcher.stopping or self._too_slow(tail)):
            self._followers.cut += not self._watcher.stopping
            self.leave()
            self.abort()

    def _too_slow(self, tail: Tail) -> bool:
        return self._live and tail.behind(self.position) > WAITING_BYTES

    def leave(self) -> None:
        """The client has left."""
        self._left = True
        self.wake()
