"""Tests events that a failover of Redis has lost: followers that had them end, others continue."""

import asyncio
from typing import Any

import pytest

from service.storage.errors import NotFound
from service.storage.feed.tail import BEGINNING
from tests.runners import Connect
from tests.running import soon
from tests.servers import RedisProcess
from tests.storage.streams import Strict, Writer, at_rest, followers_on


@pytest.mark.parametrize("instead", [0, 1, 5])
@pytest.mark.parametrize("tracking", [True, False], ids=["tracked", "polled"])
async def test_an_event_that_a_failover_lost_ends_only_followers_that_had_it(
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
    later = await behind.take(100, 0)
    while len(later) <= instead:  # the newest event may not be in memory yet
        later += await behind.take(100, asyncio.get_running_loop().time() + 60)
    assert [int(event.data) for event in later] == [*range(1, instead + 1), 5]
