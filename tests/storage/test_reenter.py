"""Tests reenter: restores a journal entry from an export, with its cursor, after all existing entries."""

import pytest
from msgpack import packb

from service.storage.fsck.journal import JournalCheck
from service.storage.journal.change import weight
from service.storage.journal.retention import Retention
from service.storage.journal.transfer import Entry, JournalTransfer
from service.storage.outcomes import Outcome
from service.storage.records.write import Write
from service.storage.root import Storage
from service.storage.scripts.runner import Runner
from tests.storage.keyspace import COLLECTION, ME, Keyspace

WEIGHT = weight("k", "author", b"[]")
LATER = 8_000_000_000_000  # ms: behind all entries that Redis makes


@pytest.fixture
def transfer(runner: Runner) -> JournalTransfer:
    return JournalTransfer(runner)


def entry(number: int, total: int, value: bytes = b"[]") -> Entry:
    return Entry(f"{LATER}-{number}", bytes(packb(["k", "put", number, "", "author", 1, 2])), total, value)


async def faults(runner: Runner) -> list[str]:
    found: list[str] = []
    await JournalCheck(runner, found.append, repair=False).run(COLLECTION)
    return found


async def totals(transfer: JournalTransfer) -> list[int]:
    most = await transfer.bytes(COLLECTION)
    assert most is not None
    return [one.total async for portion in transfer.walk(COLLECTION, most) for one in portion]


@pytest.mark.parametrize("freed", [0, 1000])
async def test_a_restored_journal_has_the_same_totals(transfer: JournalTransfer, runner: Runner, freed: int) -> None:
    entries = [entry(number, freed + number * WEIGHT) for number in (1, 2, 3)]
    assert await transfer.restore_many(COLLECTION, entries) == [Outcome.STORED] * 3
    assert await transfer.restore_many(COLLECTION, entries) == [Outcome.PRESENT] * 3
    assert await totals(transfer) == [one.total for one in entries]
    assert await faults(runner) == []


@pytest.mark.parametrize("before", [WEIGHT, 1_000_000], ids=["lower", "higher"])
async def test_totals_continue_after_existing_entries(
    transfer: JournalTransfer, storage: Storage, runner: Runner, before: int
) -> None:
    """The imported entries count fewer or more bytes than the existing ones."""
    write = Write(COLLECTION, "here", ME, journal=Retention())
    for _ in range(3):
        await storage.records.put(write, b"[]")
    come = [entry(number, before + number * WEIGHT) for number in (1, 2)]
    assert await transfer.restore_many(COLLECTION, come) == [Outcome.STORED] * 2
    assert await transfer.restore_many(COLLECTION, come) == [Outcome.PRESENT] * 2
    here = weight("here", ME, b"[]")
    assert await totals(transfer) == [here, 2 * here, 3 * here, 3 * here + WEIGHT, 3 * here + 2 * WEIGHT]
    assert await faults(runner) == []
    assert await transfer.restore_many(COLLECTION, [entry(1, before + WEIGHT, b"[1]")]) == [Outcome.DIFFERENT]
    await storage.records.put(write, b"[]")
    assert (await totals(transfer))[5:] == [4 * here + 2 * WEIGHT]


async def test_a_journal_whose_entries_were_all_removed_still_counts_them(
    transfer: JournalTransfer, runner: Runner
) -> None:
    await transfer.restore_state(COLLECTION, {"freed": "500", "trimmed": "7-1", "limits": "10 60"}, 500)
    await transfer.restore_state(COLLECTION, {"freed": "900", "trimmed": "9-1"}, 900)
    key = COLLECTION.journal_state
    found = await runner.command("HMGET", key, "bytes", "freed", "trimmed", "limits", key=key)
    assert found == [b"500", b"500", b"7-1", b"10 60"]


async def test_only_the_states_of_records_that_expire_are_restored(
    transfer: JournalTransfer, storage: Storage, runner: Runner
) -> None:
    """A record may have expired during the transfer. Then its state would never be removed."""
    await storage.records.put(Write(COLLECTION, "soon", ME, lifetime="+86400000"), b"[]")
    await storage.records.put(Write(COLLECTION, "stays", ME), b"[]")
    await transfer.restore_state(COLLECTION, {":soon": "1 ab", ":stays": "1 ab", ":gone": "1 ab"}, 0)
    key = COLLECTION.journal_state
    assert await runner.command("HKEYS", key, key=key) == [b":soon", b"bytes"]
    assert await faults(runner) == []


async def test_only_the_expected_keys_remain(transfer: JournalTransfer, keyspace: Keyspace) -> None:
    await transfer.restore_many(COLLECTION, [entry(1, WEIGHT)])
    assert keyspace.names() == {COLLECTION.journal, COLLECTION.journal_state}
