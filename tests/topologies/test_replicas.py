"""Tests reads from replicas: which node answers, what it has, and that no read waits for a missing replica."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from service.redis.client import Redis
from service.redis.topology import slot
from service.storage.errors import NotFound
from service.storage.root import Storage
from service.storage.scripts.runner import Runner
from tests.redis_cluster import RedisCluster
from tests.redis_sentinel import SentinelSet
from tests.running import soon
from tests.servers import RedisProcess
from tests.storage.keyspace import COLLECTION
from tests.topologies.conftest import Open

READS = 50


@pytest.fixture(scope="module")
def watched(newest: Path) -> Iterator[SentinelSet]:
    with SentinelSet(newest) as started:
        yield started


async def opened(client_of: Open, url: str, replicas: int) -> Redis:
    """Return a client that reads from replicas, after it has connected to them."""
    redis: Redis = await client_of(url, read_replicas=True)

    async def connected() -> bool:
        lanes = redis._nodes._replicas.fleet.lanes  # type: ignore[union-attr]
        return len(lanes) == replicas and all(lane.connected for lane in lanes)

    await soon(connected)
    return redis


def gets(server: RedisProcess) -> int:
    """Return the number of GETs that a server has answered."""
    told = server.command("INFO", "commandstats").get("cmdstat_get")
    return int(told["calls"]) if told else 0


async def has_keys(*servers: RedisProcess) -> bool:
    """Return True if a replica has everything that was written to its primary."""
    return all(server.command("DBSIZE") for server in servers)


async def read(redis: Redis, key: str) -> list[Any]:
    return list(await asyncio.gather(*(redis.execute("GET", key, key=key, write=None) for _ in range(READS))))


async def test_plain_reads_of_a_cluster_go_to_replicas_and_all_other_commands_to_primaries(
    cluster: RedisCluster, client_of: Open
) -> None:
    redis = await opened(client_of, cluster.url, 3)
    await redis.execute("SET", "k", "v", key="k", write=True)
    primary = next(node for node in cluster.primaries if slot("k") in cluster.slots(node))
    (replica,) = cluster.replicas(primary)
    await soon(lambda: has_keys(replica))
    before = gets(primary), gets(replica)
    assert await read(redis, "k") == [b"v"] * READS
    assert (gets(primary) - before[0], gets(replica) - before[1]) == (0, READS)
    assert await redis.execute("GET", "k", key="k", write=False) == b"v"
    assert gets(primary) == before[0] + 1


async def test_without_the_setting_primaries_answer_all_reads(cluster: RedisCluster, client_of: Open) -> None:
    redis = await client_of(cluster.url)
    before = sum(map(gets, cluster.primaries))
    await read(redis, "k")
    assert sum(map(gets, cluster.primaries)) == before + READS


async def test_a_replica_that_hangs_delays_a_read_only_briefly(cluster: RedisCluster, client_of: Open) -> None:
    redis = await opened(client_of, cluster.url, 3)
    await redis.execute("SET", "k", "v", key="k", write=True)
    primary = next(node for node in cluster.primaries if slot("k") in cluster.slots(node))
    (replica,) = cluster.replicas(primary)
    replica.pause()
    try:
        assert await read(redis, "k") == [b"v"] * READS
    finally:
        replica.resume()
        await asyncio.to_thread(cluster.settle)


async def test_reads_for_the_decision_about_a_write_go_to_the_primary(cluster: RedisCluster, client_of: Open) -> None:
    runner = Runner()
    runner.redis = await opened(client_of, cluster.url, 3)
    storage = Storage(runner)
    primary = next(node for node in cluster.primaries if slot(COLLECTION.record("a")) in cluster.slots(node))
    (replica,) = cluster.replicas(primary)
    before = gets(primary), gets(replica)
    assert await storage.records.find_current(COLLECTION, "a") is None
    with pytest.raises(NotFound):
        await storage.records.get(COLLECTION, "a")
    assert (gets(primary), gets(replica)) == (before[0] + 1, before[1] + 1)


async def test_plain_reads_behind_sentinels_go_to_replicas(watched: SentinelSet, client_of: Open) -> None:
    redis = await opened(client_of, watched.url, 2)
    await redis.execute("SET", "k", "v", key="k", write=True)
    others = [server for server in watched.servers if server is not watched.primary]
    await soon(lambda: has_keys(*others))
    before = [gets(server) for server in others]
    assert await read(redis, "k") == [b"v"] * READS
    assert sum(gets(server) - b for server, b in zip(others, before, strict=True)) == READS
    others[0].kill()
    assert await read(redis, "k") == [b"v"] * READS
