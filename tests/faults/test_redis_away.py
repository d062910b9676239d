"""Tests a service whose Redis has ended: it answers 503 within the deadline in bounded memory, and recovers soon."""

import asyncio
from collections import Counter
from time import monotonic

from aiohttp import ClientSession

from tests.dialects.ainoflow.client import at, open_project
from tests.faults.stand import standing
from tests.memory import MEBIBYTE, resident
from tests.raw_http import DOCUMENTS, connected, request
from tests.running import START_SECONDS, Running

CLIENTS = 200
LARGE = b'{"pad":"%b"}' % (b"x" * 20_000)


async def insist(service: Running, until: float, statuses: Counter[int], longest: list[float]) -> None:
    """Send requests one after the other, as a client that ignores Retry-After."""
    async with connected(service) as wire:
        while monotonic() < until:
            begun = monotonic()
            await wire.send(request("PUT", f"{DOCUMENTS}/d/k", LARGE))
            statuses[(await wire.response()).status] += 1
            longest.append(monotonic() - begun)


async def test_without_redis_requests_get_503_in_time_memory_is_bounded_and_service_resumes(
    http: ClientSession,
) -> None:
    async with standing(workers=1, max_in_flight=100) as stand:
        project = await open_project(stand.service, http)
        await project.put("d", "k")
        [worker] = stand.service.worker_pids()
        statuses: Counter[int] = Counter()
        longest: list[float] = []
        stand.redis.kill()
        stand.proxy.refuses = True
        until = monotonic() + 1.5
        await asyncio.gather(*(insist(stand.service, until, statuses, longest) for _ in range(CLIENTS)))
        early = resident(worker)
        until = monotonic() + 1.5
        await asyncio.gather(*(insist(stand.service, until, statuses, longest) for _ in range(CLIENTS)))
        assert set(statuses) == {503}
        assert statuses[503] > CLIENTS
        assert resident(worker) - early < 16 * MEBIBYTE  # after twice as many requests, the memory is the same
        assert early < 256 * MEBIBYTE
        stand.proxy.refuses = False
        stand.redis.start()
        back = monotonic()
        while (await project.ask("PUT", at("d", "k"), b"{}")).status != 200:
            assert monotonic() - back < START_SECONDS
        print(
            f"503s {statuses[503]}, longest {max(longest):.2f} s, resident {early / MEBIBYTE:.0f} MiB, "
            f"back after {monotonic() - back:.2f} s"
        )
