"""Tests the cost of requests: commands, round trips, memory of the worker, and the time of scripts in Redis."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession

from service.storage import keys
from service.storage.records.batches import Operation
from service.storage.records.write import Write
from service.storage.root import Storage
from service.storage.scripts.fan_out import FAN_OUT, fan_out
from service.storage.scripts.runner import Runner
from tests.dialects.auravant.client import STORAGE, Client, World
from tests.running import Running
from tests.slow_commands import HOLD_US

RUNS = 10  # other work of the worker or the machine disturbs some of the runs, not all
MEBIBYTE = 1024 * 1024


@pytest.fixture(scope="module", params=["true", "false"], ids=["fast path", "ordinary path"])
def alone(request: pytest.FixtureRequest) -> Iterator[Running]:
    """A service that no other test uses, and that does not sweep, because another worker seems to have the lease."""
    with Running(read_cache_bytes=0, fast_path=request.param) as running:
        running.wait_ready()
        with running.redis as client:
            client.set("polystow:sweeper", "a test")
        yield running


class Cost:
    """The commands and reads from the network that Redis has counted, without those that read the counters."""

    def __init__(self, running: Running) -> None:
        self._running = running

    def now(self) -> tuple[int, int]:
        """Return the numbers of scripts and of reads from the network."""
        with self._running.redis as client:
            stats: dict[str, Any] = client.info("commandstats")
            reads: dict[str, Any] = client.info("stats")
        return stats.get("cmdstat_fcall", {"calls": 0})["calls"], reads["total_reads_processed"]

    async def least(self, ask: Callable[[], Awaitable[object]]) -> tuple[int, int]:
        """Return the minimum of several runs, because other work of the worker only adds to the counts."""
        found = [await self.once(ask) for _ in range(RUNS)]
        return min(scripts for scripts, _ in found), min(reads for _, reads in found)

    async def once(self, ask: Callable[[], Awaitable[object]]) -> tuple[int, int]:
        """Return the counts of one run, in which the worker may have done other work as well."""
        before = await asyncio.to_thread(self.now)
        await ask()
        after = await asyncio.to_thread(self.now)
        return after[0] - before[0], after[1] - before[1]

    async def of(self, ask: Callable[[], Awaitable[object]]) -> tuple[int, int]:
        """Return the numbers of scripts and round trips of a request."""
        scripts, reads = await self.least(ask)
        return scripts, reads - (await self.least(lambda: asyncio.sleep(0)))[1]


async def opened(running: Running, http: ClientSession, fields: int) -> tuple[World, Client, list[str]]:
    world = World(running, http)
    ids = [world.name(f"f{n}") for n in range(fields)]
    (owner,) = await world.open(
        "owner", fields=[{"id": id, "permissions": {world.name("owner"): "owner"}} for id in ids]
    )
    await owner.get("users", [], "k")  # afterwards, token and extension are cached
    return world, owner, ids


@asynccontextmanager
async def storage_of(running: Running) -> AsyncIterator[Storage]:
    """Return a storage core on the service's Redis, which fills it with records."""
    runner = Runner.open(f"unix://{running.data_dir}/redis.sock")
    await runner.redis.connect()
    yield Storage(runner)
    await runner.redis.close()


async def fill(running: Running, world: World, ids: list[str], names: list[str], value: bytes) -> None:
    async with storage_of(running) as storage:

        async def put(id: str) -> None:
            collection = keys.collection("auravant", "fields", id, "")
            puts = [Operation("put", f"{world.extension}:production:{name}", value) for name in names]
            await storage.batches.batch(Write(collection, caller="me"), puts, len(value))

        await fan_out(put, ids)


async def test_a_request_for_one_resource_is_one_script(alone: Running, http: ClientSession) -> None:
    _, owner, (field,) = await opened(alone, http, 1)
    number = iter(range(1000))
    asks = {
        "put": lambda: owner.put("fields", field, f"k{next(number)}", [1]),
        "overwrite": lambda: owner.put("fields", field, "k0", [1], overwrite=True),
        "patch": lambda: owner.patch("fields", field, "k0", [1]),
        "append": lambda: owner.patch("fields", field, "k0", 1, append=True),
        "get": lambda: owner.get("fields", [field], *(f"k{n}" for n in range(50))),
        "get of nothing": lambda: owner.get("fields", [field], "none"),
        "delete": lambda: owner.delete("fields", field, *(f"k{n}" for n in range(50))),
        "refused": lambda: owner.put("fields", "none", "k", 1),
    }
    cost = Cost(alone)
    assert {name: await cost.of(ask) for name, ask in asks.items()} == dict.fromkeys(asks, (1, 1))


async def test_ten_keys_of_ten_ids_are_one_round_trip_of_ten_scripts(alone: Running, http: ClientSession) -> None:
    world, owner, ids = await opened(alone, http, 10)
    names = [f"k{n}" for n in range(10)]
    await fill(alone, world, ids, names, b'{"n":1}')

    async def ask() -> None:
        found = (await owner.get("fields", ids, *names)).objects
        assert found == {id: {name: {"n": 1} for name in names} for id in ids}

    assert await Cost(alone).of(ask) == (10, 1)


async def test_fifty_keys_of_two_hundred_ids_stay_within_memory_and_time(alone: Running, http: ClientSession) -> None:
    """There are 10,000 values of 100 bytes, then of 10,000 bytes (100 MB). The worker never has the whole answer."""
    world, owner, ids = await opened(alone, http, 200)
    names = [f"k{n}" for n in range(50)]
    await fill(alone, world, ids, names, b'"%b"' % (b"x" * 98))
    found = (await owner.get("fields", ids, *names)).objects
    assert {id: len(values) for id, values in found.items()} == dict.fromkeys(ids, 50)
    await fill(alone, world, ids, names, b'"%b"' % (b"x" * 9_998))
    before = peak(alone)
    with alone.redis as client:
        client.config_resetstat()
    size = 0
    body = str({"ids": ids, "keys": names}).replace("'", '"').encode()
    url, headers = f"{alone.url}{STORAGE}/fields?operation=GET", {"Authorization": f"Bearer {owner.token}"}
    async with http.post(url, data=body, headers=headers) as answer:
        assert answer.status == 200
        async for piece in answer.content.iter_any():
            size += len(piece)
    assert size > 100_000_000
    assert peak(alone) - before < 60 * MEBIBYTE
    with alone.redis as client:
        stats: dict[str, Any] = client.info("commandstats")
    for command, calls in (("fcall", 200), ("mget", 200)):
        assert stats[f"cmdstat_{command}"]["calls"] <= calls + 5
        assert stats[f"cmdstat_{command}"]["usec_per_call"] < HOLD_US / 2  # a mean: some are interrupted


async def test_an_unknown_id_is_refused_by_the_first_portion_that_has_one(alone: Running, http: ClientSession) -> None:
    """The refusal ends the request, so 10,800 ids cost no more than 500."""
    _, owner, _ = await opened(alone, http, 1)
    unknown = [f"none-{n}" for n in range(10_800)]

    async def ask() -> None:
        assert (await owner.get("fields", unknown, "k")).code == 5

    cost = Cost(alone)
    for _ in range(RUNS):
        scripts, _ = await cost.once(ask)
        if scripts <= FAN_OUT:
            return
    pytest.fail(f"{scripts} scripts")


def peak(running: Running) -> int:
    """Return the peak memory of the worker in bytes."""
    (pid,) = running.worker_pids()
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024


async def test_a_request_for_all_readable_resources_reads_them_in_portions(alone: Running, http: ClientSession) -> None:
    world, owner, ids = await opened(alone, http, 1200)
    await fill(alone, world, ids, ["k"], b"1")
    found = (await owner.get("fields", [], "k")).objects
    assert found == {id: {"k": 1} for id in ids}
