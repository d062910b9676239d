"""The faults. Each is a coroutine that causes a fault and ends it again. A new one is added to `FAULTS`.

Faults of one group are injected one after the other, those of different groups at the same time. Filling the disk and
killing Redis are in one group: with `appendfsync everysec`, Redis answers the writes of one turn of its event loop
before it knows that the disk is full (docs/GUARANTEES.md). Workers of a cluster are not paused: `Service.failovers`
relies on a worker reading all replies of a primary before its replica takes over.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from random import Random
from typing import Any

from tests.faults.cluster import ClusterStand
from tests.faults.stand import Service, Stand
from tests.running import soon

Fault = Callable[[Any, Random], Awaitable[None]]  # the stand is of the topology under which the fault is listed


async def kill_redis(stand: Stand, random: Random) -> None:
    await stand.kill_redis(random.choice([0, 0, 0.3, 1.2]))


async def pause_redis(stand: Stand, random: Random) -> None:
    await stand.pause_redis(random.choice([0.1, 0.5, 1.5]))


async def kill_worker(stand: Service, random: Random) -> None:
    await stand.kill_worker(random)


async def pause_worker(stand: Service, random: Random) -> None:
    await stand.pause_worker(random, random.choice([0.1, 0.5, 1.5]))


async def reset(stand: Stand, random: Random) -> None:
    """Break all connections to Redis, and refuse new ones for a while."""
    stand.proxy.refuses = True
    stand.proxy.reset()
    await asyncio.sleep(random.choice([0, 0.1, 0.5]))
    stand.proxy.refuses = False


async def delay(stand: Stand, random: Random) -> None:
    stand.proxy.delay = random.choice([0.005, 0.05, 0.3])
    await asyncio.sleep(1)
    stand.proxy.delay = 0.0


async def half_reply(stand: Stand, random: Random) -> None:
    stand.proxy.cut_reply(random)
    await asyncio.sleep(0.1)


async def half_request(stand: Stand, random: Random) -> None:
    stand.proxy.cut_request(random)
    await asyncio.sleep(0.1)


async def flush_scripts(stand: Stand | ClusterStand, random: Random) -> None:
    await stand.flush_scripts()


async def kill_clients(stand: Stand, random: Random) -> None:
    """Make Redis close all connections, so that it forgets what it tracked for them."""
    await stand.command("CLIENT", "KILL", "TYPE", "normal")


async def track_few(stand: Stand, random: Random) -> None:
    """Limit Redis's tracking table to three keys, so that it invalidates nearly all tracked keys."""
    await stand.configure("tracking-table-max-keys", "3")
    await asyncio.sleep(random.choice([0.1, 0.5]))
    await stand.configure("tracking-table-max-keys", "1000000")


async def lag(stand: Stand, random: Random) -> None:
    """Delay Redis's messages about changed keys behind its other replies."""
    stand.proxy.lag = random.choice([0.005, 0.02, 0.3])
    await asyncio.sleep(1)
    stand.proxy.lag = 0.0


async def fill_memory(stand: Stand, random: Random) -> None:
    """Let all writes fail because memory is full. First wait until the functions are loaded, which needs memory."""
    await soon(lambda: stand.command("FUNCTION", "LIST"))
    await stand.configure("maxmemory", "1")
    await asyncio.sleep(random.choice([0.1, 0.5]))
    await stand.configure("maxmemory", "0")


async def fill_disk(stand: Stand, random: Random) -> None:
    stand.fill_disk(random.randrange(100_000))
    await asyncio.sleep(random.choice([0.5, 1.5]))
    await stand.free_disk()


async def fail_over(stand: ClusterStand, random: Random) -> None:
    await stand.fail_over(random)


async def reshard(stand: ClusterStand, random: Random) -> None:
    await stand.reshard(random)


FAULTS: dict[str, dict[str, tuple[Fault, ...]]] = {
    "single": {
        "redis": (kill_redis, pause_redis, flush_scripts, fill_memory, fill_disk, kill_clients, track_few),
        "workers": (kill_worker, pause_worker),
        "network": (reset, delay, lag, half_reply, half_request),
    },
    "cluster": {"nodes": (fail_over, reshard, flush_scripts), "workers": (kill_worker,)},
}


def counts_of(injected: Counter[str]) -> str:
    """Return the injected faults with their counts, for a message."""
    return ", ".join(f"{name} {number}" for name, number in sorted(injected.items())) or "none"


def names(topology: str) -> tuple[str, ...]:
    """Return the names of all faults of a topology."""
    return tuple(fault.__name__ for group in FAULTS[topology].values() for fault in group)
