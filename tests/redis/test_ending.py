"""Tests that closing ends a background task that has mistaken its cancellation for an error of its connection."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from service.redis import ending
from service.redis.client import Redis
from service.redis.ending import end
from service.redis.sentinel import Watched


@pytest.fixture(autouse=True)
def soon_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ending, "AGAIN_SECONDS", 0.01)


def deaf(times: int) -> Callable[..., Awaitable[None]]:
    """Return a coroutine function that raises an ordinary error instead of its cancellation, for the first times."""
    left = [times]

    async def connect(*_: object) -> None:
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            if left[0]:
                left[0] -= 1
                raise ConnectionError("the connection was closed") from None
            raise

    return connect


async def goes_on(connect: Callable[..., Awaitable[None]]) -> None:
    while True:
        try:
            await connect()
        except ConnectionError:
            continue


@pytest.mark.parametrize("times", [0, 1, 3])
async def test_tasks_end_however_often_they_ignore_it(times: int) -> None:
    tasks = [asyncio.create_task(goes_on(deaf(times))) for _ in range(3)]
    await asyncio.sleep(0)
    await end(*tasks)
    assert all(task.cancelled() for task in tasks)


async def test_what_a_task_raises_at_its_end_is_dropped() -> None:
    async def fails() -> None:
        try:
            await asyncio.sleep(3600)
        finally:
            raise ValueError

    task = asyncio.create_task(fails())
    await asyncio.sleep(0)
    await end(task)
    await end(task)
    await end()


@pytest.mark.parametrize(
    "url", ["redis+sentinel://127.0.0.1:1/main/0", "redis+cluster://127.0.0.1:1", "redis://127.0.0.1:1"]
)
async def test_a_client_can_be_closed_while_it_connects(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Watched, "_check", deaf(2))
    monkeypatch.setattr("service.redis.lane.established", deaf(2))
    monkeypatch.setattr("service.redis.cluster.established", deaf(2))
    redis = Redis.open(url)
    connecting = asyncio.create_task(redis.connect(3600))
    await asyncio.sleep(0.05)
    connecting.cancel()
    async with asyncio.timeout(60):
        await redis.close()
