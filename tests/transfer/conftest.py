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
    """An empty server, from which data is exported."""
    both[0].command("FLUSHALL")
    return both[0]


@pytest.fixture
def target(both: tuple[RedisProcess, RedisProcess]) -> RedisProcess:
    """An empty server, into which data is imported."""
    both[1].command("FLUSHALL")
    return both[1]


@pytest.fixture
async def connect() -> AsyncIterator[Connect]:
    """A function that opens runners like those of workers. All are closed after the test."""
    async with runners() as opening:
        yield opening


@pytest.fixture
async def storage(connect: Connect, source: RedisProcess) -> Storage:
    """The operations on the source."""
    return Storage(await connect(source))
