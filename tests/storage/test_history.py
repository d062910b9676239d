"""Tests history: reads the journal entries of one record, newest first."""

import pytest

from service.storage.errors import Invalid
from service.storage.journal import journal as reading
from service.storage.journal.change import Change
from service.storage.root import Storage
from tests.storage.keyspace import COLLECTION, ME, Keyspace
from tests.storage.test_changes import JOURNAL, Author, author

__all__ = ["author"]
LONG = "é" * 200


async def pages(storage: Storage, id: str, limit: int) -> list[Change]:
    found: list[Change] = []
    before: str | None = None
    while True:
        page, before = await storage.journal.history(COLLECTION, id, before, limit)
        found += page
        if before is None:
            return found
        assert len(page) == limit


@pytest.mark.parametrize("scanned", [32, 64, reading.SCANNED])
async def test_the_history_of_a_record_comes_in_pages(
    storage: Storage, author: Author, scanned: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "SCANNED", scanned)
    for n in range(40):
        for id in ("a", "aa", LONG):
            await author.put(id, b"[%d]" % n)
    await storage.records.delete(author.write("a"))
    for limit in (1, 13, 40, 41, 1000):
        found = await pages(storage, "a", limit)
        assert [(each.operation, each.version) for each in found] == [
            ("delete", 40),
            *(("put", version) for version in range(40, 0, -1)),
        ]
        assert {each.value for each in found} == {None}
        assert {each.author for each in found} == {ME}
    assert len(await pages(storage, LONG, 7)) == 40
    assert await storage.journal.history(COLLECTION, "never", None, 5) == ([], None)


async def test_an_entry_of_a_history_has_its_value(storage: Storage, author: Author) -> None:
    for n in range(3):
        await author.put("a", b"[%d]" % n)
    cursors = [each.cursor for each in await author.all()]
    found = [await storage.journal.entry(COLLECTION, cursor) for cursor in cursors]
    assert [each and each.value for each in found] == [b"[0]", b"[1]", b"[2]"]
    assert await storage.journal.entry(COLLECTION, "1-1") is None
    for cursor in ("", "+", "-", "1"):
        with pytest.raises(Invalid):
            await storage.journal.entry(COLLECTION, cursor)
        with pytest.raises(Invalid):
            await storage.journal.history(COLLECTION, "a", cursor, 1)


async def test_a_journal_without_entries_has_no_history(storage: Storage) -> None:
    assert await storage.journal.history(COLLECTION, "a", None, 5) == ([], None)


async def test_only_the_expected_keys_remain(storage: Storage, author: Author, keyspace: Keyspace) -> None:
    await author.put("a")
    before = keyspace.names()
    await storage.journal.history(COLLECTION, "a", None, 5)
    assert keyspace.names() == before >= JOURNAL
