"""Tests a service whose primary is watched by sentinels. Each of the last two tests kills a primary."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from time import monotonic

import pytest
from aiohttp import ClientSession
from redis.exceptions import ConnectionError as Disconnected

from service.redis.client import Redis
from service.redis.errors import NotSent
from tests.dialects.ainoflow.client import Client, open_project
from tests.redis_sentinel import SentinelSet
from tests.running import Running, eventually, soon
from tests.servers import RedisProcess
from tests.topologies.conftest import Open
from tests.topologies.load import Load

RECOVERY = 30.0  # seconds: long enough that other work on the machine does not fail a test


@pytest.fixture(scope="module")
def watched(newest: Path) -> Iterator[SentinelSet]:
    with SentinelSet(newest) as started:
        yield started


@pytest.fixture
async def project(watched: SentinelSet) -> AsyncIterator[Client]:
    with Running(redis_url=watched.url, forked=False) as running:
        async with ClientSession() as http:
            yield await open_project(await asyncio.to_thread(running.wait_ready), http)


async def test_the_primary_is_found(watched: SentinelSet, client_of: Open) -> None:
    redis = await client_of(watched.url)
    assert await redis.execute("SET", "k", "v", key="k", write=True) == b"OK"
    assert watched.primary.command("GET", "k") == b"v"
    assert redis.send == redis.lanes[0].send


async def test_an_unknown_service_of_the_sentinels_is_refused_with_a_message(watched: SentinelSet) -> None:
    redis = Redis.open(watched.url.replace("/main/", "/other/"))
    with pytest.raises(NotSent, match="no sentinel names a primary for 'other'"):
        await redis.connect(0.5)
    await redis.close()


async def test_a_primary_that_hangs_is_disconnected(watched: SentinelSet, client_of: Open) -> None:
    redis = await client_of(watched.url, timeout=30.0)
    hanging = watched.primary
    hanging.pause()
    try:
        async with asyncio.timeout(20):
            assert await redis.execute("GET", "none", key="none", write=False) is None
            assert await redis.execute("INCR", "n", key="n", write=True) == 1
    finally:
        hanging.resume()
    assert watched.named() != hanging.port


def _follows(server: RedisProcess, primary: RedisProcess, offset: int) -> bool:
    """Return True if a replica of this primary has everything up to an offset of its replication stream."""
    role = server.command("ROLE")
    return bool(role[0] == b"slave" and role[2] == primary.port and role[3] == b"connected" and role[4] >= offset)


async def test_a_killed_primary_is_followed_by_the_next(watched: SentinelSet, project: Client) -> None:
    async with Load(project).running() as load:
        await load.everywhere(monotonic())
        victim = watched.primary
        followers = [each for each in watched.servers if each is not victim and each.alive]

        def replicated() -> bool:
            try:
                offset = victim.command("ROLE")[1]
                return all(_follows(each, victim, offset) for each in followers)
            except Disconnected:
                return False  # sentinels disconnect the clients of a server whose role they change

        # The replica must have the scripts and the project's key, also if an earlier failover has just ended.
        await asyncio.to_thread(eventually, replicated)
        await asyncio.to_thread(victim.kill)

        async def announced() -> bool:
            return await asyncio.to_thread(lambda: watched.named() not in (None, victim.port))

        await soon(announced)
        async with asyncio.timeout(RECOVERY):
            await load.everywhere(monotonic())
    assert {status for status, _ in load.refused} <= {503}
    assert load.unhelpful == 0
