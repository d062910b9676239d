"""Tests journal entries of an earlier version (fields h, t and v): they are read and removed like others."""

from itertools import accumulate

import pytest
from msgpack import packb

from service.storage.errors import Trimmed
from service.storage.fsck.journal import JournalCheck
from service.storage.journal.change import Change, weight
from service.storage.journal.transfer import JournalTransfer
from service.storage.outcomes import Outcome
from service.storage.root import Storage
from service.storage.scripts.runner import Runner
from tests.storage.keyspace import COLLECTION, ME, Keyspace
from tests.storage.test_changes import STATE, STREAM, Author, author

__all__ = ["author"]
TAG = "0123456789abcdef" * 2
FORMER = [
    Change("1700000001000-0", "create", "a", 1, TAG, ME, 5, 3, b"[1]"),
    Change("1700000001000-1", "put", "long" * 20, 7, TAG, ME, 6, 40_000),
    Change("1700000001001-0", "expire", "b", None, None, None, 7, None),
    Change("1700000001002-0", "delete", "a", 1, TAG, ME, 8, None),
]


@pytest.fixture
def former(keyspace: Keyspace) -> list[int]:
    """Write a journal like a former version. Return the totals of its entries."""
    weights = [weight(each.id, each.author or "", each.value or b"") for each in FORMER]
    totals = [*accumulate(weights)]
    for each, total in zip(FORMER, totals, strict=True):
        header = [
            each.id,
            each.operation,
            each.version or 0,
            each.etag or "",
            each.author or "",
            each.at,
            each.size or 0,
        ]
        value = each.value or b""
        keyspace.command("XADD", STREAM, each.cursor, "h", bytes(packb(header)), "t", total, "v", value)
    keyspace.command("HSET", STATE, "bytes", totals[-1], "limits", "10000 604800")
    return totals


async def faults(runner: Runner) -> list[str]:
    found: list[str] = []
    await JournalCheck(runner, found.append, repair=False).run(COLLECTION)
    return found


async def test_former_entries_are_read_before_those_of_this_version(
    former: list[int], storage: Storage, author: Author, runner: Runner
) -> None:
    assert former[0] == weight("a", ME, b"[1]")
    assert await author.all() == FORMER
    assert await faults(runner) == []
    await author.put("a", b"[2]")
    found = await author.all()
    assert found[:-1] == FORMER
    assert (found[-1].id, found[-1].version, found[-1].value) == ("a", 1, b"[2]")
    assert await faults(runner) == []
    assert await storage.journal.entry(COLLECTION, "1700000001000-0") == FORMER[0]
    history, _ = await storage.journal.history(COLLECTION, "a", None, 10)
    assert [(each.cursor, each.operation) for each in history] == [
        (found[-1].cursor, "put"),
        ("1700000001002-0", "delete"),
        ("1700000001000-0", "create"),
    ]


@pytest.mark.parametrize("kept", [1, 3])
async def test_former_entries_are_trimmed(
    former: list[int], kept: int, storage: Storage, author: Author, runner: Runner, keyspace: Keyspace
) -> None:
    """All former entries are removed, or those before the last two, so that the oldest one is of either version."""
    await author.put("a", b"[2]")
    keyspace.command("HSET", STATE, "limits", f"{kept} 315360000")  # too few, and none too old
    await storage.records.sweep(COLLECTION)
    assert await faults(runner) == []
    trimmed = len(FORMER) + 1 - kept
    cursor = FORMER[trimmed - 1].cursor
    assert keyspace.command("HMGET", STATE, "trimmed", "freed") == [cursor.encode(), b"%d" % former[trimmed - 1]]
    with pytest.raises(Trimmed):
        await storage.journal.read(COLLECTION, FORMER[0].cursor, 5)
    assert len((await storage.journal.read(COLLECTION, cursor, 5)).changes) == kept


async def test_former_entries_are_exported_and_restored(
    former: list[int], author: Author, runner: Runner, keyspace: Keyspace
) -> None:
    await author.put("a", b"[2]")
    found = await author.all()
    transfer = JournalTransfer(runner)
    most = await transfer.bytes(COLLECTION)
    assert most is not None
    entries = [entry async for portion in transfer.walk(COLLECTION, most) for entry in portion]
    assert [entry.total for entry in entries[:-1]] == former
    assert await transfer.restore_many(COLLECTION, entries) == [Outcome.PRESENT] * len(entries)
    keyspace.command("DEL", STREAM, STATE)
    assert await transfer.restore_many(COLLECTION, entries) == [Outcome.STORED] * len(entries)
    assert await author.all() == found
    assert await faults(runner) == []
