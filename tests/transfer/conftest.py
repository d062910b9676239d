"""Two servers: one that data leaves and one that it enters."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from service.redis.client import Redis
from service.storage.root import Storage
from service.storage.scripts.runner import Runner
from tests.servers import RedisProcess

Connect = Callable[[RedisProcess], Awaitable[Runner]]


@pytest.fixture(scope="session")
def both(binary: Path) -> Iterator[tuple[RedisProcess, RedisProcess]]:
    with RedisProcess(binary) as first, RedisProcess(binary) as second:
        yield first, second


@pytest.fixture
def source(both: tuple[RedisProcess, RedisProcess]) -> RedisProcess:
    """An empty server that data is to leave."""
    both[0].command("FLUSHALL")
    return both[0]


@pytest.fixture
def target(both: tuple[RedisProcess, RedisProcess]) -> RedisProcess:
    """An empty server that data is to enter."""
    both[1].command("FLUSHALL")
    return both[1]


@pytest.fixture
async def connect() -> AsyncIterator[Connect]:
    """Makes runners, as workers have them, and closes them after the test."""
    opened: list[Redis] = []

    async def runner_to(process: Any) -> Runner:
        made = Runner.open(process.url, bulk=True)
        opened.append(made.redis)
        await made.redis.connect()
        return made

    yield runner_to
    for redis in opened:
        await redis.close()


@pytest.fixture
async def storage(connect: Connect, source: RedisProcess) -> Storage:
    """The operations on the server that data is to leave."""
    return Storage(await connect(source))
