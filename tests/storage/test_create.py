"""Tests create: stores a record that does not exist yet."""

import asyncio

import pytest

from service.storage.errors import AlreadyExists, Invalid
from service.storage.records.conditions import Condition
from service.storage.records.write import Write
from service.storage.root import Storage
from tests.running import while_it_lives
from tests.storage.keyspace import COLLECTION, INDEXES, ME, RECORD, REGISTRIES, Keyspace, ids, listed_in_all_orders


async def test_create_stores_the_bytes_as_version_one(storage: Storage) -> None:
    saved = await storage.records.create(Write(COLLECTION, "a", ME), b'{ "x" : 1.50 }')
    record = await storage.records.get(COLLECTION, "a")
    assert (saved.version, saved.expires) == (1, 0)
    assert saved.created == saved.updated == record.created == record.updated
    assert (record.version, record.expires, record.creator, record.updater) == (1, 0, ME, ME)
    assert record.body == b'{ "x" : 1.50 }'


async def test_create_refuses_an_existing_id_and_changes_nothing(storage: Storage, keyspace: Keyspace) -> None:
    await storage.records.create(Write(COLLECTION, "a", ME), b"[1]")
    before = keyspace.header("a"), keyspace.indexes()
    with pytest.raises(AlreadyExists, match=r"^the key is there already$"):
        await storage.records.create(Write(COLLECTION, "a", "other", lifetime="+1000"), b"[2]")
    assert (keyspace.header("a"), keyspace.indexes()) == before
    assert (await storage.records.get(COLLECTION, "a")).body == b"[1]"


async def test_of_many_racing_creates_one_wins(storage: Storage) -> None:
    outcomes = await asyncio.gather(
        *(storage.records.create(Write(COLLECTION, "a", ME), b"[%d]" % n) for n in range(64)), return_exceptions=True
    )
    assert sum(not isinstance(outcome, BaseException) for outcome in outcomes) == 1
    assert sum(isinstance(outcome, AlreadyExists) for outcome in outcomes) == 63


@pytest.mark.parametrize("lifetime", ["0", "1", "1000000000000", "-5", "+0"])
async def test_an_expiry_that_is_not_in_the_future_is_refused(
    storage: Storage, keyspace: Keyspace, lifetime: str
) -> None:
    with pytest.raises(Invalid, match=r"^the expiry is not in the future$"):
        await storage.records.create(Write(COLLECTION, "a", ME, lifetime=lifetime), b"[]")
    assert RECORD("a") not in keyspace.names()


async def test_a_relative_lifetime_counts_from_the_time_of_redis(storage: Storage, keyspace: Keyspace) -> None:
    saved = await storage.records.create(Write(COLLECTION, "a", ME, lifetime="+60000"), b"[]")
    assert saved.expires == saved.created // 1000 + 60_000
    assert keyspace.indexes()["x"] == {"a": saved.expires}
    assert abs(keyspace.expires("a") - saved.expires) < 100


async def test_an_absolute_lifetime_is_kept_to_the_millisecond(storage: Storage, keyspace: Keyspace) -> None:
    saved = await storage.records.create(Write(COLLECTION, "a", ME, lifetime="253402300799999"), b"[]")
    assert saved.expires == keyspace.indexes()["x"]["a"] == 253_402_300_799_999
    assert (await storage.records.get(COLLECTION, "a")).expires == 253_402_300_799_999


async def test_an_expired_record_with_the_same_id_is_replaced_completely(storage: Storage, keyspace: Keyspace) -> None:
    await storage.records.create(Write(COLLECTION, "other", ME), b"[]")
    await listed_in_all_orders(storage)
    first = await storage.records.create(Write(COLLECTION, "a", "before", lifetime="+20"), b'"' + b"x" * 100 + b'"')
    keyspace.wait_past(first.expires)
    saved = await storage.records.create(Write(COLLECTION, "a", ME), b"[]")
    record = await storage.records.get(COLLECTION, "a")
    assert (saved.version, record.creator, record.created) == (1, ME, saved.created)
    assert saved.created > first.created
    assert keyspace.indexes() == {
        "c": {"other": keyspace.record("other").created, "a": saved.created},
        "u": {"other": keyspace.record("other").updated, "a": saved.updated},
        "s": {"other": 2, "a": 2},
        "n": {"other": 0, "a": 0},
    }
    assert await storage.records.count(COLLECTION) == 2


async def test_each_new_record_removes_two_expired_members(storage: Storage, keyspace: Keyspace) -> None:
    async def live(seconds: float) -> int:
        keyspace.command("FLUSHALL")
        for n in range(5):
            lifetime = f"+{round(seconds * 1000)}"
            last = await storage.records.create(Write(COLLECTION, f"old{n}", ME, lifetime=lifetime), b"[]")
        assert len(keyspace.indexes()["x"]) == 5
        return last.expires

    keyspace.wait_past(await while_it_lives(0.02, live))
    for n, left in enumerate([3, 1, 0]):
        await storage.records.create(Write(COLLECTION, f"new{n}", ME), b"[]")
        assert len(keyspace.indexes().get("x", {})) == left
        assert len(keyspace.indexes()["s"]) == n + 1 + left


async def test_a_record_that_is_created_again_has_another_state(storage: Storage) -> None:
    """Equal bytes and versions are not an equal state: a compare-and-set must notice."""
    first = await storage.records.create(Write(COLLECTION, "a", ME), b"[]")
    await storage.records.delete(Write(COLLECTION, "a"))
    second = await storage.records.create(Write(COLLECTION, "a", ME), b"[]")
    assert (first.version, second.version) == (1, 1)
    assert second.updated > first.updated


@pytest.mark.parametrize("id", ["{x}", "a:b", "a/b", "%2F", " ", "\0", "é", "\U0001f600", "r:", "x" * 200, "a\nb"])
async def test_any_id_is_stored_under_its_own_name(storage: Storage, keyspace: Keyspace, id: str) -> None:
    await storage.records.create(Write(COLLECTION, id, ME), b"[]")
    await storage.records.create(Write(COLLECTION, id + "'", ME), b"[]")
    assert (await storage.records.get(COLLECTION, id)).body == b"[]"
    total, listed = await storage.records.page(COLLECTION, "c", 0, 10)
    assert (total, ids(listed)) == (2, [id, id + "'"])
    await storage.records.delete(Write(COLLECTION, id))
    assert await storage.records.find_current(COLLECTION, id) is None
    assert keyspace.names() == {RECORD(id + "'")} | INDEXES | REGISTRIES


async def test_create_ignores_conditions(storage: Storage) -> None:
    """`If-None-Match: *` is for put. create always has this condition, with its own refusal."""
    await storage.records.put(Write(COLLECTION, "a", ME, condition=Condition(none_match=frozenset({"*"}))), b"[]")
    with pytest.raises(AlreadyExists):
        await storage.records.create(Write(COLLECTION, "a", ME), b"[]")


async def test_only_the_expected_keys_remain(storage: Storage, keyspace: Keyspace) -> None:
    saved = await storage.records.create(Write(COLLECTION, "a", ME), b'{"a":1}')
    assert keyspace.names() == {RECORD("a")} | INDEXES | REGISTRIES
    assert keyspace.indexes() == {"c": {"a": saved.created}, "s": {"a": 7}}
    assert set(keyspace.scores(COLLECTION.registry)) == {"orders"}
    assert keyspace.expires("a") == -1

    saved = await storage.records.create(Write(COLLECTION, "b", ME, lifetime="+60000"), b"[]")
    assert keyspace.names() == {RECORD("a"), RECORD("b"), COLLECTION.expiry} | INDEXES | REGISTRIES
    assert keyspace.indexes()["x"] == {"b": saved.expires}
