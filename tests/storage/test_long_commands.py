"""Tests the turns of long commands, and which commands wait for them."""

import asyncio
from collections import deque
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.redis.pending import Command
from service.storage.errors import OutcomeUnknown, Unavailable
from service.storage.scripts.runner import BULK_AT_ONCE as AT_ONCE
from service.storage.scripts.runner import Runner
from service.storage.scripts.turns import Turns
from tests.lengths import examples
from tests.servers import RedisProcess


class Slow:
    """A Redis that answers when the test says so."""

    def __init__(self) -> None:
        self.asked: list[Command] = []

    @property
    def keys(self) -> list[str | bytes]:
        return [command.key for command in self.asked]

    def send_bulk(self, command: Command) -> None:
        self.asked.append(command)


async def turns() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


def commands(of: Slow, count: int, seconds: float = 60.0) -> list[asyncio.Task[Any]]:
    runner = Runner()
    runner._turns = Turns(AT_ONCE, seconds)
    runner.redis = of  # type: ignore[assignment]
    return [asyncio.create_task(runner.bulk("GET", str(n), key=str(n))) for n in range(count)]


async def test_a_few_long_commands_are_sent_at_a_time_and_others_follow_in_order() -> None:
    redis = Slow()
    tasks = commands(redis, AT_ONCE + 3)
    await turns()
    assert len(redis.asked) == AT_ONCE
    for n in range(AT_ONCE + 3):
        redis.asked[n].outcome.set_result(b"%d" % n)
        await turns()
    assert redis.keys == [str(n) for n in range(AT_ONCE + 3)]
    assert await asyncio.gather(*tasks) == [b"%d" % n for n in range(AT_ONCE + 3)]


async def test_a_cancelled_caller_leaves_its_turn_to_the_next() -> None:
    redis = Slow()
    tasks = commands(redis, AT_ONCE + 2)
    await turns()
    tasks[0].cancel()
    tasks[AT_ONCE].cancel()
    await turns()
    assert redis.keys == [*map(str, range(AT_ONCE)), str(AT_ONCE + 1)]
    for task in tasks:
        task.cancel()


async def test_waiting_for_a_turn_has_a_time_limit() -> None:
    tasks = commands(Slow(), AT_ONCE + 1, 0.01)
    with pytest.raises(Unavailable, match="nothing was done"):
        await tasks[-1]
    for task in tasks:
        task.cancel()


async def test_a_caller_that_waited_too_long_gets_no_turn() -> None:
    redis = Slow()
    tasks = commands(redis, AT_ONCE + 1, 0.01)
    with pytest.raises(Unavailable):
        await tasks[-1]
    for command in redis.asked[:]:
        command.outcome.set_result(b"")
    await asyncio.gather(*tasks[:-1])
    assert len(redis.asked) == AT_ONCE
    later = commands(Slow(), AT_ONCE)
    await turns()
    for task in later:
        task.cancel()


async def test_a_caller_that_is_cancelled_at_its_turn_passes_it_on() -> None:
    """The turn came in the tick in which the waiter was cancelled."""
    turns_ = Turns(AT_ONCE)
    for _ in range(AT_ONCE):
        await turns_.take()
    first, second = (asyncio.create_task(turns_.take()) for _ in range(2))
    await turns()
    turns_.release()
    first.cancel()
    await asyncio.wait_for(second, 60)
    with pytest.raises(asyncio.CancelledError):
        await first


async def test_a_turn_is_released_when_the_command_fails(redis: RedisProcess) -> None:
    runner = Runner.open(redis.url, timeout=0.1, bulk=True)  # not connected
    for _ in range(AT_ONCE + 1):
        with pytest.raises(Unavailable, match="cannot be reached"):
            await runner.bulk("GET", "k", key="k")
    await runner.redis.close()


async def test_a_long_write_without_a_reply_has_an_unknown_outcome(own: RedisProcess) -> None:
    runner = Runner.open(own.url, timeout=0.1, bulk=True)
    await runner.redis.connect()
    own.pause()
    try:
        with pytest.raises(OutcomeUnknown):
            await runner.bulk("SET", "k", "v", key="k", write=True)
    finally:
        own.resume()
        await runner.redis.close()


STEPS = st.lists(st.one_of(st.just("take"), st.just("release"), st.tuples(st.just("cancel"), st.integers(0, 9))))


@examples(50, 200)
@given(STEPS)
def test_turns_are_limited_and_first_come_first_served(steps: list[Any]) -> None:
    """This holds if waiters are cancelled at any time."""

    async def world() -> None:
        turns_, number = Turns(AT_ONCE), 0
        working: list[int] = []
        waiting: deque[tuple[int, asyncio.Task[None]]] = deque()
        for step in steps:
            if step == "take":
                waiting.append((number, asyncio.create_task(turns_.take())))
                number += 1
            elif step == "release":
                if working:
                    working.pop(0)
                    turns_.release()
            elif step[1] < len(waiting):
                waiting[step[1]][1].cancel()
                del waiting[step[1]]
            await turns()
            while waiting and waiting[0][1].done():
                working.append(waiting.popleft()[0])
            assert len(working) <= AT_ONCE
            assert not waiting or len(working) == AT_ONCE
            assert not any(task.done() for _, task in waiting)
            assert working == sorted(working)
        for _, task in waiting:
            task.cancel()
        await turns()
        for _ in working:
            turns_.release()
        assert turns_._free == AT_ONCE
        assert not any(not turn.done() for turn in turns_._waiting)

    asyncio.run(world())
