"""Tests followed streams: one read for all followers, and no event lost or repeated by any fault."""

import asyncio
from time import monotonic
from typing import Any

import pytest

from service.redis.tracking import Tracker
from service.storage.errors import NotFound
from service.storage.feed import watcher as watching
from service.storage.feed.follower import WAITING_BYTES
from service.storage.feed.tail import BEGINNING, Piece
from service.storage.feed.watcher import QUIET
from tests.runners import Connect
from tests.running import soon
from tests.servers import RedisProcess
from tests.storage.streams import BURST, KEY, TRIMMED, Stream, Writer, at_rest, followers_on


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


async def test_a_stream_that_does_not_exist_yet_can_be_followed(
    connect: Connect, redis: RedisProcess, follow: Any
) -> None:
    followers, runner = await followers_on(connect, redis)
    clients = follow(followers, Stream(runner), 3)
    await at_rest(clients)
    writer = Writer(redis)
    writer.add(3)
    for client in clients:
        await client.has(3)


async def test_a_follower_with_a_future_cursor_does_not_affect_the_others(
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


async def test_nothing_is_lost_or_repeated_when_connections_are_killed(
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


async def test_if_the_server_refuses_tracking_the_stream_is_polled(
    connect: Connect, redis: RedisProcess, follow: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Tracker, "ready", False)
    followers, runner = await followers_on(connect, redis)
    clients = follow(followers, Stream(runner))
    await at_rest(clients)
    writer = Writer(redis)
    writer.add(3)
    await clients[0].has(3)


async def test_a_lost_push_only_delays_an_event(
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
    """The timer may fire before the reply is read, because uvloop's event loop runs timers first."""
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


async def test_a_follower_far_behind_learns_that_events_were_trimmed(
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


async def test_a_follower_that_does_not_read_is_cut_off_when_too_much_waits(
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
    with slow.unread(Piece(BEGINNING, slow.position, b"piece")):
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


async def test_all_tails_together_have_a_limit_of_memory(
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


async def test_a_stream_without_followers_is_not_read(
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


async def test_followers_are_checked_again_when_access_has_changed(connect: Connect, redis: RedisProcess) -> None:
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
