"""The tail of a stream in memory: its newest events, from which all live followers of a worker read. No I/O."""

from bisect import bisect_right
from operator import attrgetter

from msgspec import Struct

KEPT_BYTES = 2_000_000  # of one tail's events; a follower may be half as far behind
EVENT_BYTES = 200  # memory of an event beside its data, as it is counted

Position = tuple[int, int]  # the two numbers of a stream's id
BEGINNING: Position = (0, 0)  # before every event

_position = attrgetter("position")


class Event(Struct):
    """An event of a stream, rendered as clients get it. `total` is the size of all events of its tail up to it; `sent`
    is the event as streams send it, once one has."""

    position: Position
    data: bytes
    total: int = 0
    sent: bytes = b""


class Tail:
    """The events after `base` up to `last`. Both are None until the stream's end was read once.

    Invariant: between `base` and `last` no event is missing.
    """

    def __init__(self) -> None:
        self.base: Position | None = None
        self.last: Position = BEGINNING
        self.total = 0  # bytes of all events that ever were added
        self._base_total = 0
        self._events: list[Event] = []

    @property
    def size(self) -> int:
        """The bytes that the events take."""
        return self.total - self._base_total

    def begin(self, position: Position) -> None:
        """Forget all events, and continue after this position."""
        self.base = self.last = position
        self._base_total = self.total
        self._events.clear()

    def add(self, events: list[Event]) -> None:
        """Add the events that follow `last`, and drop the oldest ones if there are too many."""
        for event in events:
            self.total += len(event.data) + EVENT_BYTES
            event.total = self.total
        if not events:
            return
        self._events += events
        self.last = events[-1].position
        if self.size > KEPT_BYTES:
            bound = self.total - KEPT_BYTES // 2
            dropped = bisect_right(self._events, bound, key=attrgetter("total"))
            self.base, self._base_total = self._events[dropped - 1].position, self._events[dropped - 1].total
            del self._events[:dropped]

    def after(self, position: Position, limit: int) -> list[Event] | None:
        """Return the events after a position, at most `limit`; None if they have to be read from Redis.

        That is so if some of them may not be in memory, and if no event has this position: Redis may have lost that
        event in a failover.
        """
        if self.base is None or position < self.base or position > self.last:
            return None
        if position == self.last:
            return []
        first = bisect_right(self._events, position, key=_position)
        if position != (self._events[first - 1].position if first else self.base):
            return None
        return self._events[first : first + limit]

    def behind(self, position: Position) -> int:
        """Return the size of the events after a position; at least so much if not all of them are in memory."""
        first = bisect_right(self._events, position, key=_position)
        return self.total - (self._events[first - 1].total if first else self._base_total)
