"""Clusters and sentinels for these tests, and clients of them; all of it on the event loop that the service has."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import uvloop

from service.redis.client import Redis
from tests.redis_cluster import RedisCluster
from tests.servers import Certificates, binaries

Open = Callable[..., Any]


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    return {"uvloop": uvloop.new_event_loop}


@pytest.fixture(scope="session")
def newest() -> Path:
    """The server that a user would have; where the rules are the same on all of them, one is enough."""
    return binaries()[0][1]


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="session")
def shared(binary: Path) -> Iterator[RedisCluster]:
    """A cluster that every test of the session uses: its slots may move, its nodes stay alive."""
    with RedisCluster(binary) as started:
        yield started


@pytest.fixture
def cluster(shared: RedisCluster) -> RedisCluster:
    """The shared cluster, empty."""
    for node in shared.primaries:
        node.command("FLUSHALL")
    return shared


@pytest.fixture
async def client_of() -> AsyncIterator[Open]:
    """Makes connected clients, and closes them after the test."""
    opened: list[Redis] = []

    async def connect(url: str, **settings: Any) -> Redis:
        opened.append(Redis.open(url, **settings))
        await opened[-1].connect()
        return opened[-1]

    yield connect
    for redis in opened:
        await redis.close()
