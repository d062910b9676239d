"""Counts the acknowledged writes that failovers of Redis Cluster lose, by killing primaries under load.

python -m tests.topologies.failovers --times 10          prints the figures of docs/TRACK_RECORD.md
"""

import argparse
import asyncio
from dataclasses import dataclass
from time import monotonic

from aiohttp import ClientSession

from tests.dialects.ainoflow.client import open_project
from tests.redis_cluster import RedisCluster
from tests.running import Running, soon
from tests.servers import binaries
from tests.topologies.load import Load

CALM = 2.0  # seconds of load before the kill
PAUSE = 0.01  # seconds between two requests of a writer: as many as one worker answers


@dataclass(frozen=True, slots=True)
class Failover:
    """The effects of killing one primary. Times are in seconds from the kill."""

    acknowledged: int
    refused: int
    lost: int
    promoted: float
    writable: float


async def fail_over(running: Running, cluster: RedisCluster) -> Failover:
    """Kill a primary under load. Wait until its replica has taken over and a write to each category has succeeded."""
    async with ClientSession() as http:
        load = Load(await open_project(running, http), PAUSE)
        victim = cluster.primaries[0]
        heirs = cluster.replicas(victim)

        async def inherited() -> bool:
            return await asyncio.to_thread(lambda: any(heir.is_primary() for heir in heirs))

        async with load.running():
            await asyncio.sleep(CALM)
            await asyncio.to_thread(victim.kill)
            killed = monotonic()
            await soon(inherited)
            promoted = monotonic()
            await load.everywhere(promoted)
            writable = monotonic()
        return Failover(
            len(load.stored), sum(load.refused.values()), len(await load.lost()), promoted - killed, writable - killed
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--times", type=int, default=5, help="failovers, each of a cluster of its own [%(default)s]")
    times = parser.parse_args().times
    print("acknowledged  refused  lost  promoted after  all written again after")
    for _ in range(times):
        with RedisCluster(binaries()[0][1]) as cluster, Running(redis_url=cluster.url) as running:
            seen = asyncio.run(fail_over(running.wait_ready(), cluster))
        counts = f"{seen.acknowledged:12}  {seen.refused:7}  {seen.lost:4}"
        print(f"{counts}  {seen.promoted:12.2f} s  {seen.writable:21.2f} s", flush=True)


if __name__ == "__main__":
    main()
