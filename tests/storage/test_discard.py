"""Tests discard: removes records, and ignores those that do not exist."""

import pytest

from service.storage import keys
from service.storage.errors import Denied, Undeclared
from service.storage.records.write import Write
from service.storage.root import Storage
from service.storage.scripts.bounds import DISCARDED
from service.storage.scripts.runner import Runner
from tests.servers import RedisProcess
from tests.storage.keyspace import COLLECTION, INDEXES, RECORD, REGISTRIES, Keyspace, numbered

FIELD = keys.collection("auravant", "fields", "12345", "")


async def test_existing_records_are_removed_and_missing_ones_are_ignored(storage: Storage, keyspace: Keyspace) -> None:
    await storage.grants.grant(FIELD, {"owner": "rwd"}, 1)
    for id in ("a", "b:{c}", "kept"):
        await storage.records.put(Write(FIELD, id, "me"), b"[]")
    await storage.scoped.discard(Write(FIELD, subject="owner"), ["a", "none", "b:{c}"])
    await storage.scoped.discard(Write(FIELD, subject="owner"), ["a"])
    await storage.scoped.discard(Write(FIELD, subject="owner"), [])
    assert keyspace.names() == {FIELD.acl, FIELD.record("kept")}


async def test_discarding_needs_the_delete_permission(storage: Storage, keyspace: Keyspace) -> None:
    await storage.records.put(Write(FIELD, "a", "me"), b"[]")
    with pytest.raises(Undeclared):
        await storage.scoped.discard(Write(FIELD, subject="owner"), ["a"])
    await storage.grants.grant(FIELD, {"owner": "rwd", "writer": "rw"}, 1)
    for who in ("writer", "stranger"):
        with pytest.raises(Denied):
            await storage.scoped.discard(Write(FIELD, subject=who), ["a", "none"])
    assert FIELD.record("a") in keyspace.names()


async def test_many_records_are_removed_in_several_steps(
    storage: Storage, keyspace: Keyspace, redis: RedisProcess
) -> None:
    ids = numbered(2 * DISCARDED + 1)
    for id in ids:
        await storage.records.put(Write(FIELD, id, "me"), b"[]")
    redis.command("CONFIG", "RESETSTAT")
    await storage.scoped.discard(Write(FIELD), ids)
    assert redis.command("INFO", "commandstats")["cmdstat_fcall"]["calls"] == 3
    assert keyspace.names() == set()


async def test_only_the_expected_keys_remain_after_discard(
    storage: Storage, runner: Runner, keyspace: Keyspace
) -> None:
    """The collection has indexes, so the reply counts by how much it grew."""
    for id in ("a", "b", "c"):
        await storage.records.put(Write(COLLECTION, id, "me", lifetime="+600000"), b"[1]")
    ids, names = ["a", "none", "c"], (*COLLECTION.guarded, *map(RECORD, ["a", "none", "c"]))
    reply = await runner.run("discard", names, subject="", kinds=COLLECTION.kinds, ids=ids)
    assert reply == [-2, -6]
    assert keyspace.names() == {RECORD("b"), COLLECTION.expiry, *INDEXES, *REGISTRIES}
    assert all(set(scores) == {"b"} for scores in keyspace.indexes().values())
