"""Storage on real servers. Each test runs on every server program of this machine."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from service.storage.feed.follower import Followers
from service.storage.feed.tail import BEGINNING, Position
from service.storage.root import Storage
from service.storage.scripts.runner import Runner
from tests.runners import Connect, runners
from tests.servers import RedisProcess
from tests.storage.keyspace import Keyspace
from tests.storage.streams import Client, Stream


@pytest.fixture(scope="session")
def shared(binary: Path) -> Iterator[RedisProcess]:
    """A server for all tests of the session. They must not stop or reconfigure it."""
    with RedisProcess(binary) as process:
        yield process


@pytest.fixture
def redis(shared: RedisProcess) -> RedisProcess:
    """The shared server without any keys."""
    shared.command("FLUSHALL")
    return shared


@pytest.fixture
def own(binary: Path) -> Iterator[RedisProcess]:
    """A server that one test may stop and reconfigure. It keeps all acknowledged writes."""
    with RedisProcess(binary, "--appendonly", "yes", "--appendfsync", "always") as process:
        yield process


@pytest.fixture
def keyspace(redis: RedisProcess) -> Keyspace:
    return Keyspace(redis)


@pytest.fixture
async def connect() -> AsyncIterator[Connect]:
    """A function that opens a runner like that of a worker. All runners are closed after the test."""
    async with runners() as opening:
        yield opening


@pytest.fixture
async def runner(connect: Connect, redis: RedisProcess) -> Runner:
    return await connect(redis)


@pytest.fixture
def storage(runner: Runner) -> Storage:
    return Storage(runner)


@pytest.fixture
async def follow() -> AsyncIterator[Callable[..., list[Client]]]:
    """A function that makes clients of a stream. All of them are stopped after the test."""
    clients: list[Client] = []

    def following(followers: Followers, stream: Stream, count: int = 1, after: Position = BEGINNING) -> list[Client]:
        made = [Client(followers.follow(stream, after)) for _ in range(count)]
        clients.extend(made)
        return made

    yield following
    for client in clients:
        client.follower.leave()
    await asyncio.gather(*(client.task for client in clients), return_exceptions=True)
    for client in clients:
        client.follower._watcher.stop()
