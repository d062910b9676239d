"""Tests delete: removes a record and its index entries."""

import asyncio

import pytest

from service.storage.errors import Changed, NotFound
from service.storage.records.conditions import Condition
from service.storage.records.quota import Quota
from service.storage.records.record import etag
from service.storage.records.write import Write
from service.storage.root import Storage
from tests.running import while_it_lives
from tests.storage.keyspace import COLLECTION, INDEXES, ME, RECORD, REGISTRIES, USAGE, Keyspace


async def test_a_second_delete_is_not_found(storage: Storage) -> None:
    await storage.records.put(Write(COLLECTION, "a", ME), b"[]")
    await storage.records.delete(Write(COLLECTION, "a"))
    with pytest.raises(NotFound, match=r"^no such key$"):
        await storage.records.delete(Write(COLLECTION, "a"))


async def test_an_expired_record_cannot_be_deleted(storage: Storage, keyspace: Keyspace) -> None:
    saved = await storage.records.put(Write(COLLECTION, "a", ME, lifetime="+20"), b"[]")
    keyspace.wait_past(saved.expires)
    with pytest.raises(NotFound):
        await storage.records.delete(Write(COLLECTION, "a"))
    assert await storage.records.count(COLLECTION) == 0


async def test_the_expiry_in_the_header_counts_if_the_key_lost_its_own(storage: Storage, keyspace: Keyspace) -> None:
    async def lives(seconds: float) -> int:
        saved = await storage.records.put(Write(COLLECTION, "a", ME, lifetime=f"+{round(seconds * 1000)}"), b"[]")
        assert keyspace.command("PERSIST", RECORD("a")) == 1
        return saved.expires

    keyspace.wait_past(await while_it_lives(0.02, lives))
    with pytest.raises(NotFound):
        await storage.records.delete(Write(COLLECTION, "a"))
    assert (await storage.records.create(Write(COLLECTION, "a", ME), b"[]")).version == 1


async def test_of_many_racing_deletes_one_wins(storage: Storage) -> None:
    await storage.records.put(Write(COLLECTION, "a", ME), b"[]")
    outcomes = await asyncio.gather(
        *(storage.records.delete(Write(COLLECTION, "a")) for _ in range(20)), return_exceptions=True
    )
    assert outcomes.count(None) == 1
    assert sum(isinstance(outcome, NotFound) for outcome in outcomes) == 19


async def test_preconditions_are_checked(storage: Storage) -> None:
    for match in ("*", etag(b"[]")):
        with pytest.raises(Changed):
            await storage.records.delete(Write(COLLECTION, "a", condition=Condition(match=frozenset({match}))))
    for match in ("*", etag(b"[]")):
        await storage.records.put(Write(COLLECTION, "a", ME), b"[]")
        with pytest.raises(Changed):
            await storage.records.delete(Write(COLLECTION, "a", condition=Condition(match=frozenset({etag(b"{}")}))))
        await storage.records.delete(Write(COLLECTION, "a", condition=Condition(match=frozenset({match}))))
        assert await storage.records.find_current(COLLECTION, "a") is None


async def test_of_racing_deletes_and_writes_with_one_etag_one_wins(storage: Storage) -> None:
    await storage.records.put(Write(COLLECTION, "a", ME), b"[]")
    condition = Condition(match=frozenset({etag(b"[]")}))
    outcomes = await asyncio.gather(
        *(storage.records.delete(Write(COLLECTION, "a", condition=condition)) for _ in range(10)),
        *(storage.records.put(Write(COLLECTION, "a", ME, condition=condition), b"[%d]" % n) for n in range(10)),
        return_exceptions=True,
    )
    assert sum(not isinstance(outcome, BaseException) for outcome in outcomes) == 1
    assert sum(isinstance(outcome, Changed) for outcome in outcomes) == 19


async def test_delete_frees_its_quota(storage: Storage, keyspace: Keyspace) -> None:
    quota = Quota(documents=1)
    await storage.records.create(Write(COLLECTION, "a", ME, quota=quota), b"[1]")
    assert keyspace.command("GET", USAGE) == b"1 3"
    await storage.records.delete(Write(COLLECTION, "a", quota=quota))
    assert keyspace.command("GET", USAGE) == b"0 0"


async def test_only_the_expected_keys_remain(storage: Storage, keyspace: Keyspace) -> None:
    await storage.records.put(Write(COLLECTION, "a", ME, lifetime="+60000"), b"[]")
    await storage.records.put(Write(COLLECTION, "b", ME), b"[]")
    await storage.records.delete(Write(COLLECTION, "a"))
    assert keyspace.names() == {RECORD("b")} | INDEXES | REGISTRIES
    assert all(set(scores) == {"b"} for scores in keyspace.indexes().values())
    await storage.records.delete(Write(COLLECTION, "b"))
    assert keyspace.names() == REGISTRIES
