"""Tests the sweeper: one worker at a time sweeps idle collections and unregisters empty ones after an hour."""

import asyncio
import time
from collections.abc import Awaitable, Callable

import pytest

from service.storage import keys, sweeper
from service.storage.records.records import SWEEP_MEMBERS
from service.storage.records.write import Write
from service.storage.root import Storage
from service.storage.scripts.runner import Runner
from service.storage.sweeper import Sweeper
from tests.runners import Connect
from tests.servers import RedisProcess
from tests.storage.keyspace import COLLECTION, ME, REGISTRIES, Keyspace, numbered
from tests.storage.test_register import HOUR


async def soon(check: Callable[[], Awaitable[bool] | bool]) -> None:
    deadline = time.monotonic() + 30
    while True:
        found = check()
        if found if isinstance(found, bool) else await found:
            return
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)


async def test_idle_collections_of_every_namespace_are_swept(
    runner: Runner, storage: Storage, keyspace: Keyspace
) -> None:
    collections = [keys.collection("ainoflow", f"p{n % 7}", f"c{n}", "cusn") for n in range(sweeper.BATCH + 5)]
    for collection in collections:
        gone = await storage.records.put(Write(collection, "gone", ME, lifetime="+20"), b"[]")
        await storage.records.put(Write(collection, "stays", ME), b"[]")
    keyspace.wait_past(gone.expires)
    await Sweeper(runner, storage).sweep()
    assert not [name for name in keyspace.names() if name.endswith("}x")]
    assert [keyspace.command("ZCARD", collection.indexes[0]) for collection in collections] == [1] * len(collections)


async def test_a_long_backlog_is_swept_in_one_round(runner: Runner, storage: Storage, keyspace: Keyspace) -> None:
    await storage.records.register(COLLECTION)
    keyspace.plant_many(numbered(3 * SWEEP_MEMBERS + 1), x=1, c=1, u=1, s=1, n=0)
    await Sweeper(runner, storage).sweep()
    assert keyspace.indexes() == {}


async def test_an_empty_collection_stays_registered_for_an_hour(
    runner: Runner, storage: Storage, keyspace: Keyspace
) -> None:
    await storage.records.register(COLLECTION)
    await Sweeper(runner, storage).sweep()
    assert set(keyspace.scores(COLLECTION.registry)) == {"orders"}
    keyspace.command("ZADD", COLLECTION.registry, keyspace.now() - HOUR + 60_000_000, COLLECTION.name)
    await Sweeper(runner, storage).sweep()
    assert set(keyspace.scores(COLLECTION.registry)) == {"orders"}
    keyspace.command("ZADD", COLLECTION.registry, keyspace.now() - HOUR, COLLECTION.name)
    await Sweeper(runner, storage).sweep()
    assert keyspace.scores(COLLECTION.registry) == {}


async def test_a_collection_with_records_stays_registered(runner: Runner, storage: Storage, keyspace: Keyspace) -> None:
    await storage.records.put(Write(COLLECTION, "a", ME), b"[]")
    keyspace.command("ZADD", COLLECTION.registry, 1, COLLECTION.name)
    await Sweeper(runner, storage).sweep()
    assert keyspace.scores(COLLECTION.registry) == {"orders": 1}


async def test_a_collection_whose_last_record_expired_is_unregistered_in_one_round(
    runner: Runner, storage: Storage, keyspace: Keyspace
) -> None:
    gone = await storage.records.put(Write(COLLECTION, "a", ME, lifetime="+20"), b"[]")
    keyspace.command("ZADD", COLLECTION.registry, keyspace.now() - HOUR, COLLECTION.name)
    keyspace.wait_past(gone.expires)
    await Sweeper(runner, storage).sweep()
    assert keyspace.names() == (REGISTRIES - {COLLECTION.registry}) | {keys.SWEEPER}


async def test_a_round_ends_when_the_lease_is_lost(runner: Runner, storage: Storage, keyspace: Keyspace) -> None:
    collections = [keys.collection("ainoflow", "acme", f"c{n}", "cusn") for n in range(2 * sweeper.BATCH)]
    for collection in collections:
        await storage.records.register(collection)
        keyspace.command("ZADD", collection.expiry, 1, "due")
    keyspace.command("SET", keys.SWEEPER, "another")
    await Sweeper(runner, storage).sweep()
    assert sum(keyspace.command("EXISTS", collection.expiry) for collection in collections) == sweeper.BATCH


async def test_another_worker_sweeps_when_the_holder_of_the_lease_dies(
    runner: Runner, storage: Storage, keyspace: Keyspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweeper, "PERIOD", 0.02)
    monkeypatch.setattr(sweeper, "HELD_FOR", 200)
    await storage.records.register(COLLECTION)
    workers = [asyncio.create_task(Sweeper(runner, storage).run()) for _ in range(3)]
    try:
        while workers:
            keyspace.plant("due", x=1, c=1, u=1, s=1, n=0)
            await soon(lambda: keyspace.indexes() == {})
            workers.pop().cancel()  # one of them had the job; as the last ones go, each has it once
    finally:
        for worker in workers:
            worker.cancel()


async def test_the_sweeper_continues_after_every_error(
    own: RedisProcess, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweeper, "PERIOD", 0.02)
    runner = await connect(own)
    storage = Storage(runner)
    await storage.records.register(COLLECTION)
    own.command("RPUSH", COLLECTION.expiry, "foreign")  # an error that is no refusal
    run = asyncio.create_task(Sweeper(runner, storage).run())
    await soon(lambda: "errorstat_WRONGTYPE" in own.command("INFO", "errorstats"))
    own.restart()
    own.command("DEL", COLLECTION.expiry)  # after the restart: one that is killed may forget it
    Keyspace(own).plant("due", x=1, c=1, u=1, s=1, n=0)
    await soon(lambda: Keyspace(own).indexes() == {})
    assert not run.done()
    run.cancel()
