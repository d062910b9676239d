"""Servers for these tests: each test runs on every redis-server here, and on asyncio and uvloop alike."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import uvloop

from service.redis import address
from service.redis.lane import Lane
from tests.servers import Certificates, RedisProcess


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    return {"asyncio": asyncio.SelectorEventLoop, "uvloop": uvloop.new_event_loop}


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="session")
def shared(binary: Path) -> Iterator[RedisProcess]:
    """A server that every test of the session uses, over its socket: not to be stopped or reconfigured."""
    with RedisProcess(binary) as process:
        yield process


@pytest.fixture
def redis(shared: RedisProcess) -> RedisProcess:
    """The shared server, empty."""
    shared.command("FLUSHALL")
    return shared


@pytest.fixture
def own(binary: Path) -> Iterator[RedisProcess]:
    """A server that this test may kill, pause and restart; it keeps what it acknowledged."""
    with RedisProcess(binary, "--appendonly", "yes", "--appendfsync", "always") as process:
        yield process


Open = Callable[..., Any]


@pytest.fixture
async def lane_to() -> AsyncIterator[Open]:
    """Makes connected lanes to a URL, and closes them after the test."""
    lanes: list[Lane] = []

    async def open_lane(url: str, *, connect: bool = True, **settings: Any) -> Lane:
        node = address.parse(url)
        lane = Lane(lambda: address.connection(node), name=str(node), **settings)
        lanes.append(lane)
        if connect:
            await lane.connect()
        return lane

    yield open_lane
    for lane in lanes:
        await lane.close()
