"""Tests sweep: removes expired members from the indexes, a limited number at a time."""

from service.storage.records.quota import Quota
from service.storage.records.records import SWEEP_MEMBERS
from service.storage.records.write import Write
from service.storage.root import Storage
from tests.storage.keyspace import (
    COLLECTION,
    INDEXES,
    ME,
    RECORD,
    REGISTRIES,
    USAGE,
    Keyspace,
    listed_in_all_orders,
    numbered,
)


async def test_a_sweep_removes_expired_members_from_all_indexes(storage: Storage, keyspace: Keyspace) -> None:
    await storage.records.put(Write(COLLECTION, "stays", ME), b"[]")
    await storage.records.put(Write(COLLECTION, "later", ME, lifetime="+60000"), b"[]")
    await listed_in_all_orders(storage)
    gone = await storage.records.put(Write(COLLECTION, "gone", ME, lifetime="+20"), b"[]")
    keyspace.wait_past(gone.expires)
    swept = await storage.records.sweep(COLLECTION)
    assert (swept.members, swept.more, swept.left) == (1, False, 2)
    assert {letter: set(scores) for letter, scores in keyspace.indexes().items()} == {
        "x": {"later"},
        "c": {"stays", "later"},
        "u": {"stays", "later"},
        "s": {"stays", "later"},
        "n": {"stays", "later"},
    }


async def test_a_sweep_is_limited_and_reports_if_more_has_expired(storage: Storage, keyspace: Keyspace) -> None:
    keyspace.plant_many(numbered(SWEEP_MEMBERS + 1), x=1, c=1, u=1, s=10, n=0)
    swept = await storage.records.sweep(COLLECTION)
    assert (swept.members, swept.more, swept.left) == (SWEEP_MEMBERS, True, 1)
    swept = await storage.records.sweep(COLLECTION)
    assert (swept.members, swept.more, swept.left) == (1, False, 0)


async def test_an_empty_collection_can_be_swept(storage: Storage, keyspace: Keyspace) -> None:
    before = keyspace.now()
    swept = await storage.records.sweep(COLLECTION)
    assert (swept.members, swept.more, swept.left) == (0, False, 0)
    assert before <= swept.at <= keyspace.now()
    assert keyspace.names() == set()


async def test_a_sweep_frees_the_quota(storage: Storage, keyspace: Keyspace) -> None:
    quota = Quota(documents=10)
    await storage.records.put(Write(COLLECTION, "stays", ME, quota=quota), b"[1]")
    gone = await storage.records.put(Write(COLLECTION, "gone", ME, lifetime="+20", quota=quota), b"[1,2]")
    assert keyspace.command("GET", USAGE) == b"2 8"
    keyspace.wait_past(gone.expires)
    await storage.records.sweep(COLLECTION)
    assert keyspace.command("GET", USAGE) == b"1 3"
    await storage.records.sweep(COLLECTION)
    assert keyspace.command("GET", USAGE) == b"1 3"


async def test_a_record_written_again_is_not_swept(storage: Storage, keyspace: Keyspace) -> None:
    first = await storage.records.put(Write(COLLECTION, "a", ME, lifetime="+20"), b"[]")
    await storage.records.put(Write(COLLECTION, "a", ME, lifetime="+60000"), b"[]")
    keyspace.wait_past(first.expires)
    assert (await storage.records.sweep(COLLECTION)).members == 0
    assert await storage.records.count(COLLECTION) == 1


async def test_only_the_expected_keys_remain(storage: Storage, keyspace: Keyspace) -> None:
    await storage.records.put(Write(COLLECTION, "a", ME), b"[]")
    gone = await storage.records.put(Write(COLLECTION, "gone", ME, lifetime="+20"), b"[]")
    keyspace.wait_past(gone.expires)
    await storage.records.sweep(COLLECTION)
    assert keyspace.names() == {RECORD("a")} | INDEXES | REGISTRIES
