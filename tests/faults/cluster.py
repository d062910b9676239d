"""A stand whose Redis is a cluster: primaries are killed and replaced, and slots move."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from time import monotonic
from typing import Any

from service.redis.topology import slot
from tests.faults.stand import Service
from tests.redis_cluster import NODE_TIMEOUT, ClusterNode, RedisCluster
from tests.running import Running, eventually
from tests.servers import binaries

MOVED = 40  # slots that a reshard moves, at most
# Seconds after the kill of a primary: all its replies have reached the workers, and its replica has not taken over yet.
ANSWERED = 0.9 * NODE_TIMEOUT


class ClusterStand(Service):
    """A stand with a cluster. Each fault returns only when the cluster is complete again."""

    topology = "cluster"

    def __init__(self, cluster: RedisCluster, service: Running) -> None:
        super().__init__(service, cluster.url)
        self._cluster = cluster

    async def fail_over(self, random: Random) -> None:
        """Kill a primary, wait until its replica has taken over, and start it again as a replica."""
        victim = await asyncio.to_thread(self._primary, random)
        heirs = await asyncio.to_thread(self._cluster.replicas, victim)
        await asyncio.to_thread(victim.kill)
        self.failovers.append(monotonic() + ANSWERED)
        await asyncio.to_thread(eventually, lambda: any(heir.is_primary() for heir in heirs))
        assert monotonic() > self.failovers[-1]
        await asyncio.to_thread(victim.start)
        await asyncio.to_thread(self._cluster.settle)

    async def reshard(self, random: Random) -> None:
        """Move slots that have keys to another primary."""
        source = await asyncio.to_thread(self._primary, random)
        target = random.choice(await asyncio.to_thread(self._others, source))
        await asyncio.to_thread(self._move, source, target)

    async def flush_scripts(self) -> None:
        for node in await asyncio.to_thread(lambda: self._cluster.primaries):
            await asyncio.to_thread(node.command, "FUNCTION", "FLUSH")

    def _primary(self, random: Random) -> ClusterNode:
        """Return a primary, mostly the one with the most keys: the keys of the clients are in few slots."""
        primaries = sorted(self._cluster.primaries, key=lambda node: int(node.command("DBSIZE")))
        return primaries[-1] if random.random() < 0.7 else random.choice(primaries)

    def _others(self, node: ClusterNode) -> list[ClusterNode]:
        return [other for other in self._cluster.primaries if other is not node]

    def _move(self, source: ClusterNode, target: ClusterNode) -> None:
        used = sorted({slot(key) for key in source.command("KEYS", "*")})[:MOVED]
        self._cluster.begin_move(source, target, *used)
        self._cluster.end_move(source, target, *used)
        self._cluster.agree()


@asynccontextmanager
async def clustered(*, binary: Path | None = None, appendfsync: str = "everysec") -> AsyncIterator[ClusterStand]:
    """Yield a stand with three primaries, their replicas, and a service with two workers."""
    with RedisCluster(binary or binaries()[0][1], "--appendfsync", appendfsync) as cluster:
        given: dict[str, Any] = {"workers": 2, "request_timeout": 1, "redis_url": cluster.url}
        with Running(**given) as service:
            await asyncio.to_thread(service.wait_ready)
            yield ClusterStand(cluster, service)
