"""Tests register: a collection is registered before its first record (test_unregister.py: the reverse)."""

import asyncio
from contextlib import suppress

import pytest

from service.storage import keys
from service.storage.errors import OutcomeUnknown, Unavailable, Unregistered
from service.storage.fsck import check as fsck
from service.storage.keys import NAMESPACES
from service.storage.records.write import Write
from service.storage.root import Storage
from service.storage.scripts.runner import Runner
from tests.running import soon
from tests.servers import RedisProcess
from tests.storage.keyspace import COLLECTION, INDEXES, ME, RECORD, REGISTRIES, Keyspace

TEN_MINUTES, HOUR = 600_000_000, 3_600_000_000  # us


async def put(runner: Runner, registered: str) -> None:
    """Run the script alone, without the registration by the method."""
    names = (RECORD("a"), *COLLECTION.guarded)
    await runner.run(
        "put",
        names,
        id="a",
        body=b"[]",
        caller=ME,
        lifetime="",
        condition="",
        kinds=COLLECTION.kinds,
        remaining_quota="",
        registered=registered,
        subject="",
        journal="",
    )


async def test_a_first_record_without_registration_is_refused(runner: Runner, keyspace: Keyspace) -> None:
    with pytest.raises(Unregistered):
        await put(runner, "")
    assert keyspace.names() == set()


async def test_a_registration_is_valid_for_ten_minutes(runner: Runner, keyspace: Keyspace) -> None:
    with pytest.raises(Unregistered):
        await put(runner, str(keyspace.now() - TEN_MINUTES))
    await put(runner, str(keyspace.now() - TEN_MINUTES + 5_000_000))
    await put(runner, "")  # the collection exists, so no registration is needed


async def test_a_registration_is_required_again_when_the_collection_is_empty(storage: Storage, runner: Runner) -> None:
    await storage.records.put(Write(COLLECTION, "a", ME), b"[]")
    await storage.records.delete(Write(COLLECTION, "a"))
    with pytest.raises(Unregistered):
        await put(runner, "")


async def test_a_worker_registers_a_collection_once(storage: Storage, redis: RedisProcess) -> None:
    redis.command("CONFIG", "RESETSTAT")
    for _ in range(5):
        await storage.records.put(Write(COLLECTION, "a", ME), b"[]")
        await storage.records.delete(Write(COLLECTION, "a"))
    assert redis.command("INFO", "commandstats")["cmdstat_hset"]["calls"] == 1


async def test_the_registry_has_the_namespace_with_the_kinds_of_its_indexes(
    storage: Storage, redis: RedisProcess
) -> None:
    odd = keys.collection("ainoflow", "a:b {c}", "x:y", "cs")
    await storage.records.put(Write(odd, "a", ME), b"[]")
    assert redis.command("HGETALL", NAMESPACES) == {b"ainoflow:a%3Ab%20%7Bc%7D": b"cs"}


async def test_each_registration_is_later_than_the_one_before(storage: Storage, keyspace: Keyspace) -> None:
    first = int(await storage.records.register(COLLECTION))
    assert abs(first - keyspace.now()) < 10_000_000
    assert int(await storage.records.register(COLLECTION)) > first
    ahead = first + HOUR  # another node's clock, or this one's before it was set back
    keyspace.command("ZADD", COLLECTION.registry, ahead, COLLECTION.name)
    assert int(await storage.records.register(COLLECTION)) == ahead + 1


async def test_every_racing_first_writer_succeeds(storage: Storage, runner: Runner, keyspace: Keyspace) -> None:
    workers = [Storage(runner) for _ in range(20)]
    await asyncio.gather(
        *(worker.records.create(Write(COLLECTION, f"k{n}", ME), b"[]") for n, worker in enumerate(workers))
    )
    assert await storage.records.count(COLLECTION) == 20
    assert set(keyspace.scores(COLLECTION.registry)) == {"orders"}


async def test_a_writer_with_an_expired_registration_is_unavailable(
    storage: Storage, keyspace: Keyspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def stale(collection: object) -> str:
        return "1"

    monkeypatch.setattr(storage.records, "register", stale)
    with pytest.raises(Unavailable, match="nothing was done"):
        await storage.records.put(Write(COLLECTION, "a", ME), b"[]")
    assert keyspace.names() == set()


async def test_a_crash_after_the_registration_leaves_an_empty_name_and_no_hidden_record(
    storage: Storage, keyspace: Keyspace
) -> None:
    await storage.records.register(COLLECTION)
    assert await storage.records.collections("ainoflow", "acme", "cusn") == {COLLECTION: 0}
    assert keyspace.names() == REGISTRIES


async def test_only_the_expected_keys_remain(storage: Storage, keyspace: Keyspace) -> None:
    await storage.records.register(COLLECTION)
    assert keyspace.names() == REGISTRIES
    await storage.records.put(Write(COLLECTION, "a", ME), b"[]")
    assert keyspace.names() == {RECORD("a")} | INDEXES | REGISTRIES


@pytest.mark.parametrize("lost", ["everything", "the registration"])
async def test_a_registration_that_a_failover_has_lost_is_made_again(
    storage: Storage, redis: RedisProcess, lost: str
) -> None:
    """The new primary lacks the last writes of the old one. In a cluster, the collection may be on another primary."""
    await storage.records.put(Write(COLLECTION, "a", ME), b"[]")
    if lost == "everything":
        redis.command("FLUSHALL")
    else:
        redis.command("DEL", NAMESPACES, COLLECTION.registry)
    redis.command("CLIENT", "KILL", "TYPE", "normal")

    async def listed() -> bool:
        with suppress(Unavailable, OutcomeUnknown):
            await storage.records.put(Write(COLLECTION, "b", ME), b"[]")
        found = await storage.records.collections(COLLECTION.dialect, COLLECTION.namespace, COLLECTION.kinds)
        return COLLECTION in found and len(found) == 1 and bool(redis.command("EXISTS", NAMESPACES))

    await soon(listed)
    assert await fsck.run(redis.url, repair=False, out=print) == 0
