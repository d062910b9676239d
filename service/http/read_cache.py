"""The read cache: whole answers, by the bytes of their requests. Each is right at a moment after it was asked for.

What a request is answered depends on its bytes, on the access directory, and on what its handler awaited. Where that
was only reads of keys that Redis tracks for this worker (service/redis/tracking.py), the answer stays the same until
one of them is written or expires. So the whole answer is kept, but for its date, and no dialect knows of it. A request
for it waits for a barrier and is answered if the answer is still good then; else it goes the ordinary way.

A request is recorded (service/http/recording.py) when it is made again soon after it was made first. One whose
recording came to nothing (it wrote, it was refused, nobody asked for it before it was spoiled) is rarely tried again.

Invariant: `bytes` counts all that is kept, and is at most `limit`.
"""

from array import array
from collections import OrderedDict
from collections.abc import Callable

from service.redis.client import Redis
from service.redis.tracking import Dependent, Tracker

LONGEST = 2048  # bytes of a request that is kept or remembered
LARGEST = 16  # an answer is at most this part of the limit
SEEN = 1 << 16  # requests that are remembered, 8 bytes each in one place, until another one takes that
RETRY = 16  # one of so many requests is tried again although it came to nothing
SPARING = 8  # while recording does not pay, one of so many is recorded
MEMORY = 64  # answers whose end is remembered
OBJECTS = 900  # bytes of memory for an answer beside its own bytes and those of its request
PER_KEY = 350  # and for each key that it depends on, beside the key's own bytes


class Kept(Dependent):
    """An answer that is kept, or is to be. `response` has the lines of `last` at `at`; `count` counts one more of it,
    which took so many seconds; `used`: it was asked for since it was kept or last spared from eviction."""

    cache: "ReadCache"
    data: bytes
    generation: int | None
    response: bytes = b""
    at: int = 0
    last: bytes = b""
    count: Callable[[float], None] = lambda seconds: None
    size: int = 0
    used: bool = False

    def spoil(self) -> None:
        self.cache.drop(self)
        self.cache.judge(self)

    def of(self, last: bytes) -> bytes:
        """The response with these lines from now on (rendering.dated)."""
        before, at = self.response, self.at
        self.response = response = b"".join((before[:at], last, before[at + len(last) :]))
        self.last = last
        return response


class ReadCache:
    def __init__(self, limit: int, redis: Redis) -> None:
        self.limit = limit
        self.answers: OrderedDict[bytes, Kept] = OrderedDict()
        self.bytes = 0
        self.misses = 0  # reads that were not kept
        self.spoiled = 0  # that were, but not any more when the barrier was there
        self.tracker = redis.tracker
        self.cluster = redis.cluster
        self._worth = 0  # below 0: recording has cost more of late than it saved
        self._seen = array("q", bytes(8 * SEEN))
        redis.tracking.emptied = self._emptied

    def again(self, data: bytes) -> bool:
        """Is this a request, not kept, that is to be recorded? One that may write is so by its first bytes."""
        if not self.limit or len(data) > LONGEST or not (data[0] == 71 or data.startswith(b"POST")):  # 71: G
            return False
        self.misses += 1
        hashed = hash(data)
        place = hashed & SEEN - 1
        seen = self._seen[place]
        if seen == hashed:
            return self._worth >= 0 or not self.misses % SPARING
        if seen != ~hashed or not self.misses % RETRY:
            self._seen[place] = hashed
        return False

    def judge(self, kept: Kept) -> None:
        """Learn from an answer that is spoiled: was it worth its recording?"""
        if kept.used:
            self._worth = min(self._worth + 1, MEMORY)
        else:
            self._worth = max(self._worth - 2, -MEMORY)
            self.in_vain(kept.data)

    def in_vain(self, data: bytes) -> None:
        """Recording this request came to nothing."""
        hashed = hash(data)
        self._seen[hashed & SEEN - 1] = ~hashed

    def keep(self, kept: Kept) -> bool:
        """Keep an answer, unless the same is kept; False where it is too large."""
        size = OBJECTS + len(kept.data) + len(kept.response)
        for key in kept.keys:
            size += PER_KEY + len(key)
        kept.size = size
        if kept.size > self.limit // LARGEST:
            return False
        if (before := self.answers.get(kept.data)) is not None:
            if before.generation == kept.generation:
                kept.tracker.unlink(kept)
                return True
            self.drop(before)
        self.answers[kept.data] = kept
        self.bytes += kept.size
        while self.bytes > self.limit:
            oldest = next(iter(self.answers.values()))
            if oldest.used:
                oldest.used = False
                self.answers.move_to_end(oldest.data)
            else:
                self.drop(oldest)
        return True

    def drop(self, kept: Kept) -> None:
        """Keep an answer no longer, if it is kept. Nobody would be told when it is spoiled, so it is not good any more,
        also for those who wait with it."""
        kept.good = False
        kept.tracker.unlink(kept)
        if self.answers.get(kept.data) is kept:
            del self.answers[kept.data]
            self.bytes -= kept.size

    def _emptied(self, tracker: Tracker) -> None:
        for kept in [kept for kept in self.answers.values() if kept.tracker is tracker]:
            del self.answers[kept.data]
            self.bytes -= kept.size
