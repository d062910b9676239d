"""Clusters for these tests, and clients of them. The event loop is the one that the service has (uvloop)."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import uvloop

from service.redis.client import Redis
from tests.redis_cluster import RedisCluster
from tests.running import START_SECONDS, Running
from tests.servers import Certificates, binaries

Open = Callable[..., Any]


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    return {"uvloop": uvloop.new_event_loop}


@pytest.fixture(scope="session")
def newest() -> Path:
    """The server program for tests that do not depend on the program: the first one of this machine."""
    return binaries()[0][1]


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="session")
def shared(binary: Path) -> Iterator[RedisCluster]:
    """A cluster for all tests of the session. They may move slots, but must not stop nodes."""
    with RedisCluster(binary) as started:
        yield started


@pytest.fixture
def cluster(shared: RedisCluster) -> RedisCluster:
    """The shared cluster without any keys."""
    for node in shared.primaries:
        node.command("FLUSHALL")
    return shared


@pytest.fixture(scope="module")
def own_cluster(newest: Path) -> Iterator[RedisCluster]:
    """A cluster for the tests of one file, which may stop its nodes."""
    with RedisCluster(newest) as started:
        yield started


@pytest.fixture(scope="module")
def own_service(own_cluster: RedisCluster) -> Iterator[Running]:
    """A service on the cluster of the file."""
    with Running(redis_url=own_cluster.url) as started:
        yield started.wait_ready()


@pytest.fixture
async def client_of() -> AsyncIterator[Open]:
    """A function that opens a connected client. All clients are closed after the test."""
    opened: list[Redis] = []

    async def connect(url: str, **settings: Any) -> Redis:
        opened.append(Redis.open(url, **settings))
        await opened[-1].connect(START_SECONDS)
        return opened[-1]

    yield connect
    for redis in opened:
        await redis.close()
