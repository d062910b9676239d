"""Two servers: the source and the target of a transfer."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from service.storage.root import Storage
from tests.runners import Connect, runners
from tests.servers import RedisProcess


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
    async with runners() as opening:
        yield opening


@pytest.fixture
async def storage(connect: Connect, source: RedisProcess) -> Storage:
    """The operations on the server that data is to leave."""
    return Storage(await connect(source))
