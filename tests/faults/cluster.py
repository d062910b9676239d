"""A stand whose Redis is a cluster: primaries that die and are replaced, slots that move, under the same clients."""

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

MOVED = 40  # slots of a reshard, at the most
ANSWERED = 0.9 * NODE_TIMEOUT  # seconds after a kill: no worker has an answer of the dead one left; its heir gave none


class ClusterStand(Service):
    """A stand whose faults return when the cluster is whole again."""

    topology = "cluster"

    def __init__(self, cluster: RedisCluster, service: Running) -> None:
        super().__init__(service, cluster.url)
        self._cluster = cluster

    async def fail_over(self, random: Random) -> None:
        """SIGKILL a primary; when its replica has taken over, it is started and follows that."""
        victim = await asyncio.to_thread(self._primary, random)
        heirs = await asyncio.to_thread(self._cluster.replicas, victim)
        await asyncio.to_thread(victim.kill)
        self.failovers.append(monotonic() + ANSWERED)
        await asyncio.to_thread(eventually, lambda: any(heir.is_primary() for heir in heirs))
        assert monotonic() > self.failovers[-1]
        await asyncio.to_thread(victim.start)
        await asyncio.to_thread(self._cluster.settle)

    async def reshard(self, random: Random) -> None:
        """Slots that have keys go to another primary, with their keys."""
        source = await asyncio.to_thread(self._primary, random)
        target = random.choice(await asyncio.to_thread(self._others, source))
        await asyncio.to_thread(self._move, source, target)

    async def flush_scripts(self) -> None:
        for node in await asyncio.to_thread(lambda: self._cluster.primaries):
            await asyncio.to_thread(node.command, "FUNCTION", "FLUSH")

    def _primary(self, random: Random) -> ClusterNode:
        """Mostly the one that has the most keys: what clients call for lies in few slots."""
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
    """A stand of three primaries and their replicas, and a service of two workers."""
    with RedisCluster(binary or binaries()[0][1], "--appendfsync", appendfsync) as cluster:
        given: dict[str, Any] = {"workers": 2, "request_timeout": 1, "redis_url": cluster.url}
        with Running(**given) as service:
            await asyncio.to_thread(service.wait_ready)
            yield ClusterStand(cluster, service)
