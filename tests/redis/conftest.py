"""Servers for these tests. Each test runs on every server program of this machine, with asyncio and with uvloop."""

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
    """A server for all tests of the session, which use its socket. They must not stop or reconfigure it."""
    with RedisProcess(binary) as process:
        yield process


@pytest.fixture
def redis(shared: RedisProcess) -> RedisProcess:
    """The shared server without any keys."""
    shared.command("FLUSHALL")
    return shared


@pytest.fixture
def own(binary: Path) -> Iterator[RedisProcess]:
    """A server that one test may kill, pause and restart. It keeps all acknowledged writes."""
    with RedisProcess(binary, "--appendonly", "yes", "--appendfsync", "always") as process:
        yield process


Open = Callable[..., Any]


@pytest.fixture
async def lane_to() -> AsyncIterator[Open]:
    """A function that opens a connected lane to a URL. All lanes are closed after the test."""
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
