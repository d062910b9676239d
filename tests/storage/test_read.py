"""read: many records of one collection, once it is found that the caller may."""

import pytest

from service.storage import keys
from service.storage.errors import Denied, NotFound
from service.storage.keys import Collection
from service.storage.records.records import READ_BYTES
from service.storage.records.scoped import ONE_BYTES, Shelf
from service.storage.root import Storage
from tests.servers import RedisProcess
from tests.storage.keyspace import Keyspace

FIELDS = [keys.collection("auravant", "fields", str(n), "") for n in range(30)]
FIELD, OTHER, GONE = FIELDS[:3]


async def everything(storage: Storage, shelf: Shelf) -> dict[str, bytes]:
    return {id: record.body async for portion in storage.scoped.records(shelf) for id, record in portion}


async def granted(storage: Storage, *places: Collection) -> Storage:
    for place in places:
        await storage.grants.grant(place, {"owner": "rwd", "writer": "w"}, 1)
    return storage


async def test_what_is_there_is_read_and_what_is_not_is_left_out(storage: Storage) -> None:
    await granted(storage, FIELD)
    await storage.records.put(FIELD, "a:{b}", b'{ "a" : 1.50 }', "me")
    await storage.records.put(FIELD, "b", b"[]", "me")
    (shelf,) = await storage.scoped.survey([FIELD], ["b", "none", "a:{b}"], "owner")
    assert (shelf.place, shelf.refused) == (FIELD, None)
    assert await everything(storage, shelf) == {"b": b"[]", "a:{b}": b'{ "a" : 1.50 }'}


async def test_each_collection_says_whether_it_may_be_read(storage: Storage) -> None:
    await granted(storage, FIELD, OTHER)
    await storage.records.put(FIELD, "a", b"[]", "me")
    shelves = await storage.scoped.survey([FIELD, OTHER, GONE], ["a"], "owner")
    assert [type(shelf.refused) for shelf in shelves] == [type(None), type(None), NotFound]
    for who in ("writer", "stranger"):
        shelves = await storage.scoped.survey([FIELD, OTHER, GONE], ["a"], who)
        assert [type(shelf.refused) for shelf in shelves] == [Denied, Denied, NotFound]
        assert [await everything(storage, shelf) for shelf in shelves] == [{}, {}, {}]
        with pytest.raises(NotFound):
            await storage.scoped.survey([FIELD, OTHER, GONE], ["a"], who, strict=True)
        with pytest.raises(Denied):
            await storage.scoped.survey([FIELD, OTHER], ["a"], who, strict=True)


async def test_refusals_hold_no_frames(storage: Storage) -> None:
    """Thousands of them are kept until the last collection is read: the collector would walk all of their frames."""
    await granted(storage, FIELD)
    for shelf in await storage.scoped.survey([FIELD, GONE], ["a"], "stranger"):
        assert shelf.refused is not None
        assert (shelf.refused.__traceback__, shelf.refused.__context__) == (None, None)


async def test_many_collections_are_read_in_one_round_trip_and_a_script_each(
    storage: Storage, redis: RedisProcess
) -> None:
    await granted(storage, *FIELDS)
    ids = [f"k{n}" for n in range(10)]
    for place in FIELDS:
        for id in ids:
            await storage.records.put(place, id, b"[1]", "me")
    redis.command("CONFIG", "RESETSTAT")
    shelves = await storage.scoped.survey(FIELDS, ids, "owner")
    stats = redis.command("INFO", "commandstats")
    assert stats["cmdstat_evalsha"]["calls"] == len(FIELDS)
    assert [set(shelf.found) for shelf in shelves] == [set(ids)] * len(FIELDS)


async def test_what_is_large_is_read_in_portions(storage: Storage, redis: RedisProcess) -> None:
    await granted(storage, FIELD)
    bodies = {f"k{n:02}": b'["' + b"%02d" % n * (ONE_BYTES // 8) + b'"]' for n in range(12)}
    bodies["small"] = b"[]"
    bodies["huge"] = b'["' + b"x" * (2 * READ_BYTES) + b'"]'
    for id, body in bodies.items():
        await storage.records.put(FIELD, id, body, "me")
    (shelf,) = await storage.scoped.survey([FIELD], [*bodies], "owner")
    assert sum(len(record.body) for record in shelf.found.values()) <= ONE_BYTES
    assert {"small", "k00"} <= set(shelf.found)
    sizes = [sum(len(r.body) for _, r in portion) async for portion in storage.scoped.records(shelf)]
    assert max(sizes[:-1]) <= READ_BYTES
    assert sizes[-1] == len(bodies["huge"])
    assert await everything(storage, shelf) == bodies


async def test_of_what_does_not_fit_the_size_is_told(storage: Storage) -> None:
    await granted(storage, FIELD)
    await storage.records.put(FIELD, "a", b"[1]", "me")
    await storage.records.put(FIELD, "b", b'["%b"]' % (b"x" * 1000), "me")
    for most, (first, second) in ((2000, (b'x"]', b"[1]")), (1000, (None, b"[1]"))):
        names = (FIELD.acl, *map(FIELD.record, ["none", "b", "a"]))
        none, large, small = await storage.records._run("read", names, subject="owner", most=most)
        assert none is None
        assert small[-3:] == second
        assert large[-3:] == first if first else large > 1000


async def test_what_goes_between_the_steps_is_left_out(storage: Storage) -> None:
    await granted(storage, FIELD)
    await storage.records.put(FIELD, "huge", b'["' + b"x" * ONE_BYTES + b'"]', "me")
    (shelf,) = await storage.scoped.survey([FIELD], ["huge"], "owner")
    await storage.records.delete(FIELD, "huge", subject="owner")
    assert await everything(storage, shelf) == {}


async def test_the_keys_left_by_read(storage: Storage, keyspace: Keyspace) -> None:
    await granted(storage, FIELD)
    await storage.records.put(FIELD, "a", b"[]", "me")
    before = keyspace.names()
    await storage.scoped.survey([FIELD, GONE], ["a", "b"], "owner")
    assert keyspace.names() == before == {FIELD.acl, FIELD.record("a")}
