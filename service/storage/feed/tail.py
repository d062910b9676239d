"""The tail of a stream in memory: its newest events, from which all live followers of a worker read. No I/O."""

from bisect import bisect_right
from operator import attrgetter

from msgspec import Struct

KEPT_BYTES = 2_000_000  # limit of one tail's events; a follower may be half as far behind
EVENT_BYTES = 200  # memory of an event beside its data, as it is counted

Position = tuple[int, int]  # the two numbers of a stream's id
BEGINNING: Position = (0, 0)  # before every event

_position = attrgetter("position")


class Event(Struct):
    """An event of a stream, rendered as clients get it. `total` is the size of all events of its tail up to it."""

    position: Position
    data: bytes
    total: int = 0


class Piece(Struct, eq=False):
    """The events after `start` up to `end`, as streams send them; `count` is their number. `waiting` counts the clients
    that have not read it.

    Clients with the same position get the same piece, so its bytes are in memory once.
    """

    start: Position
    end: Position
    data: bytes
    count: int = 0
    waiting: int = 0


class Tail:
    """The events after `base` up to `last`. `base` is None until the stream's end was read once. `piece` is the last
    piece that was made of these events.

    Invariant: between `base` and `last` no event is missing.
    """

    def __init__(self) -> None:
        self.base: Position | None = None
        self.last: Position = BEGINNING
        self.piece: Piece | None = None
        self.total = 0  # bytes of all events that were ever added
        self._base_total = 0
        self._events: list[Event] = []

    @property
    def size(self) -> int:
        """The bytes that the events and the piece take."""
        return self.total - self._base_total + (len(self.piece.data) if self.piece is not None else 0)

    def begin(self, position: Position) -> None:
        """Forget all events, and continue after this position."""
        self.base = self.last = position
        self._base_total = self.total
        self._events.clear()
        self.piece = None

    def add(self, events: list[Event]) -> None:
        """Add the events that follow `last`, and drop the oldest ones if there are too many."""
        for event in events:
            self.total += _size(event)
            event.total = self.total
        if not events:
            return
        self._events += events
        self.last = events[-1].position
        if self.total - self._base_total > KEPT_BYTES:
            bound = self.total - KEPT_BYTES // 2
            dropped = bisect_right(self._events, bound, key=attrgetter("total"))
            self.base, self._base_total = self._events[dropped - 1].position, self._events[dropped - 1].total
            del self._events[:dropped]

    def begin_earlier(self, position: Position, events: list[Event]) -> None:
        """Begin after an earlier position, if these events fill the gap to the present beginning. Then other followers
        with this position need not read them from Redis.
        """
        if self.base is None or position >= self.base:
            return
        count = bisect_right(events, self.base, key=_position)
        size = sum(_size(event) for event in events[:count])
        if not count or events[count - 1].position != self.base or self.total - self._base_total + size > KEPT_BYTES:
            return
        self._events[:0] = events[:count]
        self.base, self._base_total = position, self._base_total - size
        total = self._base_total
        for event in events[:count]:
            total += _size(event)
            event.total = total

    def after(self, position: Position, limit: int) -> list[Event] | None:
        """Return the events after a position, at most `limit`; None if they must be read from Redis.

        They must be read if some of them may not be in memory, or if no event has this position: Redis may have lost
        that event in a failover.
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
        """Return the size of the events after a position; a lower limit of it if not all of them are in memory."""
        first = bisect_right(self._events, position, key=_position)
        return self.total - (self._events[first - 1].total if first else self._base_total)


def _size(event: Event) -> int:
    return len(event.data) + EVENT_BYTES
