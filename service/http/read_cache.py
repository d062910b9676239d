"""The read cache: whole answers, by the bytes of their requests. Reads from it are linearizable (docs/GUARANTEES.md).

An answer depends on the bytes of its request, on the access directory, and on the replies that its handler awaited. If
these were only reads of keys that Redis tracks for this worker (service/redis/tracking.py), the answer stays valid
until one of the keys is written or expires. So the whole answer is cached, except its date; dialects do not know about
it. A request with a cached answer waits for a barrier (one command to Redis). If the answer is still valid then, it is
sent; otherwise the request is answered as any other.

A request is recorded (service/http/recording.py) when it is repeated soon after the first time. If the recording
failed (the request wrote or was refused, or its answer became invalid before it was asked for), it is rarely tried
again.

Invariant: `bytes` counts the memory of all cached answers, and is at most `limit`.
"""

from array import array
from collections import OrderedDict
from collections.abc import Callable

from service.redis.client import Redis
from service.redis.tracking import Dependent, Tracker

LONGEST = 2048  # bytes of the longest request that is cached or remembered
LARGEST = 16  # the largest answer is 1/16 of the limit
SEEN = 1 << 16  # slots of the table of recent requests, 8 bytes each; two requests in one slot replace each other
RETRY = 16  # a request whose recording failed is recorded again at one of this many repetitions
SPARING = 128  # while recording does not pay off, one of this many requests and one of this many targets is considered
SAMPLED = 16  # other targets are considered after 2 ** 16 misses
MEMORY = 32  # bound of the score of recordings
WASTE = 3  # a wasted recording costs as much time as this many uses of an answer save
OBJECTS = 900  # bytes of memory for the objects of an answer, besides its own bytes and those of its request
PER_KEY = 350  # bytes of memory for each key that an answer depends on, besides the key's own bytes


class CachedAnswer(Dependent):
    """An answer that is cached, or is being recorded.

    `response` has the date lines `last` at offset `at`. `count` counts a request that it has answered, and takes the
    seconds that it took. `used`: it was asked for since it was cached, or since it was last spared from eviction.
    """

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
        self.cache.remove(self)
        if not self.used:
            self.cache.recording_wasted(self.data)

    def use(self) -> None:
        """Handle the first request that asks for it since `used` was False."""
        self.used = True
        self.cache.recording_used()

    def with_date(self, last: bytes) -> bytes:
        """Replace the date lines of the response with `last` (`rendering.date_lines`), and return it."""
        before, at = self.response, self.at
        self.response = response = b"".join((before[:at], last, before[at + len(last) :]))
        self.last = last
        return response


class ReadCache:
    """The cache of one worker; `limit` in bytes, 0 switches it off."""

    def __init__(self, limit: int, redis: Redis) -> None:
        self.limit = limit
        self.most_keys = limit // LARGEST // PER_KEY  # an answer that depends on more keys is too large itself
        self.answers: OrderedDict[bytes, CachedAnswer] = OrderedDict()
        self.bytes = 0
        self.misses = 0  # reads that were not cached
        self.spoiled = 0  # reads that were cached, but not valid any more when their barrier was confirmed
        self.tracker = redis.tracker
        self.cluster = redis.cluster
        self._worth = 0  # below 0: recording has recently cost more than it saved
        self._seen = array("q", bytes(8 * SEEN))
        redis.tracking.emptied = self._emptied

    def should_record(self, data: bytes) -> bool:
        """Return True if this request, which is not cached, should be recorded. Only GET and POST may be reads."""
        if not self.limit or len(data) > LONGEST or not (data[0] == 71 or data.startswith(b"POST")):  # 71: G
            return False
        self.misses += 1
        hashed = hash(data)
        # One of `SPARING` requests finds few but frequent targets. Among many targets, all requests of one in
        # `SPARING` are considered, because a target is recorded only at its second request.
        if self._worth < 0 and self.misses % SPARING and (hashed ^ self.misses >> SAMPLED) % SPARING:
            return False
        place = hashed & SEEN - 1
        seen = self._seen[place]
        if seen == hashed:
            return True
        if seen != ~hashed or not self.misses % RETRY:
            self._seen[place] = hashed
        return False

    def recording_used(self) -> None:
        """Adjust the score because a recorded answer is asked for.

        This is done at once, not when the answer becomes invalid: that never happens after the last write.
        """
        self._worth = min(self._worth + 1, MEMORY)

    def recording_wasted(self, data: bytes) -> None:
        """Adjust the score: the answer to this request became invalid before anybody asked for it."""
        self._worth = max(self._worth - WASTE, -MEMORY)
        self.recording_failed(data)

    def recording_failed(self, data: bytes) -> None:
        """Remember that the recording of this request failed."""
        hashed = hash(data)
        self._seen[hashed & SEEN - 1] = ~hashed

    def add(self, cached: CachedAnswer) -> bool:
        """Add an answer, unless the same one is cached. Return False if it is too large."""
        size = OBJECTS + len(cached.data) + len(cached.response)
        for key in cached.keys:
            size += PER_KEY + len(key)
        cached.size = size
        if cached.size > self.limit // LARGEST:
            return False
        if (before := self.answers.get(cached.data)) is not None:
            if before.generation == cached.generation:
                cached.tracker.unlink(cached)
                return True
            self.remove(before)
        self.answers[cached.data] = cached
        self.bytes += cached.size
        while self.bytes > self.limit:
            oldest = next(iter(self.answers.values()))
            if oldest.used:
                oldest.used = False
                self.answers.move_to_end(oldest.data)
            else:
                self.remove(oldest)
        return True

    def remove(self, cached: CachedAnswer) -> None:
        """Remove an answer from the cache. Redis no longer reports changes of its keys to it, so it also becomes
        invalid for the requests that wait with it for a barrier."""
        cached.good = False
        cached.tracker.unlink(cached)
        if self.answers.get(cached.data) is cached:
            del self.answers[cached.data]
            self.bytes -= cached.size

    def _emptied(self, tracker: Tracker) -> None:
        for cached in [cached for cached in self.answers.values() if cached.tracker is tracker]:
            del self.answers[cached.data]
            self.bytes -= cached.size
