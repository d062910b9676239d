"""Tests put: stores a record, whether it exists or not."""

import asyncio

import pytest

from service.storage.errors import Changed, Invalid
from service.storage.records.conditions import Condition
from service.storage.records.record import CALLER_ID_BYTES, etag
from service.storage.records.records import KEEP, Records
from service.storage.records.write import Write
from service.storage.root import Storage
from service.storage.scripts.runner import Runner
from tests.storage.keyspace import COLLECTION, INDEXES, ME, RECORD, REGISTRIES, Keyspace, listed_in_all_orders


async def test_put_creates_a_missing_record(storage: Storage) -> None:
    saved = await storage.records.put(Write(COLLECTION, "a", ME), b"[]")
    assert (saved.version, saved.created) == (1, saved.updated)


async def test_put_replaces_the_whole_record_except_its_creation(storage: Storage) -> None:
    first = await storage.records.put(Write(COLLECTION, "a", "author"), b'{"long":"body"}')
    second = await storage.records.put(Write(COLLECTION, "a", ME), b"[]")
    record = await storage.records.get(COLLECTION, "a")
    assert (second.version, second.created) == (2, first.created)
    assert second.updated > first.updated
    assert (record.body, record.creator, record.updater) == (b"[]", "author", ME)


@pytest.mark.parametrize("length", [*range(20, 41), CALLER_ID_BYTES])
async def test_a_header_of_any_length_is_read(storage: Storage, length: int) -> None:
    """A script reads as many bytes as most headers have, and reads again if a header is longer."""
    author, body = "a" * length, b'{"n":1}'
    first = await storage.records.put(Write(COLLECTION, "a", author, lifetime="+60000"), body)
    second = await storage.records.put(Write(COLLECTION, "a", author, lifetime=KEEP), body)
    assert (second.version, second.created, second.expires) == (2, first.created, first.expires)
    patched, _ = await storage.records.merge(Write(COLLECTION, "a", author, lifetime=KEEP), b'{"n":2}', 1000)
    assert (patched.version, patched.created, patched.expires) == (3, first.created, first.expires)
    assert (await storage.records.get(COLLECTION, "a")).body == b'{"n":2}'


async def test_the_version_grows_also_when_nothing_changed(storage: Storage) -> None:
    assert [(await storage.records.put(Write(COLLECTION, "a", ME), b"[]")).version for _ in range(5)] == [1, 2, 3, 4, 5]


async def test_put_without_a_lifetime_clears_the_expiry(storage: Storage, keyspace: Keyspace) -> None:
    await storage.records.put(Write(COLLECTION, "a", ME, lifetime="+60000"), b"[]")
    saved = await storage.records.put(Write(COLLECTION, "a", ME), b"[]")
    assert saved.expires == 0
    assert keyspace.expires("a") == -1
    assert "x" not in keyspace.indexes()


async def test_put_with_a_lifetime_sets_the_expiry(storage: Storage, keyspace: Keyspace) -> None:
    await storage.records.put(Write(COLLECTION, "a", ME, lifetime="+60000"), b"[]")
    saved = await storage.records.put(Write(COLLECTION, "a", ME, lifetime="+120000"), b"[]")
    assert keyspace.indexes()["x"] == {"a": saved.expires}
    assert abs(keyspace.expires("a") - saved.expires) < 100


async def test_put_can_keep_the_expiry(storage: Storage, keyspace: Keyspace) -> None:
    first = await storage.records.put(Write(COLLECTION, "a", ME, lifetime="+60000"), b"[]")
    assert (await storage.records.put(Write(COLLECTION, "a", ME, lifetime=KEEP), b"[]")).expires == first.expires
    assert (await storage.records.put(Write(COLLECTION, "b", ME, lifetime=KEEP), b"[]")).expires == 0
    assert keyspace.indexes()["x"] == {"a": first.expires}


async def test_put_after_expiry_starts_at_version_one(storage: Storage, keyspace: Keyspace) -> None:
    for _ in range(3):
        first = await storage.records.put(Write(COLLECTION, "a", "author", lifetime="+20"), b"[]")
    keyspace.wait_past(first.expires)
    saved = await storage.records.put(Write(COLLECTION, "a", ME), b"[]")
    assert saved.version == 1
    assert (await storage.records.get(COLLECTION, "a")).creator == ME
    assert await storage.records.count(COLLECTION) == 1


async def test_the_indexes_are_updated(storage: Storage, keyspace: Keyspace) -> None:
    first = await storage.records.put(Write(COLLECTION, "a", ME), b"[1]")
    second = await storage.records.put(Write(COLLECTION, "a", ME), b"[1,2]")
    assert keyspace.indexes() == {"c": {"a": first.created}, "s": {"a": 5}}
    await listed_in_all_orders(storage)
    assert keyspace.indexes() == {"c": {"a": first.created}, "u": {"a": second.updated}, "s": {"a": 5}, "n": {"a": 0}}
    third = await storage.records.put(Write(COLLECTION, "a", ME), b"[1]")
    assert keyspace.indexes() == {"c": {"a": first.created}, "u": {"a": third.updated}, "s": {"a": 3}, "n": {"a": 0}}


async def test_a_lifetime_in_the_past_leaves_the_old_record(storage: Storage) -> None:
    await storage.records.put(Write(COLLECTION, "a", ME), b"[1]")
    with pytest.raises(Invalid):
        await storage.records.put(Write(COLLECTION, "a", ME, lifetime="1000000000000"), b"[2]")
    assert (await storage.records.get(COLLECTION, "a")).body == b"[1]"


@pytest.mark.parametrize(
    ("match", "none_match", "stored", "written"),
    [
        (None, None, False, True),
        (None, None, True, True),
        ("*", None, True, True),
        ("*", None, False, False),
        (None, "*", False, True),
        (None, "*", True, False),
        ("same", None, True, True),
        ("same", None, False, False),
        ("other", None, True, False),
        (None, "same", True, False),
        (None, "same", False, True),
        (None, "other", True, True),
        (None, "other", False, True),
        ("same", "other", True, True),
        ("same", "same", True, False),
        ("*", "*", True, False),
        ("*", "other", True, True),
        ("*", "other", False, False),
    ],
)
async def test_preconditions_are_checked(
    storage: Storage, match: str | None, none_match: str | None, stored: bool, written: bool
) -> None:
    tags = {"*": frozenset({"*"}), "same": frozenset({"zzz", etag(b"[1]")}), "other": frozenset({etag(b"[0]")})}
    condition = Condition(tags[match] if match else None, tags[none_match] if none_match else None)
    if stored:
        await storage.records.put(Write(COLLECTION, "a", ME), b"[1]")
    if written:
        await storage.records.put(Write(COLLECTION, "a", ME, condition=condition), b"[2]")
        assert (await storage.records.get(COLLECTION, "a")).body == b"[2]"
        return
    with pytest.raises(Changed):
        await storage.records.put(Write(COLLECTION, "a", ME, condition=condition), b"[2]")
    found = await storage.records.find_current(COLLECTION, "a")
    assert (found and found.body) == (b"[1]" if stored else None)


@pytest.mark.parametrize("size", [10, 100_000])
async def test_of_many_writers_with_one_etag_exactly_one_wins(storage: Storage, size: int) -> None:
    await storage.records.put(Write(COLLECTION, "a", ME), b"[0]")
    condition = Condition(match=frozenset({etag(b"[0]")}))
    bodies = [b'["%d%s"]' % (n, b"x" * size) for n in range(1, 33)]
    outcomes = await asyncio.gather(
        *(storage.records.put(Write(COLLECTION, "a", ME, condition=condition), body) for body in bodies),
        return_exceptions=True,
    )
    winners = [n for n, outcome in enumerate(outcomes) if not isinstance(outcome, BaseException)]
    assert len(winners) == 1
    assert all(isinstance(outcome, Changed) for n, outcome in enumerate(outcomes) if n != winners[0])
    record = await storage.records.get(COLLECTION, "a")
    assert (record.version, record.body) == (2, bodies[winners[0]])


class Meddler(Records):
    """Deletes a record and writes the same bytes again, between the comparison of its etag and the write."""

    meddle = True

    async def find_current(self, collection, id):  # type: ignore[no-untyped-def]
        found = await super().find_current(collection, id)
        if self.meddle and found is not None:
            self.meddle = False
            await self.delete(Write(collection, id))
            await self.create(Write(collection, id, "meddler"), found.body)
        return found


async def test_a_record_deleted_and_created_again_in_between_is_read_again(storage: Storage, runner: Runner) -> None:
    meddler = Meddler(runner, storage.grants)
    await storage.records.put(Write(COLLECTION, "a", ME), b"[1]")
    saved = await meddler.put(Write(COLLECTION, "a", ME, condition=Condition(match=frozenset({etag(b"[1]")}))), b"[2]")
    record = await storage.records.get(COLLECTION, "a")
    assert saved.version == 2
    assert record.creator == "meddler"  # the compare-and-set noticed that the record had changed


async def test_only_the_expected_keys_remain(storage: Storage, keyspace: Keyspace) -> None:
    for body in (b"[]", b"[1]"):
        await storage.records.put(Write(COLLECTION, "a", ME), body)
        assert keyspace.names() == {RECORD("a")} | INDEXES | REGISTRIES
    await storage.records.put(Write(COLLECTION, "a", ME, lifetime="+60000"), b"[]")
    assert keyspace.names() == {RECORD("a"), COLLECTION.expiry} | INDEXES | REGISTRIES
    await storage.records.put(Write(COLLECTION, "a", ME), b"[]")
    assert keyspace.names() == {RECORD("a")} | INDEXES | REGISTRIES


@pytest.mark.parametrize("length", [999, 1000, 1001, 20_000])
@pytest.mark.parametrize("lifetime", ["", "+60000"])
async def test_a_long_body_is_stored_like_a_short_one(
    storage: Storage, keyspace: Keyspace, length: int, lifetime: str
) -> None:
    """Header and body of a long record are written separately, also in place of a longer or a shorter record."""
    write = Write(COLLECTION, "a", ME, lifetime=lifetime)
    for version, size in enumerate((length, 30_000, length, 2, length), 1):
        body = b"x" * size
        saved = await storage.records.put(write, body)
        record = keyspace.record("a")
        assert (record.version, record.body, record.updated) == (version, body, saved.updated)
        assert keyspace.expires("a") == (saved.expires or -1)
        assert keyspace.command("STRLEN", RECORD("a")) == len(keyspace.header("a")) + size
