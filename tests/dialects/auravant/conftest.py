"""A world for each test, with names that no other test uses; and empty servers to which documents are applied."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from aiohttp import ClientSession

from tests.dialects.auravant.applying import Applying
from tests.dialects.auravant.client import World
from tests.running import Running
from tests.servers import RedisProcess

USERS = ["u1", "u2", "admin", "boss"]


@pytest.fixture
def world(service: Running, http: ClientSession) -> World:
    return World(service, http)


@pytest.fixture(scope="module")
def server(binary: Path) -> Iterator[RedisProcess]:
    with RedisProcess(binary) as process:
        yield process


@pytest.fixture
async def access(server: RedisProcess) -> AsyncIterator[Applying]:
    """A Redis with some users and nothing else."""
    server.command("FLUSHALL")
    applying = Applying(server)
    await applying.redis.connect()
    await applying.apply(users=USERS)
    yield applying
    await applying.redis.close()
