"""Tests read: reads many records of one collection, if the caller may."""

import pytest

from service.storage import keys
from service.storage.errors import Denied, NotFound
from service.storage.keys import Collection
from service.storage.records.records import READ_BYTES
from service.storage.records.scoped import ONE_BYTES, CollectionRead
from service.storage.records.write import Write
from service.storage.root import Storage
from service.storage.scripts.runner import Runner
from tests.servers import RedisProcess
from tests.storage.keyspace import Keyspace

FIELDS = [keys.collection("auravant", "fields", str(n), "") for n in range(30)]
FIELD, OTHER, GONE = FIELDS[:3]


async def everything(storage: Storage, reading: CollectionRead) -> dict[str, bytes]:
    return {id: record.body async for portion in storage.scoped.records(reading) for id, record in portion}


async def granted(storage: Storage, *collections: Collection) -> Storage:
    for collection in collections:
        await storage.grants.grant(collection, {"owner": "rwd", "writer": "w"}, 1)
    return storage


async def test_existing_records_are_read_and_missing_ones_are_left_out(storage: Storage) -> None:
    await granted(storage, FIELD)
    await storage.records.put(Write(FIELD, "a:{b}", "me"), b'{ "a" : 1.50 }')
    await storage.records.put(Write(FIELD, "b", "me"), b"[]")
    (reading,) = await storage.scoped.read_many([FIELD], ["b", "none", "a:{b}"], "owner")
    assert (reading.collection, reading.refused) == (FIELD, None)
    assert await everything(storage, reading) == {"b": b"[]", "a:{b}": b'{ "a" : 1.50 }'}


async def test_each_collection_tells_if_it_may_be_read(storage: Storage) -> None:
    await granted(storage, FIELD, OTHER)
    await storage.records.put(Write(FIELD, "a", "me"), b"[]")
    readings = await storage.scoped.read_many([FIELD, OTHER, GONE], ["a"], "owner")
    assert [type(reading.refused) for reading in readings] == [type(None), type(None), NotFound]
    for who in ("writer", "stranger"):
        readings = await storage.scoped.read_many([FIELD, OTHER, GONE], ["a"], who)
        assert [type(reading.refused) for reading in readings] == [Denied, Denied, NotFound]
        assert [await everything(storage, reading) for reading in readings] == [{}, {}, {}]
        with pytest.raises(NotFound):
            await storage.scoped.read_many([FIELD, OTHER, GONE], ["a"], who, strict=True)
        with pytest.raises(Denied):
            await storage.scoped.read_many([FIELD, OTHER], ["a"], who, strict=True)


async def test_refusals_keep_no_stack_frames(storage: Storage) -> None:
    """Thousands of refusals may be kept at the same time, and the garbage collector would visit all their frames."""
    await granted(storage, FIELD)
    for reading in await storage.scoped.read_many([FIELD, GONE], ["a"], "stranger"):
        assert reading.refused is not None
        assert (reading.refused.__traceback__, reading.refused.__context__) == (None, None)


async def test_many_collections_are_read_in_one_round_trip_with_one_script_each(
    storage: Storage, redis: RedisProcess
) -> None:
    await granted(storage, *FIELDS)
    ids = [f"k{n}" for n in range(10)]
    for collection in FIELDS:
        for id in ids:
            await storage.records.put(Write(collection, id, "me"), b"[1]")
    redis.command("CONFIG", "RESETSTAT")
    readings = await storage.scoped.read_many(FIELDS, ids, "owner")
    stats = redis.command("INFO", "commandstats")
    assert stats["cmdstat_fcall"]["calls"] == len(FIELDS)
    assert [set(reading.found) for reading in readings] == [set(ids)] * len(FIELDS)


async def test_large_records_are_read_in_portions(storage: Storage, redis: RedisProcess) -> None:
    await granted(storage, FIELD)
    bodies = {f"k{n:02}": b'["' + b"%02d" % n * (ONE_BYTES // 8) + b'"]' for n in range(12)}
    bodies["small"] = b"[]"
    bodies["huge"] = b'["' + b"x" * (2 * READ_BYTES) + b'"]'
    for id, body in bodies.items():
        await storage.records.put(Write(FIELD, id, "me"), body)
    (reading,) = await storage.scoped.read_many([FIELD], [*bodies], "owner")
    assert sum(len(record.body) for record in reading.found.values()) <= ONE_BYTES
    assert {"small", "k00"} <= set(reading.found)
    sizes = [sum(len(r.body) for _, r in portion) async for portion in storage.scoped.records(reading)]
    assert max(sizes[:-1]) <= READ_BYTES
    assert sizes[-1] == len(bodies["huge"])
    assert await everything(storage, reading) == bodies


async def test_for_records_that_do_not_fit_the_size_is_returned(storage: Storage, runner: Runner) -> None:
    await granted(storage, FIELD)
    await storage.records.put(Write(FIELD, "a", "me"), b"[1]")
    await storage.records.put(Write(FIELD, "b", "me"), b'["%b"]' % (b"x" * 1000))
    for most, (first, second) in ((2000, (b'x"]', b"[1]")), (1000, (None, b"[1]"))):
        names = (FIELD.acl, *map(FIELD.record, ["none", "b", "a"]))
        none, large, small = await runner.run("read", names, subject="owner", most=most)
        assert none is None
        assert small[-3:] == second
        assert large[-3:] == first if first else large > 1000


async def test_records_deleted_between_the_steps_are_left_out(storage: Storage) -> None:
    await granted(storage, FIELD)
    await storage.records.put(Write(FIELD, "huge", "me"), b'["' + b"x" * ONE_BYTES + b'"]')
    (reading,) = await storage.scoped.read_many([FIELD], ["huge"], "owner")
    await storage.records.delete(Write(FIELD, "huge", subject="owner"))
    assert await everything(storage, reading) == {}


async def test_only_the_expected_keys_remain_after_read(storage: Storage, keyspace: Keyspace) -> None:
    await granted(storage, FIELD)
    await storage.records.put(Write(FIELD, "a", "me"), b"[]")
    before = keyspace.names()
    await storage.scoped.read_many([FIELD, GONE], ["a", "b"], "owner")
    assert keyspace.names() == before == {FIELD.acl, FIELD.record("a")}
