"""Tests that reads from the worker's memory are linearizable, and that the checkers notice three broken caches."""

import asyncio
from dataclasses import dataclass
from random import Random
from time import time

import pytest

from service.redis.tracking import Tracker
from service.storage.access.directory import Directory
from tests.faults import stale
from tests.faults.caching import NotEmptied, Services, WithoutBarrier, WithoutClock, caching
from tests.faults.register import registers
from tests.faults.stand import Stand
from tests.faults.trial import Plan, Verdict, trial
from tests.lengths import either
from tests.raw_http import DOCUMENTS, Wire, connected, request

SMALL = 30_000  # bytes of the cache: a third of what a trial reads, so entries are evicted all the time
INJECTIONS = either(3, 6)
FAULTS = ("kill_redis", "pause_redis", "kill_clients", "track_few", "flush_scripts", "reset", "lag", "half_reply")


async def tried(
    kind: type[Tracker],
    *faults: str,
    dialect: str = "ainoflow",
    seconds: float = either(2.0, 4.0),
    keys: int = 6,
    size: int = 1 << 20,
) -> tuple[Verdict, int]:
    """Run a trial that mostly reads. Return its verdict and the number of reads that were answered from memory.

    On a slow machine that may be none within the time of a trial. Such a trial shows nothing and is repeated.
    """
    while True:
        async with caching(kind, read_cache_bytes=size) as (stand, services):
            injections = min(INJECTIONS, len(faults))
            plan = Plan(21, seconds, faults, keys=keys, pause=0.6, writes=0.15, injections=injections)
            verdict = await trial(stand, registers()[dialect], plan)
        print(kind.__name__, dialect, verdict, services.hits, "hits")
        if services.hits or verdict.found:
            return verdict, services.hits


@pytest.mark.long
@pytest.mark.parametrize("dialect", registers())
async def test_reads_from_memory_are_linearizable_whatever_fails(dialect: str) -> None:
    verdict, hits = await tried(Tracker, *FAULTS, dialect=dialect, seconds=either(3.0, 6.0))
    assert verdict.found == []
    assert hits > 0
    assert verdict.injected.total() >= INJECTIONS


@pytest.mark.long
@pytest.mark.parametrize("fault", ["kill_clients", "track_few", "lag"])
async def test_reads_from_memory_are_linearizable_while_one_fault_comes_again_and_again(fault: str) -> None:
    verdict, hits = await tried(Tracker, fault)
    assert verdict.found == []
    assert hits > 0


@pytest.mark.long
async def test_reads_from_memory_are_linearizable_while_the_cache_is_too_small() -> None:
    verdict, hits = await tried(Tracker, "lag", keys=60, size=SMALL)
    assert verdict.found == []
    assert hits > 0


@pytest.mark.long
async def test_none_of_many_reads_is_stale_whatever_fails() -> None:
    hits = 0
    while not hits:  # on a slow machine perhaps none of these few reads is answered from memory
        async with caching() as (stand, services):
            account = await stale.look(stand, either(5_000, 100_000), faults=FAULTS)
        assert account.wrong == []
        hits = services.hits
    assert account.writes > 2 * account.unknown


async def test_one_stale_read_among_many_is_noticed() -> None:
    async with caching(WithoutBarrier) as (stand, _):
        account = await stale.look(stand, 1 << 40, faults=("lag",), between=0.1)
    assert "which is not within" in account.wrong[0]


@pytest.mark.parametrize(("kind", "fault"), [(WithoutBarrier, "lag"), (NotEmptied, "kill_clients")])
async def test_a_broken_cache_is_found_out(kind: type[Tracker], fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A new connection also starts a new generation of the access directory, in which no earlier answer is used. This
    would hide that the cache is not emptied with its connection, so the directory does not do that here.
    """
    monkeypatch.setattr(Directory, "_empty", lambda directory: None)
    found: list[str] = []
    while not found:  # a single trial may not hit the defect
        found = (await tried(kind, fault))[0].found
    assert any("stale" in each for each in found)


@dataclass(frozen=True)
class Sight:
    """A read of a document that expires: when it began (ms since the epoch), and whether it found the document."""

    began: float
    seen: bool


async def watch(wire: Wire, target: str, until: float) -> list[Sight]:
    sights = []
    while time() * 1000 < until:
        began = time() * 1000
        response = await wire.ask("GET", target)
        assert response.status in (200, 404)
        sights.append(Sight(began, response.status == 200))
        await asyncio.sleep(0)
    return sights


def late(sights: list[Sight], expires: int) -> list[Sight]:
    """Return the reads that found the document although it had expired; Redis has the same clock as the test."""
    return [sight for sight in sights if sight.seen and sight.began >= expires + 1]


async def expired(stand: Stand, services: Services) -> tuple[int, list[Sight]]:
    """Read documents while they expire. Return the number of reads, and those that came too late."""
    random, found, number = Random(4), list[Sight](), 0
    async with connected(stand.service) as writer, connected(stand.service) as one, connected(stand.service) as other:
        for each in range(either(6, 12)):
            target = f"{DOCUMENTS}/expiring/{each}"
            lifetime = random.randrange(150, 300)
            began = time() * 1000
            await writer.send(request("PUT", f"{target}?expiresMs={lifetime}", b'{"a":1}'))
            assert (await writer.response()).status == 200
            expires = int(time() * 1000 + lifetime)  # at the latest: the document was written before the answer came
            seen = await asyncio.gather(*(watch(wire, target, began + lifetime + 100) for wire in (one, other)))
            sights = [sight for part in seen for sight in part]
            found, number = found + late(sights, expires), number + len(sights)
    return number, found


async def test_nothing_is_read_from_memory_after_its_expiry() -> None:
    async with caching() as (stand, services):
        number, found = await expired(stand, services)
        assert services.hits > 50
    assert found == []
    assert number > 100


async def test_a_cache_that_ignores_the_clock_is_found_out() -> None:
    async with caching(WithoutClock) as (stand, services):
        await stand.configure("hz", "1")  # Redis itself removes expired keys only after a while
        _, found = await expired(stand, services)
    assert found
