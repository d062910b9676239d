"""Tests feeds on a cluster while the slots of their categories move."""

import asyncio

from aiohttp import ClientSession

from service.redis.topology import slot
from service.storage import keys
from tests.dialects.ainoflow.client import open_project
from tests.dialects.ainoflow.events import feed, follow, keep_journal
from tests.dialects.ainoflow.following import CATEGORY, followed
from tests.redis_cluster import RedisCluster
from tests.running import Running


def move(cluster: RedisCluster, project: str) -> None:
    """Move the slot of the followed category to another node."""
    number = slot(keys.collection("ainoflow", project, CATEGORY, "cusn").tag)
    source = next(node for node in cluster.primaries if number in cluster.slots(node))
    target = next(node for node in cluster.primaries if node is not source)
    cluster.begin_move(source, target, number)
    while cluster.move_keys(source, target, number):
        pass
    cluster.end_move(source, target, number)
    cluster.agree()  # before the slot moves again


async def test_followers_miss_nothing_while_the_slot_moves(
    own_cluster: RedisCluster, own_service: Running, http: ClientSession
) -> None:
    project = await open_project(own_service, http)
    await keep_journal(project, entries=1_000_000)

    async def moves() -> None:
        for _ in range(3):
            await asyncio.sleep(0.5)
            await asyncio.to_thread(move, own_cluster, project.project)
        await asyncio.sleep(0.5)

    print(await followed(project, moves(), writers=8, followers=10))


async def test_a_slot_that_moves_without_a_key_loses_no_follower(
    own_cluster: RedisCluster, own_service: Running, http: ClientSession
) -> None:
    project = await open_project(own_service, http)
    await keep_journal(project)
    stream = await follow(project, CATEGORY, since="now")
    poll = asyncio.create_task(project.ask("GET", feed(CATEGORY, since="now", wait=60)))
    await asyncio.sleep(0.5)
    await asyncio.to_thread(move, own_cluster, project.project)
    await project.put(CATEGORY, "k")
    assert len(await stream.take(1)) == 1
    async with asyncio.timeout(20):
        assert len((await poll).json["changes"]) == 1
    stream.response.close()
