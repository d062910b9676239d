"""Streams in Redis for tests of followers, with writers and clients."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from service.storage.errors import NotFound, Unavailable
from service.storage.feed import watcher as watching
from service.storage.feed.follower import Follower, Followers
from service.storage.feed.tail import BEGINNING, Event, Position
from service.storage.feed.watcher import Watcher
from service.storage.scripts.runner import Runner
from tests.running import soon
from tests.servers import RedisProcess

KEY = "{followed}j"
TRIMMED = "{followed}t"  # the newest event that was trimmed
TRIM = """
local length = redis.call('XLEN', KEYS[1])
redis.call('SET', KEYS[2], redis.call('XRANGE', KEYS[1], '-', '+', 'COUNT', length - ARGV[1])[length - ARGV[1]][1])
redis.call('XTRIM', KEYS[1], 'MAXLEN', ARGV[1])
"""
BURST = "for n = 1, 9 do redis.call('XADD', KEYS[1], '*', 'e', n) end" + TRIM


LOSE = """
for _, entry in ipairs(redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', ARGV[1])) do
  redis.call('XDEL', KEYS[1], entry[1])
end
for n = 1, ARGV[2] do redis.call('XADD', KEYS[1], '*', 'e', n) end
"""


class Stream:
    """A stream in Redis. A read of events that were trimmed is refused."""

    def __init__(self, runner: Runner, key: str = KEY) -> None:
        self.key = key
        self._command = runner.command
        self.reads = 0

    def event(self, position: Position, fields: list[bytes]) -> Event:
        return Event(position, fields[1])

    async def read(self, after: Position, limit: int) -> list[Event]:
        self.reads += 1
        first = f"{after[0]}-{after[1]}"
        entries = await self._command("XRANGE", self.key, f"({first}", "+", "COUNT", limit, key=self.key)
        trimmed = await self._command("GET", TRIMMED, key=TRIMMED)
        if trimmed and watching._position(trimmed) > after:
            raise NotFound("it was trimmed")
        return [self.event(watching._position(id), fields) for id, fields in entries]


class Strict(Stream):
    """A stream that refuses a position at which there is no event, as a journal does."""

    async def read(self, after: Position, limit: int) -> list[Event]:
        place = f"{after[0]}-{after[1]}"
        if after != BEGINNING and not await self._command("XRANGE", self.key, place, place, key=self.key):
            raise NotFound("it is unknown")
        return await super().read(after, limit)


class Writer:
    """Adds numbered events."""

    def __init__(self, redis: RedisProcess, key: str = KEY) -> None:
        self._redis, self._key, self.count = redis, key, 0

    def add(self, count: int = 1, size: int = 0) -> None:
        for _ in range(count):
            self._redis.command("XADD", self._key, "*", "e", str(self.count).ljust(size))
            self.count += 1

    def lose(self, lost: int, instead: int) -> None:
        """Remove the newest events, as a failover does before they are replicated, and add others."""
        self._redis.command("EVAL", LOSE, 1, self._key, lost, instead)

    def trim(self, left: int) -> None:
        self._redis.command("EVAL", TRIM, 2, self._key, TRIMMED, left)


class Client:
    """A client that takes events until it is stopped."""

    def __init__(self, follower: Follower) -> None:
        self.follower = follower
        self.got: list[int] = []
        self.task = asyncio.create_task(self._take())

    async def _take(self) -> None:
        loop = asyncio.get_running_loop()
        while not self.follower.over:
            try:
                found = await self.follower.take(100, loop.time() + 60)
            except Unavailable:  # both connections of a read were lost; clients try again
                await asyncio.sleep(0.02)
                continue
            self.got += [int(event.data) for event in found]

    async def has(self, count: int) -> None:
        async def all_of_them() -> bool:
            assert not self.task.done() or self.task.result() is None
            return len(self.got) >= count

        await soon(all_of_them)
        assert self.got == [*range(count)]


async def followers_on(
    connect: Callable[..., Awaitable[Runner]], redis: RedisProcess, *, tracking: bool = True
) -> tuple[Followers, Runner]:
    runner = await connect(redis, tracking=tracking)
    return Followers(Watcher(runner.redis)), runner


async def at_rest(clients: Sequence[Client]) -> None:
    """Wait until all clients wait for events."""

    async def waiting() -> bool:
        return all(client.follower._future is not None for client in clients)

    await soon(waiting)
