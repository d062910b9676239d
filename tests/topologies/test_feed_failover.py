"""Tests feeds while their primary is killed, on a cluster and with sentinels."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest
from aiohttp import ClientSession
from redis.exceptions import ConnectionError as Disconnected

from service.redis.topology import slot
from service.storage import keys
from tests.dialects.ainoflow.client import Client, at, open_project
from tests.dialects.ainoflow.events import EVENTS, close_all, feed, follow, keep_journal, listed
from tests.dialects.ainoflow.following import CATEGORY, followed
from tests.redis_cluster import RedisCluster
from tests.redis_sentinel import SentinelSet
from tests.running import Running, eventually, soon
from tests.servers import RedisProcess


@dataclass
class Topology:
    """A cluster, or servers with sentinels, in the same terms."""

    url: str
    primary: Callable[[str], RedisProcess]  # returns the primary of a key
    replicas: Callable[[RedisProcess], list[RedisProcess]]

    async def kill(self, victim: RedisProcess, key: str) -> None:
        """Kill a primary, and wait until another server has taken over."""
        await asyncio.to_thread(victim.kill)

        async def inherited() -> bool:
            return await asyncio.to_thread(lambda: self.primary(key) is not victim)

        await soon(inherited)

    async def recover(self, victim: RedisProcess) -> None:
        """Start a server that was killed, and wait until it replicates."""
        await asyncio.to_thread(victim.start)
        await asyncio.to_thread(eventually, partial(_replicates, victim))


def _replicates(server: RedisProcess) -> bool:
    try:
        role = server.command("ROLE")
    except Disconnected:
        return False  # sentinels disconnect the clients of a server whose role they change
    return bool(role[0] == b"slave" and role[3] == b"connected")


@contextmanager
def clustered(newest: Path) -> Iterator[Topology]:
    with RedisCluster(newest) as cluster:

        def primary(key: str) -> RedisProcess:
            found: RedisProcess = eventually(
                lambda: next((node for node in cluster.primaries if slot(key) in cluster.slots(node)), None)
            )
            return found

        def replicas(primary: RedisProcess) -> list[RedisProcess]:
            return [*cluster.replicas(next(node for node in cluster.nodes if node is primary))]

        yield Topology(cluster.url, primary, replicas)


@contextmanager
def watched(newest: Path) -> Iterator[Topology]:
    with SentinelSet(newest) as servers:

        def replicas(primary: RedisProcess) -> list[RedisProcess]:
            return [server for server in servers.servers if server is not primary]

        yield Topology(servers.url, lambda key: servers.primary, replicas)


@pytest.fixture(scope="module", params=[clustered, watched], ids=["cluster", "sentinels"])
def topology(request: pytest.FixtureRequest, newest: Path) -> Iterator[Topology]:
    with request.param(newest) as started:
        yield started


@pytest.fixture
async def project(topology: Topology) -> AsyncIterator[Client]:
    with Running(redis_url=topology.url) as running:
        async with ClientSession() as http:
            found = await open_project(await asyncio.to_thread(running.wait_ready), http)
            await keep_journal(found, entries=1_000_000)
            yield found
            close_all()


def journal_of(project: Client) -> str:
    return keys.collection("ainoflow", project.project, CATEGORY, "cusn").journal


async def test_followers_miss_nothing_that_survives_a_failover(topology: Topology, project: Client) -> None:
    key = journal_of(project)

    async def failover() -> None:
        await asyncio.sleep(1)
        victim = await asyncio.to_thread(topology.primary, key)
        await topology.kill(victim, key)
        await asyncio.sleep(1)
        await topology.recover(victim)

    print(await followed(project, failover(), writers=8, followers=10, losing=True))


async def test_followers_of_a_change_that_a_failover_lost_are_refused(topology: Topology, project: Client) -> None:
    key = journal_of(project)

    async def serving() -> bool:
        return (await project.ask("GET", feed(CATEGORY))).status == 200

    for n in range(3):
        await project.put(CATEGORY, "k", b"[%d]" % n)
    primary = await asyncio.to_thread(topology.primary, key)
    replicas = await asyncio.to_thread(topology.replicas, primary)
    assert await asyncio.to_thread(primary.command, "WAIT", len(replicas), 20_000) == len(replicas)
    await soon(serving)  # on a busy machine, sentinels may have taken a primary for dead
    kept = (await listed(project, CATEGORY))[-1]["cursor"]
    early, late = await follow(project, CATEGORY), await follow(project, CATEGORY, since="now")
    await early.take(3)

    for replica in replicas:
        replica.pause()
    await asyncio.to_thread(primary.command, "CLIENT", "KILL", "TYPE", "replica")
    await project.put(CATEGORY, "k", b"[3]")
    lost = (await early.take(1))[0].cursor
    assert [event.cursor for event in await late.take(1)] == [lost]
    poll = asyncio.create_task(project.ask("GET", feed(CATEGORY, since=lost, wait=60)))
    await asyncio.to_thread(primary.kill)
    for replica in replicas:
        replica.resume()
    await topology.kill(primary, key)

    async def written() -> bool:
        return (await project.ask("PUT", at(CATEGORY, "k"), b"[4]")).status == 200

    assert [event.name for stream in (early, late) for event in await stream.rest() if event.name == "change"] == []
    assert (await poll).status in (410, 503)

    async def refused() -> bool:
        return (await project.ask("GET", feed(CATEGORY, since=lost))).status == 410

    await soon(refused)
    assert (await project.ask("GET", feed(CATEGORY), Accept=EVENTS, Last_Event_ID=lost)).status == 410
    await soon(written)
    assert (await project.ask("GET", feed(CATEGORY, since=lost))).json["error"]["oldest"] == "0-0"
    survived = (await project.ask("GET", feed(CATEGORY, since=kept))).json["changes"]
    assert [(change["version"], change["value"]) for change in survived] == [(4, [4])]
    assert [event.data for event in await (await follow(project, CATEGORY, kept)).take(1)] == survived
    await topology.recover(primary)
