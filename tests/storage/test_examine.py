"""Tests examine: compares one record with its index entries. test_fsck.py plants damage of every kind."""

from service.storage import keys
from service.storage.records.write import Write
from service.storage.root import Storage
from tests.storage.keyspace import COLLECTION, INDEXES, ME, RECORD, REGISTRIES, Keyspace


async def test_a_correct_record_has_no_fault(storage: Storage) -> None:
    await storage.records.put(Write(COLLECTION, "a", ME, lifetime="+60000"), b"[]")
    await storage.records.put(Write(COLLECTION, "b", ME), b"[]")
    for id in ("a", "b", "neither record nor entry"):
        assert await storage.records.examine(COLLECTION, id, repair=True) == []


async def test_each_fault_is_reported_and_only_repaired_if_requested(storage: Storage, keyspace: Keyspace) -> None:
    await storage.records.put(Write(COLLECTION, "a", ME, lifetime="+60000"), b"[]")
    before = keyspace.indexes()
    keyspace.command("ZREM", COLLECTION.index("c"), "a")
    keyspace.plant("a", s=999, x=7_000_000_000_000)
    faults = ["index c: missing", "index s: wrong", "expiry: wrong"]
    assert await storage.records.examine(COLLECTION, "a", repair=False) == faults
    assert await storage.records.examine(COLLECTION, "a", repair=True) == faults
    assert await storage.records.examine(COLLECTION, "a", repair=True) == []
    assert keyspace.indexes() == before


async def test_entries_without_a_record_are_removed(storage: Storage, keyspace: Keyspace) -> None:
    keyspace.plant("ghost", c=1, u=2, s=3, n=0, x=9_000_000_000_000)
    faults = [f"index {kind}: without a record" for kind in COLLECTION.kinds] + ["expiry: without a record"]
    assert await storage.records.examine(COLLECTION, "ghost", repair=True) == faults
    assert keyspace.names() == set()


async def test_entries_that_wait_to_be_swept_are_left_to_the_sweeper(storage: Storage, keyspace: Keyspace) -> None:
    """If examine removed them, a sweep would not return their size to the quota."""
    keyspace.plant("due", c=1, u=2, s=3, n=0, x=1)
    assert await storage.records.examine(COLLECTION, "due", repair=True) == []
    assert set(keyspace.indexes()) == set("cusnx")


async def test_a_collection_without_indexes_is_checked_too(storage: Storage, keyspace: Keyspace) -> None:
    bare = keys.collection("genesys", "areas", "a", "")
    await storage.records.put(Write(bare, "a", ME, lifetime="+60000"), b"[]")
    assert await storage.records.examine(bare, "a", repair=False) == []
    keyspace.command("DEL", bare.expiry)
    assert await storage.records.examine(bare, "a", repair=True) == ["expiry: missing"]
    assert await storage.records.examine(bare, "a", repair=True) == []


async def test_only_the_expected_keys_remain(storage: Storage, keyspace: Keyspace) -> None:
    await storage.records.put(Write(COLLECTION, "a", ME), b"[]")
    await storage.records.examine(COLLECTION, "a", repair=True)
    assert keyspace.names() == {RECORD("a")} | INDEXES | REGISTRIES
