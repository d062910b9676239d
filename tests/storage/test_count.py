"""Tests count: counts the records that have not expired."""

from pathlib import Path

from service.storage import keys
from service.storage.records.write import Write
from service.storage.root import Storage
from service.storage.scripts import library
from service.storage.scripts.fan_out import FAN_OUT
from tests.running import while_it_lives
from tests.storage.keyspace import COLLECTION, INDEXES, ME, RECORD, REGISTRIES, Keyspace, numbered


async def test_an_unknown_collection_has_no_records(storage: Storage, keyspace: Keyspace) -> None:
    assert await storage.records.count(COLLECTION) == 0
    assert keyspace.names() == set()


async def test_expired_records_are_not_counted_from_their_expiry_on(storage: Storage, keyspace: Keyspace) -> None:
    async def live(seconds: float) -> int:
        keyspace.command("FLUSHALL")
        for n, id in enumerate(numbered(30)):
            lifetime = f"+{round(seconds * 1000)}" if n % 3 else ""
            await storage.records.put(Write(COLLECTION, id, ME, lifetime=lifetime), b"[]")
        assert await storage.records.count(COLLECTION) == 30
        assert len(keyspace.indexes()["x"]) == 20
        return max(keyspace.indexes()["x"].values())

    keyspace.wait_past(await while_it_lives(0.1, live))
    assert await storage.records.count(COLLECTION) == 10
    assert len(keyspace.indexes()["x"]) == 20  # the count leaves them out; they are not swept


async def test_the_count_and_the_record_agree_to_the_millisecond(storage: Storage, keyspace: Keyspace) -> None:
    """At every moment, the records that are counted are those that can be read."""
    for n in range(20):
        saved = await storage.records.put(Write(COLLECTION, "a", ME, lifetime=f"+{2 + n % 3}"), b"[]")
        while keyspace.now() // 1000 <= saved.expires:
            before = await storage.records.count(COLLECTION)
            found = await storage.records.find_current(COLLECTION, "a")
            after = await storage.records.count(COLLECTION)
            assert before >= (found is not None) >= after
        assert (await storage.records.count(COLLECTION), await storage.records.find_current(COLLECTION, "a")) == (
            0,
            None,
        )


PROBE = """local record = KEYS[1] -- string
local expiry = KEYS[2] -- zset
local at     = ARGV[1] -- us
--- @include header
--- @include due
return {header(record, tonumber(at)) and 1 or 0, redis.call('ZCOUNT', expiry, '-inf', due(at))}
"""


async def test_a_record_is_expired_and_sweepable_from_the_same_microsecond_on(
    storage: Storage, keyspace: Keyspace, tmp_path: Path
) -> None:
    (tmp_path / "include").symlink_to(library.folder() / "include")
    (tmp_path / "probe.lua").write_text(PROBE)
    text = library.load(tmp_path).scripts["probe"].text
    expires = (await storage.records.put(Write(COLLECTION, "a", ME, lifetime="+600000"), b"[]")).expires
    for later, found in ((-1, [1, 0]), (0, [1, 0]), (999, [1, 0]), (1000, [0, 1])):  # us
        at = expires * 1000 + later
        assert keyspace.command("EVAL", text, 2, RECORD("a"), COLLECTION.expiry, at) == found


async def test_the_collections_of_a_namespace_with_their_counts(storage: Storage) -> None:
    names = [f"c{n}" for n in range(FAN_OUT + 20)]
    collections = [keys.collection("ainoflow", "acme", name, "cusn") for name in names]
    for n, collection in enumerate(collections[:20]):
        for id in numbered(n):
            await storage.records.put(Write(collection, id, ME), b"[]")
    for collection in collections[20:]:
        await storage.records.put(Write(collection, "a", ME), b"[]")
    await storage.records.put(Write(keys.collection("ainoflow", "other", "c1", "cusn"), "a", ME), b"[]")
    found = await storage.records.collections("ainoflow", "acme", "cusn")
    assert {collection.name: count for collection, count in found.items()} == {
        name: n if n < 20 else 1 for n, name in enumerate(names) if n
    }


async def test_only_the_expected_keys_remain(storage: Storage, keyspace: Keyspace) -> None:
    await storage.records.put(Write(COLLECTION, "a", ME), b"[]")
    await storage.records.count(COLLECTION)
    assert keyspace.names() == {RECORD("a")} | INDEXES | REGISTRIES
