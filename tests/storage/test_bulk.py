"""Turns of long commands."""

import asyncio
from typing import Any

import pytest

from service.storage import bulk
from service.storage.bulk import AT_ONCE, Bulk
from service.storage.errors import Unavailable


class Slow:
    """A Redis that answers when it is told to."""

    def __init__(self) -> None:
        self.asked: list[asyncio.Future[bytes]] = []
        self.keys: list[str] = []

    def execute_bulk(self, *args: Any, key: str, write: bool) -> asyncio.Future[bytes]:
        self.keys.append(key)
        self.asked.append(asyncio.get_running_loop().create_future())
        return self.asked[-1]


async def turns() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


def commands(of: Slow, count: int) -> list[asyncio.Task[Any]]:
    made = Bulk(of)  # type: ignore[arg-type]
    return [asyncio.create_task(made.command("GET", str(n), key=str(n), write=False)) for n in range(count)]


async def test_few_are_on_their_way_and_the_others_follow_in_their_order() -> None:
    redis = Slow()
    tasks = commands(redis, AT_ONCE + 3)
    await turns()
    assert len(redis.asked) == AT_ONCE
    for n in range(AT_ONCE + 3):
        redis.asked[n].set_result(b"%d" % n)
        await turns()
    assert redis.keys == [str(n) for n in range(AT_ONCE + 3)]
    assert await asyncio.gather(*tasks) == [b"%d" % n for n in range(AT_ONCE + 3)]


async def test_who_gives_up_leaves_the_turn_to_the_next() -> None:
    redis = Slow()
    tasks = commands(redis, AT_ONCE + 2)
    await turns()
    tasks[0].cancel()
    tasks[AT_ONCE].cancel()
    await turns()
    assert redis.keys == [*map(str, range(AT_ONCE)), str(AT_ONCE + 1)]
    for task in tasks:
        task.cancel()


async def test_a_turn_that_does_not_come_is_not_waited_for_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bulk, "WAIT_SECONDS", 0.01)
    tasks = commands(Slow(), AT_ONCE + 1)
    with pytest.raises(Unavailable, match="too slow"):
        await tasks[-1]
    for task in tasks:
        task.cancel()
