"""The watcher: reads each followed stream of a worker once, when it has grown, for all of its followers.

A stream is read on the tracking connection to its primary (service/redis/tracking.py), so Redis says when it has
changed, and writes cost nothing while nobody follows. Every read begins with the last known event: if that is still
there, nothing after it was trimmed. So events are neither lost nor repeated if a push comes too often, a connection is
lost or a slot moves: these only decide when the next read is made.

A stream is read at least once in `QUIET` seconds, because a slot can move without a push. If a primary cannot be
tracked, its streams are read every `POLL` seconds on the ordinary connection, all that are due with one write.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from msgspec import Struct

from service.redis.client import Redis
from service.redis.errors import Failed
from service.redis.pending import Command
from service.redis.tracking import Dependent, Tracker
from service.redis.wire import pack
from service.storage.feed.tail import BEGINNING, Event, Position, Tail
from service.storage.feed.turns import Turns, Waiting

TICK = 0.1  # seconds between two checks for streams that are due
QUIET = 1.0  # seconds after which a stream is read again without a push
POLL = 0.1  # seconds between two reads of a stream that is not tracked
POLLED = 5_000  # limit of such reads in a second
PACE = 0.005  # seconds between two reads of one stream, so that the changes of that time are one portion
PER_FOLLOWER = 0.000_040  # seconds that are added for each follower: twice the time to wake it and write to it
LINGER = 10.0  # seconds for which a tail without followers is kept
PORTION = 100  # events of one read: 3.2 MB at most, 3 ms of Redis's time
LARGEST = 1_000  # events of one read while they are short: below 1 ms of Redis's time
SHORT_BYTES = 500  # largest mean size of events that count as short
MEMORY = 64_000_000  # bytes of all tails of a worker

log = logging.getLogger(__name__)


class Source(Protocol):
    """A stream that can be followed. `key` names it in Redis."""

    @property
    def key(self) -> str: ...

    def event(self, position: Position, fields: list[bytes]) -> Event:
        """Render an entry of the stream."""
        ...

    def read(self, after: Position, limit: int) -> Awaitable[list[Event]]:
        """Return events after a position. Raises Refusal, also if one of them was trimmed."""
        ...


class Followed:
    """A stream that is followed, and its tail."""

    def __init__(self, source: Source, turns: Turns) -> None:
        self.source = source
        self._turns = turns
        self.tail = Tail()
        self.followers: set[Waiting] = set()
        self.portion = PORTION  # limit of events in the next read
        self.reading = False
        self.read_at = 0.0  # when the last read was sent
        self.due = 0.0  # when the next read is sent if no push comes before
        self.used = 0.0  # when it last had a follower
        self.reads: dict[Position, SharedRead] = {}  # unanswered reads, by the position after which they begin
        self.armed: Armed | None = None
        self.timer: asyncio.TimerHandle | None = None  # timer of a read that was caused by a push

    def wake(self) -> None:
        """Wake all followers, each in its turn."""
        self._turns.add(self.followers)

    def read(self, source: Source, after: Position, limit: int) -> "SharedRead":
        """Read events that are not in memory, once for all followers that have the same position at that time."""
        if (reading := self.reads.get(after)) is None:
            reading = self.reads[after] = SharedRead(asyncio.ensure_future(source.read(after, limit)), [])
            reading.events.add_done_callback(lambda events: self._has_read(after, events))
        return reading

    def _has_read(self, after: Position, events: "asyncio.Future[list[Event]]") -> None:
        self._turns.add(self.reads.pop(after).waiting)
        if not events.cancelled() and events.exception() is None:
            self.tail.begin_earlier(after, events.result())


class SharedRead(Struct, eq=False):
    """A read, with the followers that wait for it. They are served in their turns."""

    events: "asyncio.Future[list[Event]]"
    waiting: list[Waiting]


class Armed(Dependent):
    """A stream that was read on a tracking connection: Redis says when it changes."""

    watcher: "Watcher"
    followed: Followed

    def spoil(self) -> None:
        self.good = False
        self.watcher.changed(self.followed)

    def lost(self) -> None:
        self.spoil()


class Watcher:
    """The followed streams of a worker, by their keys. `reads` counts commands; `stopping`: all followers end.

    `turns` decides when each follower is served.
    """

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._loop = asyncio.get_running_loop()
        self.turns = Turns()
        self._followed: dict[str, Followed] = {}
        self._ticking = False
        self._generation: int | None = None
        self.generation: Callable[[], int | None] = lambda: 0  # of the access directory
        self.stopping = False
        self.reads = 0

    def follow(self, source: Source) -> Followed:
        """Return a stream, and watch it from now on, as long as it has followers and `LINGER` seconds more."""
        followed = self._followed.get(source.key)
        if followed is None:
            followed = self._followed[source.key] = Followed(source, self.turns)
            self._read(followed)
        followed.used = self._loop.time()
        if not self._ticking:
            self._ticking = True
            self._generation = self.generation()
            self._loop.call_later(TICK, self._tick)
        return followed

    def changed(self, followed: Followed) -> None:
        """Read a stream again soon: it has grown, or it may have grown."""
        if followed.timer is None and not self.stopping:
            pace = PACE + PER_FOLLOWER * len(followed.followers)
            followed.timer = self._loop.call_at(followed.read_at + pace, self._read, followed)

    def stop(self) -> None:
        """End all followers, and each later one at once."""
        self.stopping = True
        for followed in self._followed.values():
            followed.wake()

    def _tick(self) -> None:
        now, generation = self._loop.time(), self.generation()
        if generation is not None and generation != self._generation:  # access has changed: all check their callers
            self._generation = generation
            for followed in self._followed.values():
                followed.wake()
        for key, followed in tuple(self._followed.items()):
            if followed.followers:
                followed.used = now
            if now - followed.used > LINGER or self.stopping:
                self._forget(key)
            elif now >= followed.due and not followed.reading:
                self._read(followed)
        self._bound()
        self._ticking = bool(self._followed)
        if self._ticking:
            self._loop.call_later(TICK, self._tick)

    def _forget(self, key: str) -> None:
        followed = self._followed.pop(key)
        if followed.timer is not None:
            followed.timer.cancel()
        self._disarm(followed)

    def _disarm(self, followed: Followed) -> None:
        """Stop listening for pushes: pushes before the reply of a read report changes that are in the reply."""
        if followed.armed is not None and followed.armed.good:
            followed.armed.good = False
            followed.armed.tracker.unlink(followed.armed)
        followed.armed = None

    def _read(self, followed: Followed) -> None:
        """Read the events after the tail's end, on the tracking connection if there is one."""
        if followed.timer is not None:
            followed.timer.cancel()
            followed.timer = None
        if followed.reading:
            return
        self._disarm(followed)
        followed.reading, followed.read_at = True, self._loop.time()
        self.reads += 1
        key, tail = followed.source.key, followed.tail
        if tail.base is None:
            command = pack(("XREVRANGE", key, "+", "-", "COUNT", 1))
        else:
            command = pack(("XRANGE", key, f"{tail.last[0]}-{tail.last[1]}", "+", "COUNT", followed.portion))
        tracker = self._redis.tracker(key)
        reading = Reading(self, followed, tracker, command)
        if tracker is None:
            self.send(reading)
        else:
            tracker.read(Command(reading, command, False, key=key), reading)

    def send(self, reading: "Reading") -> None:
        """Send a read on the ordinary connection."""
        self._redis.send(Command(reading, reading.command, False, key=reading.followed.source.key))

    def arrived(self, followed: Followed, entries: list[Any]) -> None:
        """Handle the entries of a read."""
        followed.reading = False
        full = len(entries) == followed.portion
        self._set_due(followed)
        if self._followed.get(followed.source.key) is not followed:  # it was forgotten meanwhile
            self._disarm(followed)
            return
        try:
            self._add(followed, entries)
        except Exception:
            log.exception("the stream %s cannot be read", followed.source.key)
            return
        if full:
            self._read(followed)
        elif followed.armed is not None and not followed.armed.good:  # a push came since, and its timer may have rung
            self.changed(followed)

    def failed(self, followed: Followed) -> None:
        """Handle a failed read: it is tried again later."""
        followed.reading = False
        self._set_due(followed)

    def _set_due(self, followed: Followed) -> None:
        quiet = QUIET if followed.armed is not None else max(POLL, len(self._followed) / POLLED)
        followed.due = followed.read_at + quiet

    def _add(self, followed: Followed, entries: list[Any]) -> None:
        """Add entries to the tail, and wake its followers.

        If the last known event is gone, others after it may be gone, too. Then the tail begins again, and each follower
        reads once for itself, so that it notices trimmed events.
        """
        tail = followed.tail
        found = [(_position(id), fields) for id, fields in entries]
        if tail.base is None:
            tail.begin(found[0][0] if found else BEGINNING)
        elif found and found[0][0] == tail.last:
            if len(found) == 1:
                return
            events = [followed.source.event(*entry) for entry in found[1:]]
            tail.add(events)
            short = sum(len(event.data) for event in events) <= SHORT_BYTES * len(events)
            followed.portion = LARGEST if short else PORTION
        elif found:
            tail.begin(found[-1][0])
        elif tail.last != BEGINNING:
            tail.base = None
        else:
            return
        followed.wake()

    def _bound(self) -> None:
        """Empty all tails if they take too much memory. Then followers that are behind read for themselves."""
        if sum(followed.tail.size for followed in self._followed.values()) > MEMORY:
            for followed in self._followed.values():
                if followed.tail.base is not None:
                    followed.tail.begin(followed.tail.last)


class Reading(Struct, eq=False):
    """The outcome of one read; it is sent again on the ordinary connection if the tracking connection fails."""

    watcher: Watcher
    followed: Followed
    tracker: Tracker | None
    command: bytes

    def done(self) -> bool:
        return False

    def set_result(self, entries: list[Any]) -> None:
        watcher, followed, tracker = self.watcher, self.followed, self.tracker
        if tracker is not None:  # no push can come between the reply and this
            followed.armed = Armed(tracker, [], (), 0, True, watcher, followed)
            tracker.link(followed.armed, (followed.source.key,))
        asyncio.get_running_loop().call_soon(watcher.arrived, followed, entries)

    def set_exception(self, error: Failed) -> None:
        loop = asyncio.get_running_loop()
        if self.tracker is None:
            log.debug("the stream %s cannot be read: %s", self.followed.source.key, error)
            loop.call_soon(self.watcher.failed, self.followed)
        else:
            self.tracker = None
            loop.call_soon(self.watcher.send, self)


def _position(id: bytes) -> Position:
    first, _, second = id.partition(b"-")
    return int(first), int(second)
