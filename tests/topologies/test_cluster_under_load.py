"""Tests what the clients of a service see while its cluster changes under load.

The tests of this file use one cluster and one service, in this order. The last ones stop nodes for good.
"""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from time import monotonic

import pytest
from aiohttp import ClientSession

from service.redis.client import Redis
from service.redis.errors import NotSent
from service.redis.topology import slot
from service.storage import keys
from service.storage.access.directory import digest
from tests.dialects.ainoflow.client import Client, at, open_project
from tests.redis_cluster import ClusterNode, RedisCluster
from tests.running import Running, eventually, polystow, soon
from tests.topologies.load import WRITERS, Load

RESHARDED = 3000  # slots that move in one reshard
DEADLINE = 5.0  # seconds: the default of POLYSTOW_REQUEST_TIMEOUT
RECOVERY = 30.0  # seconds: long enough that other work on the machine does not fail a test


@pytest.fixture
async def project(own_service: Running) -> AsyncIterator[Client]:
    async with ClientSession() as http:
        yield await open_project(own_service, http)


async def test_three_moves_of_slots_fail_no_request_and_lose_no_write(
    own_cluster: RedisCluster, project: Client
) -> None:
    first, second, third = own_cluster.primaries
    async with Load(project).running() as load:
        for source, target in ((first, second), (second, third), (third, first)):
            before = len(load.stored)
            await asyncio.to_thread(own_cluster.reshard, source, target, RESHARDED)
            assert len(load.stored) > before
    assert load.refused == {}
    assert await load.lost() == []


async def test_functions_lost_by_all_nodes_are_loaded_again(own_cluster: RedisCluster, project: Client) -> None:
    async with Load(project).running() as load:
        for _ in range(3):
            for node in own_cluster.primaries:
                node.command("FUNCTION", "FLUSH")
            await load.everywhere(monotonic())
    assert load.refused == {}


async def test_a_new_primary_gets_the_functions(own_cluster: RedisCluster, newest: Path, project: Client) -> None:
    """A new node joins without scripts, gets slots, gives them back and leaves."""
    first = own_cluster.primaries[0]
    with ClusterNode(newest, "--cluster-allow-replica-migration", "no") as joining:
        joining.command("CLUSTER", "MEET", *first.place)
        await asyncio.to_thread(eventually, lambda: joining.knows() == len(own_cluster.nodes) + 1)
        await asyncio.to_thread(eventually, lambda: b"cluster_state:ok" in joining.command("CLUSTER", "INFO"))
        assert joining.command("FUNCTION", "LIST") == []
        async with Load(project).running() as load:
            await asyncio.to_thread(own_cluster.reshard, first, joining, RESHARDED)
            await load.everywhere(monotonic())
            assert len(joining.command("FUNCTION", "LIST")) == 1
            await asyncio.to_thread(own_cluster.reshard, joining, first, RESHARDED)
            await load.everywhere(monotonic())
        await asyncio.to_thread(own_cluster.agree)
        for node in own_cluster.nodes:
            node.command("CLUSTER", "FORGET", joining.id)
    assert load.refused == {}
    assert await load.lost() == []


async def test_fsck_finds_nothing(own_cluster: RedisCluster, project: Client) -> None:
    await project.put("d", "k")
    checked = await asyncio.to_thread(polystow, "fsck", redis_url=own_cluster.url)
    assert (checked.returncode, checked.stdout) == (0, "0 faults found\n"), checked.stderr


async def test_after_the_kill_of_a_primary_its_replica_serves(
    own_cluster: RedisCluster, own_service: Running, project: Client
) -> None:
    """Requests for its slots wait, or get 503 within the deadline. Other requests are answered."""
    victim = own_cluster.primaries[0]
    heirs = own_cluster.replicas(victim)
    async with Load(project).running() as load, ClientSession() as http:
        await load.everywhere(monotonic())
        await asyncio.to_thread(victim.kill)

        async def inherited() -> bool:
            async with http.get(own_service.ops_url + "/readyz") as ready:
                assert ready.status == 200, await ready.text()
            return await asyncio.to_thread(lambda: any(heir.is_primary() for heir in heirs))

        await soon(inherited)
        async with asyncio.timeout(RECOVERY):
            await load.everywhere(monotonic())
    assert {status for status, _ in load.refused} <= {503}
    assert load.unhelpful == 0
    assert load.longest < DEADLINE + 5
    # Replication is asynchronous: the last writes that the primary acknowledged may not have reached its replica.
    assert len(await load.lost()) <= WRITERS


async def test_without_a_shard_its_slots_are_refused_and_the_others_are_served(
    own_cluster: RedisCluster, own_service: Running, http: ClientSession
) -> None:
    """One shard loses both of its nodes. Later, a slot of another shard has no node either."""
    lost, sound, *_ = own_cluster.primaries
    gone, served = set(own_cluster.slots(lost)), set(own_cluster.slots(sound))
    project = await open_project(own_service, http)
    while needed(project) & gone:  # the declarations of the caller must not be in the lost slots
        project = await open_project(own_service, http)
    slots = {name: slot(f"{{ainoflow:{project.project}:{name}}}") for name in (f"c{n}" for n in range(60))}
    away = next(name for name, number in slots.items() if number in gone)
    there = next(name for name, number in slots.items() if number in served)
    for name in (away, there):
        await project.put(name, "k")
    for node in own_cluster.nodes:
        if node is lost or node in own_cluster.replicas(lost):
            node.kill()
    refused, *answered = await asyncio.gather(
        project.ask("PUT", at(away, "k"), b"{}"), *(project.put(there, f"k{n}") for n in range(20))
    )
    assert "Retry-After" in refused.headers
    refused.refused(503)
    assert len(answered) == 20
    async with http.get(own_service.ops_url + "/readyz") as ready:
        assert ready.status == 200
    sound.command("CLUSTER", "DELSLOTS", slots[there])
    redis, key = Redis.open(own_cluster.url, timeout=0.5), f"{{ainoflow:{project.project}:{there}}}"
    await redis.connect()
    with pytest.raises(NotSent):
        await redis.execute("INCR", key, key=key, write=True)
    await redis.close()


def needed(project: Client) -> set[int]:
    """Return the slots with the declarations of a caller, which each of its requests may need."""
    entries = (("token", digest(project.key)), ("project", project.project))
    return {slot(keys.entry("ainoflow", kind, id)) for kind, id in entries}
