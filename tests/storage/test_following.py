"""Streams that are followed: one read for all followers, nothing lost and nothing doubled, whatever fails."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from time import monotonic
from typing import Any

import pytest

from service.redis.tracking import Tracker
from service.storage.errors import NotFound
from service.storage.feed import watcher as watching
from service.storage.feed.follower import WAITING_BYTES, Follower, Followers
from service.storage.feed.tail import BEGINNING, Event, Position
from service.storage.feed.watcher import QUIET, Watcher
from service.storage.scripts.runner import Runner
from tests.running import soon
from tests.servers import RedisProcess
from tests.storage.conftest import Connect

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
    """A stream as Redis has it; what was trimmed is refused."""

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
        """Take away the newest events, as a failover does that came before they were replicated, and add others."""
        self._redis.command("EVAL", LOSE, 1, self._key, lost, instead)

    def trim(self, left: int) -> None:
        self._redis.command("EVAL", TRIM, 2, self._key, TRIMMED, left)


class Client:
    """Takes events until it is told to stop."""

    def __init__(self, follower: Follower) -> None:
        self.follower = follower
        self.got: list[int] = []
        self.task = asyncio.create_task(self._take())

    async def _take(self) -> None:
        loop = asyncio.get_running_loop()
        while not self.follower.over:
            for event in await self.follower.take(100, loop.time() + 60):
                self.got.append(int(event.data))

    async def has(self, count: int) -> None:
        async def all_of_them() -> bool:
            assert not self.task.done() or self.task.result() is None
            return len(self.got) >= count

        await soon(all_of_them)
        assert self.got == [*range(count)]


Follow = Callable[..., Awaitable[list[Client]]]


@pytest.fixture
async def follow() -> AsyncIterator[Callable[..., list[Client]]]:
    """Makes clients of a stream, and lets them leave after the test."""
    clients: list[Client] = []

    def following(followers: Followers, stream: Stream, count: int = 1, after: Position = BEGINNING) -> list[Client]:
        made = [Client(followers.follow(stream, after)) for _ in range(count)]
        clients.extend(made)
        return made

    yield following
    for client in clients:
        client.follower.leave()
    await asyncio.gather(*(client.task for client in clients), return_exceptions=True)
    for client in clients:
        client.follower._watcher.stop()


async def followers_on(connect: Connect, redis: RedisProcess, *, tracking: bool = True) -> tuple[Followers, Runner]:
    runner = await connect(redis, tracking=tracking)
    return Followers(Watcher(runner.redis)), runner


async def at_rest(clients: Sequence[Client]) -> None:
    """Wait until all clients wait for events."""

    async def waiting() -> bool:
        return all(client.follower._future is not None for client in clients)

    await soon(waiting)


@pytest.mark.parametrize("tracking", [True, False], ids=["tracked", "polled"])
async def test_each_follower_gets_each_event_once_in_order(
    connect: Connect, redis: RedisProcess, follow: Any, tracking: bool
) -> None:
    followers, runner = await followers_on(connect, redis, tracking=tracking)
    writer = Writer(redis)
    writer.add(150)
    clients = follow(followers, Stream(runner), 20)
    for _ in range(20):
        writer.add(10)
        await asyncio.sleep(0.001)
    for client in clients:
        await client.has(350)
    assert followers.events == 20 * 350


async def test_followers_of_one_stream_share_its_reads(connect: Connect, redis: RedisProcess, follow: Any) -> None:
    followers, runner = await followers_on(connect, redis)
    stream, writer = Stream(runner), Writer(redis)
    writer.add()
    clients = follow(followers, stream, 50)
    for client in clients:
        await client.has(1)
    await at_rest(clients)
    own, shared, begun = stream.reads, followers.watcher.reads, monotonic()
    for count in range(2, 12):
        writer.add()
        for client in clients:
            await client.has(count)
    assert stream.reads == own
    quiet = (monotonic() - begun) / QUIET
    assert followers.watcher.reads - shared <= 10 + 5 + quiet  # one for each event, and those of quiet times


async def test_a_stream_that_is_not_there_yet_is_followed(connect: Connect, redis: RedisProcess, follow: Any) -> None:
    followers, runner = await followers_on(connect, redis)
    clients = follow(followers, Stream(runner), 3)
    await at_rest(clients)
    writer = Writer(redis)
    writer.add(3)
    for client in clients:
        await client.has(3)


async def test_a_follower_from_the_future_keeps_nothing_from_the_others(
    connect: Connect, redis: RedisProcess, follow: Any
) -> None:
    followers, runner = await followers_on(connect, redis)
    writer, stream = Writer(redis), Stream(runner)
    early = follow(followers, stream, after=(1 << 60, 0))
    await at_rest(early)
    clients = follow(followers, stream)
    await at_rest(clients)
    writer.add(5)
    await clients[0].has(5)
    assert early[0].got == []


async def test_nothing_is_lost_or_doubled_when_connections_are_killed(
    connect: Connect, redis: RedisProcess, follow: Any
) -> None:
    followers, runner = await followers_on(connect, redis)
    writer = Writer(redis)
    clients = follow(followers, Stream(runner), 5)
    for _ in range(10):
        writer.add(20)
        redis.command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        writer.add(20)
        await asyncio.sleep(0.02)
    for client in clients:
        await client.has(400)


async def test_a_server_that_is_killed_and_started_again_loses_no_follower(
    connect: Connect, own: RedisProcess, follow: Any
) -> None:
    followers, runner = await followers_on(connect, own)
    writer = Writer(own)
    clients = follow(followers, Stream(runner), 3)
    writer.add(10)
    for client in clients:
        await client.has(10)
    own.kill()
    own.start()
    writer.add(10)
    for client in clients:
        await client.has(20)


async def test_where_the_server_refuses_tracking_the_stream_is_polled(
    connect: Connect, redis: RedisProcess, follow: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Tracker, "ready", False)
    followers, runner = await followers_on(connect, redis)
    clients = follow(followers, Stream(runner))
    await at_rest(clients)
    writer = Writer(redis)
    writer.add(3)
    await clients[0].has(3)


async def test_a_push_that_never_comes_is_made_up_for(
    connect: Connect, redis: RedisProcess, follow: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    followers, runner = await followers_on(connect, redis)
    clients = follow(followers, Stream(runner))
    await at_rest(clients)
    monkeypatch.setattr(Tracker, "_pushed", lambda tracker, message: None)
    for tracker in runner.redis.trackers:
        assert tracker._wire is not None
        tracker._wire.listen(lambda message: None)
    writer = Writer(redis)
    writer.add(3)
    await clients[0].has(3)


async def test_a_push_right_behind_the_reply_of_a_read_leads_to_another_read(
    connect: Connect, redis: RedisProcess, follow: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its timer may ring before the reply is looked at: the loop of uvloop runs timers first."""
    monkeypatch.setattr(watching, "QUIET", 60.0)
    followers, runner = await followers_on(connect, redis)
    watcher, arrived = followers.watcher, followers.watcher.arrived
    early = 20

    def interrupted(followed: watching.Followed, entries: list[Any]) -> None:
        nonlocal early
        if followed.armed is not None and early:
            early -= 1
            followed.armed.tracker.unlink(followed.armed)
            writer.add()
            followed.armed.spoil()
            watcher._read(followed)
        arrived(followed, entries)

    writer = Writer(redis)
    monkeypatch.setattr(watcher, "arrived", interrupted)
    (client,) = follow(followers, Stream(runner))
    await client.has(20)


async def test_who_is_far_behind_is_told_that_events_were_trimmed(
    connect: Connect, redis: RedisProcess, follow: Any
) -> None:
    followers, runner = await followers_on(connect, redis)
    writer = Writer(redis)
    writer.add(10)
    writer.trim(5)
    follower = followers.follow(Stream(runner), BEGINNING)
    with pytest.raises(NotFound, match="trimmed"):
        await follower.take(10, 0)


async def test_events_that_were_trimmed_before_they_were_read_end_their_followers(
    connect: Connect, redis: RedisProcess, follow: Any
) -> None:
    followers, runner = await followers_on(connect, redis)
    writer = Writer(redis)
    writer.add(1)
    (client,) = follow(followers, Stream(runner))
    await client.has(1)
    await at_rest([client])
    redis.command("EVAL", BURST, 2, KEY, TRIMMED, 2)
    with pytest.raises(NotFound, match="trimmed"):
        await client.task
    assert client.got == [0]


@pytest.mark.parametrize("instead", [0, 1, 5])
@pytest.mark.parametrize("tracking", [True, False], ids=["tracked", "polled"])
async def test_an_event_that_was_lost_ends_those_who_had_it_and_no_others(
    connect: Connect, redis: RedisProcess, follow: Any, tracking: bool, instead: int
) -> None:
    followers, runner = await followers_on(connect, redis, tracking=tracking)
    writer, stream = Writer(redis), Strict(runner)
    writer.add(5)
    waiting = follow(followers, stream, 3)
    for client in waiting:
        await client.has(5)
    await at_rest(waiting)
    sending, behind = followers.follow(stream, BEGINNING), followers.follow(stream, BEGINNING)
    assert len(await sending.take(100, 0)) == 5  # it is not woken: it looks again when its client has read
    assert len(await behind.take(3, 0)) == 3
    writer.lose(2, instead)
    for client in waiting:
        with pytest.raises(NotFound, match="unknown"):
            await client.task
        assert client.got == [*range(5)]
    (newcomer,) = follow(followers, stream)

    async def begun_anew() -> bool:
        return followers.watcher.follow(stream).tail.base is not None

    await soon(begun_anew)
    writer.add()

    async def seen() -> bool:
        return len(newcomer.got) == 3 + instead + 1

    await soon(seen)
    with pytest.raises(NotFound, match="unknown"):
        await sending.take(100, 0)
    assert [int(event.data) for event in await behind.take(100, 0)] == [*range(1, instead + 1), 5]


async def test_who_does_not_read_is_cut_off_once_too_much_waits_for_it(
    connect: Connect, redis: RedisProcess, follow: Any
) -> None:
    followers, runner = await followers_on(connect, redis)
    writer, cut = Writer(redis), asyncio.Event()
    writer.add(1)
    (quick,) = follow(followers, Stream(runner))
    slow = followers.follow(Stream(runner), BEGINNING)
    slow.abort = cut.set
    assert len(await slow.take(100, 0)) == 1
    assert await slow.take(100, 0) == []
    with slow.unread():
        await quick.has(1)
        writer.add(9, 100_000)
        await quick.has(10)
        assert not cut.is_set()
        writer.add(2, 100_000)
        await quick.has(12)
        async with asyncio.timeout(5):
            await cut.wait()
    assert slow.over
    assert followers.cut == 1
    assert WAITING_BYTES == 1_000_000


async def test_all_tails_together_are_bounded_in_memory(
    connect: Connect, redis: RedisProcess, follow: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching, "MEMORY", 1_000_000)
    followers, runner = await followers_on(connect, redis)
    names = [f"{{followed-{number}}}j" for number in range(20)]
    clients = [client for name in names for client in follow(followers, Stream(runner, name))]
    await at_rest(clients)
    for name in names:
        Writer(redis, name).add(3, 30_000)
    for client in clients:
        await client.has(3)

    async def small() -> bool:
        return sum(each.tail.size for each in followers.watcher._followed.values()) <= 1_000_000

    await soon(small)
    for name in names:
        redis.command("XADD", name, "*", "e", "3")
    for client in clients:
        await client.has(4)


async def test_a_stream_that_nobody_follows_any_more_is_not_read_any_more(
    connect: Connect, redis: RedisProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching, "LINGER", 0.1)
    followers, runner = await followers_on(connect, redis)
    follower = followers.follow(Stream(runner), BEGINNING)
    assert await follower.take(10, 0) == []

    async def forgotten() -> bool:
        return not followers.watcher._followed and not followers.watcher._ticking

    await soon(forgotten)
    for tracker in runner.redis.trackers:
        assert not tracker._dependents


async def test_at_the_end_of_the_worker_all_followers_end(connect: Connect, redis: RedisProcess, follow: Any) -> None:
    followers, runner = await followers_on(connect, redis)
    clients = follow(followers, Stream(runner), 3)
    await at_rest(clients)
    followers.watcher.stop()
    async with asyncio.timeout(5):
        await asyncio.gather(*(client.task for client in clients))


async def test_followers_look_again_when_access_has_changed(connect: Connect, redis: RedisProcess) -> None:
    followers, runner = await followers_on(connect, redis)
    generation = 1
    followers.watcher.generation = lambda: generation
    follower = followers.follow(Stream(runner), BEGINNING)
    waiting = asyncio.create_task(follower.take(10, asyncio.get_running_loop().time() + 60))
    await asyncio.sleep(0.2)
    assert not waiting.done()
    generation = 2
    async with asyncio.timeout(5):
        assert await waiting == []
    followers.watcher.stop()
