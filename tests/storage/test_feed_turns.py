"""Tests that followers are served in slices, so that requests are served between two slices."""

import asyncio
from contextlib import ExitStack
from typing import Any

from service.storage.feed.follower import WAITING_BYTES
from service.storage.feed.tail import BEGINNING, Piece
from service.storage.feed.turns import LEAST_BYTES, SLICE_BYTES, Turns
from tests.runners import Connect
from tests.servers import RedisProcess
from tests.storage.streams import Stream, Writer, at_rest, followers_on

MANY = 500
IN_A_SLICE = SLICE_BYTES // LEAST_BYTES


class Waiting:
    """A follower that is given a number of bytes when it is served."""

    def __init__(self, size: int = LEAST_BYTES) -> None:
        self.size, self.served = size, 0

    def serve(self) -> int:
        self.served += 1
        return self.size


async def turn_by_turn(waiting: list[Waiting]) -> list[int]:
    """Return the number of followers that were served in each turn of the event loop, until all were served."""
    served, counts = 0, []
    while served < len(waiting):
        await asyncio.sleep(0)
        counts.append(sum(each.served for each in waiting) - served)
        served += counts[-1]
    return counts


async def test_one_slice_is_served_in_a_turn_of_the_event_loop() -> None:
    turns, waiting = Turns(), [Waiting() for _ in range(MANY)]
    turns.add(waiting)
    counts = await turn_by_turn(waiting)
    assert max(counts) == IN_A_SLICE
    assert counts.count(0) <= 1  # and in every turn there is a slice
    assert {each.served for each in waiting} == {1}


async def test_followers_that_get_much_share_a_slice_with_few_others() -> None:
    turns, waiting = Turns(), [Waiting(SLICE_BYTES) for _ in range(10)]
    turns.add(waiting)
    assert max(await turn_by_turn(waiting)) == 1


async def test_a_follower_that_is_added_twice_is_served_once() -> None:
    turns, waiting = Turns(), [Waiting() for _ in range(MANY)]
    turns.add(waiting)
    turns.add(waiting[::2])
    await turn_by_turn(waiting)
    await asyncio.sleep(0)
    assert {each.served for each in waiting} == {1}


async def test_followers_served_at_once_count_in_the_slice() -> None:
    turns, late = Turns(), Waiting()
    assert [turns.at_once() for _ in range(IN_A_SLICE + 2)] == [True] * IN_A_SLICE + [False] * 2
    await asyncio.sleep(0)
    assert turns.at_once()
    turns.add([late])
    assert not turns.at_once()
    await turn_by_turn([late])


async def test_each_turn_gives_a_change_to_one_slice_of_its_followers(
    connect: Connect, redis: RedisProcess, follow: Any
) -> None:
    followers, runner = await followers_on(connect, redis)
    clients = follow(followers, Stream(runner), MANY)
    await at_rest(clients)
    Writer(redis).add()
    given, most = 0, 0
    while given < MANY:
        await asyncio.sleep(0)
        most, given = max(most, followers.events - given), followers.events
    assert most <= 2 * IN_A_SLICE  # those that were woken, and those whose read has ended
    for client in clients:
        await client.has(1)


async def test_the_first_event_of_a_stream_is_read_once_for_all_of_its_followers(
    connect: Connect, redis: RedisProcess, follow: Any
) -> None:
    followers, runner = await followers_on(connect, redis)
    stream, writer = Stream(runner), Writer(redis)
    clients = follow(followers, stream, MANY)
    await at_rest(clients)
    before = stream.reads
    writer.add(1)
    for client in clients:
        await client.has(1)
    assert stream.reads - before <= 2


async def test_followers_that_resume_at_the_same_event_share_a_read(
    connect: Connect, redis: RedisProcess, follow: Any
) -> None:
    followers, runner = await followers_on(connect, redis)
    stream, writer = Stream(runner), Writer(redis)
    writer.add(15)
    clients = follow(followers, stream, MANY)
    for client in clients:
        await client.has(15)
    assert stream.reads <= 3


async def test_clients_that_do_not_read_are_cut_off_in_slices(connect: Connect, redis: RedisProcess) -> None:
    followers, runner = await followers_on(connect, redis)
    writer, slow = Writer(redis), []
    writer.add(1)
    for _ in range(MANY):
        follower = followers.follow(Stream(runner), BEGINNING)
        assert len(await follower.take(100, 0)) == 1
        assert await follower.take(100, 0) == []
        slow.append(follower)
    cut, most = 0, 0
    with ExitStack() as unread:
        for follower in slow:
            unread.enter_context(follower.unread(Piece(BEGINNING, follower.position, b"piece")))
        writer.add(1, WAITING_BYTES)
        while cut < MANY:
            await asyncio.sleep(0)
            most, cut = max(most, followers.cut - cut), followers.cut
    assert most <= IN_A_SLICE
    assert all(follower.over for follower in slow)
