"""Tests restore: stores a record from an export with its version, times, expiry and callers."""

from typing import Any

import pytest

from service.storage.errors import AlreadyExists, Changed, OutcomeUnknown, Unavailable
from service.storage.journal.retention import Retention
from service.storage.outcomes import Outcome
from service.storage.records.conditions import NEW, exactly
from service.storage.records.record import Record
from service.storage.records.transfer import RecordTransfer, Restored
from service.storage.records.write import Write
from service.storage.root import Storage
from service.storage.scripts.bounds import INLINE_BYTES
from service.storage.scripts.runner import Runner
from tests.storage.keyspace import (
    COLLECTION,
    INDEXES,
    LIMIT,
    ME,
    RECORD,
    REGISTRIES,
    USAGE,
    Keyspace,
    listed_in_all_orders,
    numbered,
)

LONG = b"[" + b"1," * INLINE_BYTES + b"1]"
FAR = 4_000_000_000_000  # ms: in the year 2096


def record(body: bytes = b"[]", version: int = 7, expires: int = 0) -> Record:
    return Record(version, 1_000_000, 2_000_001, expires, "author", ME, len(body), body)


@pytest.fixture
def transfer(runner: Runner, storage: Storage) -> RecordTransfer:
    return RecordTransfer(runner, storage.records)


async def restore(transfer: RecordTransfer, *records: Record, replace: bool = False) -> list[Outcome]:
    wanted = [Restored(COLLECTION, f"k{number}", record) for number, record in enumerate(records)]
    return await transfer.restore_many(wanted, replace=replace)


@pytest.mark.parametrize("body", [b'{"a": 1.50}', LONG, b"\xff"], ids=["short", "long", "not UTF-8"])
@pytest.mark.parametrize("expires", [0, FAR])
async def test_a_restored_record_is_unchanged(
    transfer: RecordTransfer, storage: Storage, keyspace: Keyspace, body: bytes, expires: int
) -> None:
    wanted = record(body, expires=expires)
    assert await restore(transfer, wanted) == [Outcome.STORED]
    assert await storage.records.get(COLLECTION, "k0") == wanted
    assert keyspace.expires("k0") == (expires or -1)
    await listed_in_all_orders(storage)
    indexed = {"c": 1_000_000, "u": 2_000_001, "s": len(body), "n": 0} | ({"x": expires} if expires else {})
    assert keyspace.indexes() == {letter: {"k0": score} for letter, score in indexed.items()}
    assert await storage.records.examine(COLLECTION, "k0", repair=False) == []


@pytest.mark.parametrize("body", [b"[]", LONG], ids=["short", "long"])
async def test_a_second_restore_changes_nothing(transfer: RecordTransfer, keyspace: Keyspace, body: bytes) -> None:
    await restore(transfer, record(body, expires=FAR))
    before = keyspace.command("DUMP", RECORD("k0"))
    for replace in (False, True):
        assert await restore(transfer, record(body, expires=FAR), replace=replace) == [Outcome.PRESENT]
    assert keyspace.command("DUMP", RECORD("k0")) == before


@pytest.mark.parametrize("body", [b"[2]", LONG], ids=["short", "long"])
async def test_another_existing_record_stays_or_is_replaced(
    transfer: RecordTransfer, storage: Storage, keyspace: Keyspace, body: bytes
) -> None:
    await storage.records.put(Write(COLLECTION, "k0", ME, lifetime="+60000"), b"[]")
    there = await storage.records.get(COLLECTION, "k0")
    assert await restore(transfer, record(body), record(body)) == [Outcome.DIFFERENT, Outcome.STORED]
    assert await storage.records.get(COLLECTION, "k0") == there
    assert await restore(transfer, record(body), replace=True) == [Outcome.STORED]
    assert await storage.records.get(COLLECTION, "k0") == record(body)
    assert "x" not in keyspace.indexes()
    assert await storage.records.examine(COLLECTION, "k0", repair=False) == []


async def test_a_record_that_has_expired_is_not_stored(transfer: RecordTransfer, keyspace: Keyspace) -> None:
    assert await restore(transfer, record(expires=1), record(LONG, expires=1)) == [Outcome.EXPIRED, Outcome.EXPIRED]
    assert keyspace.names() == REGISTRIES


async def test_an_expired_record_with_the_same_id_leaves_the_indexes(
    transfer: RecordTransfer, storage: Storage, keyspace: Keyspace
) -> None:
    saved = await storage.records.put(Write(COLLECTION, "k0", ME, lifetime="+20"), b"[1, 2, 3]")
    keyspace.wait_past(saved.expires)
    keyspace.command("SET", USAGE, "1 9", "PX", 60_000)
    keyspace.plant("k0", u=saved.updated, n=0)
    keyspace.plant("other", c=1, u=1, s=1, n=0)
    assert await restore(transfer, record()) == [Outcome.STORED]
    kept = {letter: scores.pop("k0") for letter, scores in keyspace.indexes().items()}
    assert kept == {"c": 1_000_000, "u": 2_000_001, "s": 2, "n": 0}
    assert keyspace.command("GET", USAGE) == b"1 2"


async def test_a_condition_that_does_not_hold_is_refused(transfer: RecordTransfer, storage: Storage) -> None:
    saved = await storage.records.put(Write(COLLECTION, "k0", ME), b"[]")
    wanted = Restored(COLLECTION, "k0", record())
    with pytest.raises(AlreadyExists):
        await transfer.restore(wanted, "", NEW)
    await storage.records.put(Write(COLLECTION, "k0", ME), b"[]")
    with pytest.raises(Changed):
        await transfer.restore(wanted, "", exactly(saved))


async def test_the_versions_of_a_restored_record_continue(transfer: RecordTransfer, storage: Storage) -> None:
    await restore(transfer, record())
    saved = await storage.records.put(Write(COLLECTION, "k0", "another"), b"[2]")
    after = await storage.records.get(COLLECTION, "k0")
    assert (saved.version, saved.created, after.creator, after.updater) == (8, 1_000_000, "author", "another")


async def test_a_walk_visits_every_record_in_the_order_of_ids(transfer: RecordTransfer) -> None:
    wanted = {f"k{number:04}": b"%d" % number for number in range(2500)}
    await transfer.restore_many([Restored(COLLECTION, id, record(body)) for id, body in wanted.items()], replace=False)
    found = [(id, one.body) async for portion in transfer.walk(COLLECTION) for id, one in portion]
    assert found == sorted(wanted.items())
    later = [one.body async for portion in transfer.walk(COLLECTION, "k2497") for _, one in portion]
    assert later == [b"2498", b"2499"]


async def test_a_record_that_is_created_again_beside_a_walk_is_read_once(
    transfer: RecordTransfer, storage: Storage
) -> None:
    for id in (names := numbered(1000)):
        await storage.records.put(Write(COLLECTION, id, ME), b"[1]")
    found = list[str]()
    async for portion in transfer.walk(COLLECTION):
        for id, _ in portion[::7]:
            await storage.records.delete(Write(COLLECTION, id))
            await storage.records.create(Write(COLLECTION, id, ME), b"[2]")
        found += [id for id, _ in portion]
    assert found == names


async def test_a_walk_without_memory_for_an_index_follows_creations(
    transfer: RecordTransfer, storage: Storage, keyspace: Keyspace
) -> None:
    for id in (names := numbered(450)[::-1]):
        await storage.records.put(Write(COLLECTION, id, ME), b"[1]")
    keyspace.command("CONFIG", "SET", "maxmemory", 1)
    try:
        found = [id async for portion in transfer.walk(COLLECTION) for id, _ in portion]
        with pytest.raises(Unavailable):  # a migration that goes on behind a name must keep the order of names
            [_ async for _ in transfer.walk(COLLECTION, "")]
    finally:
        keyspace.command("CONFIG", "SET", "maxmemory", 0)
    assert found == names
    assert set(keyspace.indexes()) == {"c", "s"}


async def test_a_walk_whose_index_cannot_be_made_for_another_reason_fails(
    transfer: RecordTransfer, storage: Storage, runner: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the order of creations, a document that is created again would be read twice."""
    await storage.records.put(Write(COLLECTION, "a", ME), b"[1]")
    run = runner.run

    def unanswered(script: str, *arguments: Any, **more: Any) -> Any:
        if script == "fill_index":
            raise OutcomeUnknown("no answer")
        return run(script, *arguments, **more)

    monkeypatch.setattr(runner, "run", unanswered)
    with pytest.raises(Unavailable):
        [_ async for _ in transfer.walk(COLLECTION)]


async def test_a_check_finds_a_wrong_entry(transfer: RecordTransfer, keyspace: Keyspace) -> None:
    wanted = [Restored(COLLECTION, "k0", record()), Restored(COLLECTION, "k1", record(expires=FAR))]
    await transfer.restore_many(wanted, replace=False)
    keyspace.command("CONFIG", "RESETSTAT")
    assert await transfer.check(wanted) == []
    assert "cmdstat_fcall" not in keyspace.command("INFO", "commandstats")  # only what differs is looked at by a script
    keyspace.plant("k0", u=5)
    keyspace.command("ZREM", COLLECTION.expiry, "k1")
    assert await transfer.check(wanted) == [f"{RECORD('k0')}: index u: wrong", f"{RECORD('k1')}: expiry: missing"]


async def test_only_the_expected_keys_remain(transfer: RecordTransfer, keyspace: Keyspace) -> None:
    await restore(transfer, record(), record(b"[" + b"1," * (LIMIT // 2 - 1) + b"1]"))
    assert keyspace.names() == {RECORD("k0"), RECORD("k1")} | INDEXES | REGISTRIES


async def test_a_restore_is_not_a_change_in_the_journal(transfer: RecordTransfer, storage: Storage) -> None:
    """Followers of the collection must copy it again (docs/journal.md); later changes reach them."""
    write = Write(COLLECTION, "k0", ME, journal=Retention())
    await storage.records.put(write, b"[0]")
    before = await storage.journal.read(COLLECTION, None, 10)
    assert await restore(transfer, record(b"[1]"), record(b"[2]"), replace=True) == [Outcome.STORED] * 2
    assert await storage.journal.read(COLLECTION, None, 10) == before
    await storage.records.put(write, b"[3]")
    assert [one.version for one in (await storage.journal.read(COLLECTION, None, 10)).changes] == [1, 8]
