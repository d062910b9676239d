"""Tests imports of journals that contradict themselves or the existing data."""

import asyncio
import sys
import time
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Any

import pytest
from msgpack import packb

from service.storage import keys
from service.storage.errors import Trimmed, UnknownCursor
from service.storage.journal.retention import Retention
from service.storage.records.write import Write
from service.storage.root import Storage
from service.transfer.archive import Damaged
from service.transfer.checking import AHEAD, LARGEST
from service.transfer.commands import import_
from tests.lengths import either
from tests.runners import Connect
from tests.running import soon
from tests.servers import RedisProcess
from tests.transfer.stores import contents
from tests.transfer.test_archive import behind, beside, found, signed

DIALECTS = {"ainoflow"}
ORDERS = keys.collection("ainoflow", "acme", "orders", "cusn")
LATER = int(time.time() + 86_400) * 1000  # ms: behind all entries that Redis makes
TOO_LATE = int(time.time() + 1_000_000 + AHEAD) * 1000
WEIGHT = 67


def entry(cursor: str, *header: Any, text: str = "{}", total: int = WEIGHT) -> bytes:
    """Return an entry with this header, or with the usual one."""
    packed: bytes = packb([*header] or ["k", "put", 1, "", "", 1, 2])
    return beside("change", cursor=cursor, header=packed, total=total, text=text)


def state(bytes: int = WEIGHT * 4, **fields: str) -> bytes:
    return beside("journal", bytes=bytes, state=fields)


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ([state(), entry("0-0")], "`cursor`"),
        ([state(), entry("01-1")], "`cursor`"),
        ([state(trimmed="0-0")], "`state` is not that of a journal"),
        ([state(trimmed="1-01")], "`state` is not that of a journal"),
        ([state(), entry("2-1"), entry("1-9")], "`cursor` must be higher than 2-1"),
        ([state(), entry("2-1"), entry("2-1")], "`cursor` must be higher than 2-1"),
        ([state(), entry("10-1"), entry("9-1")], "`cursor` must be higher than 10-1"),
        ([state(trimmed="5-1"), entry("5-1")], "`cursor` must be higher than 5-1"),
        ([state(trimmed="50-1"), state(trimmed="6-1"), entry("7-1")], "`cursor` must be higher than 50-1"),
        ([state(), entry("1-1"), entry(f"{TOO_LATE}-0")], "`cursor` must be at most .* ten years from now"),
        ([state(trimmed=f"{TOO_LATE}-0")], "`trimmed` must be at most .* ten years from now"),
        ([state(), entry(f"1-{LARGEST + 1}")], "`cursor` must be at most"),
        ([state(trimmed=f"1-{LARGEST + 1}")], "`trimmed` must be at most"),
        ([state(limits="10 9999999999")], "`state` is not that of a journal"),
        ([beside("journal", bytes=99, state={":k": "1000000000000000 ab"})], "`state` is not that of a journal"),
        (
            [beside("journal", bytes=99, state={f":{number}": "1 ab" for number in range(10_001)})],
            "`state` must have at most 10000 fields",
        ),
        ([state(), entry("1-1", "k", "put", 1, "a\r\nX: b", "", 1, 2)], "`header` is not that of a change"),
        ([state(), entry("1-1", "k", "put", 1, "", "", 1, 3)], "`header` must have the size of the value, 2"),
        ([state(), entry("1-1", "k", "delete", 1, "", "", 1, 2)], "a delete or expire must have no value"),
    ],
)
def test_a_contradictory_journal_is_refused_with_a_message(lines: list[bytes], said: str) -> None:
    with pytest.raises(Damaged, match=said):
        found(behind(*lines))


def test_a_journal_without_its_namespace_is_refused() -> None:
    """The collection would not be registered, so that no export and no check would find its journal."""
    with pytest.raises(Damaged, match="must come after the `namespace`"):
        found(signed(state().splitlines()[1]))
    assert len(found(behind(state(), entry("1-1"), entry(f"{LATER}-{LARGEST}")))) == 4
    assert len(found(behind(state(), entry("1-1"), entry("1-2"), entry("2-0")))) == 5


async def entered(target: RedisProcess, tmp_path: Path, *lines: bytes) -> int:
    (tmp_path / "in.ndjson").write_bytes(behind(*lines))
    return await import_(target.url, str(tmp_path / "in.ndjson"), DIALECTS, quiet=True)


async def followed(storage: Storage, after: str | None) -> list[str]:
    """Return the cursors of a reader that reads one change at a time."""
    cursors = []
    while (page := await storage.journal.read(ORDERS, after, 1)).changes:
        cursors += [each.cursor for each in page.changes]
        after = page.next
    return cursors


async def test_readers_of_an_existing_journal_continue_after_an_import(
    target: RedisProcess, connect: Connect, tmp_path: Path
) -> None:
    storage = Storage(await connect(target))
    for _ in range(3):
        await storage.records.put(Write(ORDERS, "k", "me", journal=Retention()), b"{}")
    here = await followed(storage, None)
    assert await entered(target, tmp_path, state(trimmed=f"{LATER}-1"), entry(f"{LATER}-2")) == 0
    assert await followed(storage, None) == [*here, f"{LATER}-2"]
    assert await followed(storage, here[0]) == [*here[1:], f"{LATER}-2"]
    with pytest.raises(UnknownCursor):
        await storage.journal.read(ORDERS, f"{LATER}-1", 1)


@pytest.mark.parametrize("more", [[], [entry(f"{LATER}-2", total=2 * WEIGHT)]], ids=["all removed", "one left"])
async def test_changes_after_an_import_follow_all_entries_removed_elsewhere(
    target: RedisProcess, connect: Connect, tmp_path: Path, more: list[bytes]
) -> None:
    """The clock of the other server may have been ahead of the one here."""
    storage = Storage(await connect(target))
    begun = state(2 * WEIGHT, trimmed=f"{LATER}-1", freed=str(WEIGHT if more else 2 * WEIGHT))
    for _ in range(2):
        assert await entered(target, tmp_path, begun, *more) == 0
    await storage.records.put(Write(ORDERS, "k", "me", journal=Retention()), b"{}")
    assert len(await followed(storage, None)) == len(await followed(storage, f"{LATER}-1")) == len(more) + 1
    with pytest.raises(Trimmed):
        await storage.journal.read(ORDERS, "1-1", 1)


async def test_entries_without_a_value_are_entered(target: RedisProcess, connect: Connect, tmp_path: Path) -> None:
    storage = Storage(await connect(target))
    header = ("k", "delete", 1, "ab", "me", 1, 0)
    lines = [entry("1-1", total=WEIGHT), entry("1-2", *header, text="", total=2 * WEIGHT)]
    assert await entered(target, tmp_path, state(), *lines) == 0
    assert [each.operation for each in (await storage.journal.read(ORDERS, None, 9)).changes] == ["put", "delete"]


async def test_an_import_that_stops_at_any_line_and_is_repeated_ends_as_one_that_does_not_stop(
    target: RedisProcess, tmp_path: Path
) -> None:
    begun = state(9 * WEIGHT, trimmed="1-1", freed=str(4 * WEIGHT), limits="9 60")
    lines = [begun, *(entry(f"2-{number}", total=(4 + number) * WEIGHT) for number in range(1, 6))]
    assert await entered(target, tmp_path, *lines) == 0
    whole = contents(target)
    for stopped in range(1, len(lines) + 1):
        target.command("FLUSHALL")
        for _ in range(2):
            await entered(target, tmp_path, *lines[:stopped])
        assert await entered(target, tmp_path, *lines) == 0
        assert contents(target) == whole


async def test_a_collection_that_is_written_during_the_import_keeps_all_changes_in_order(
    target: RedisProcess, connect: Connect, tmp_path: Path
) -> None:
    """Entries whose cursors are not higher than those of the new changes are left out, and the import reports them."""
    storage = Storage(await connect(target))
    lines = [entry(f"1-{number}", total=(4 + number) * WEIGHT) for number in range(1, 500)]
    begun = state(600 * WEIGHT, trimmed="0-9", freed=str(4 * WEIGHT))
    versions = []

    async def write() -> None:
        for _ in range(20):
            await asyncio.sleep(0.002)
            versions.append((await storage.records.put(Write(ORDERS, "new", "me", journal=Retention()), b"{}")).version)

    status, _ = await asyncio.gather(entered(target, tmp_path, begun, *lines), write())
    page = await storage.journal.read(ORDERS, None, 1000)
    come = [each.cursor for each in page.changes if each.id == "k"]
    assert come == [f"1-{number}" for number in range(1, len(come) + 1)]
    assert [each.version for each in page.changes if each.id == "new"] == versions
    assert status == (0 if len(come) == len(lines) else 1)
    assert await followed(storage, None) == [each.cursor for each in page.changes]


async def test_an_import_that_is_killed_at_any_moment_and_repeated_ends_as_one_that_was_not(
    target: RedisProcess, tmp_path: Path
) -> None:
    begun = state(4000 * WEIGHT, trimmed="1-1", freed=str(1000 * WEIGHT), limits="9 60")
    lines = [begun, *(entry(f"2-{number}", total=(1000 + number) * WEIGHT) for number in range(1, 3000))]
    assert await entered(target, tmp_path, *lines) == 0
    whole = contents(target)
    random, killed = Random(7), 0

    async def begun_to_write() -> bool:
        return bool(target.command("DBSIZE"))

    for _ in range(either(1, 10)):
        target.command("FLUSHALL")
        for _ in range(3):
            command = [sys.executable, "-m", "service", "import", str(tmp_path / "in.ndjson"), "--quiet"]
            importing = await asyncio.create_subprocess_exec(*command, "--redis", target.url)
            await soon(begun_to_write)
            await asyncio.sleep(random.uniform(0, 0.1))
            with suppress(ProcessLookupError):
                importing.kill()
            killed += await importing.wait() != 0
        assert await import_(target.url, str(tmp_path / "in.ndjson"), DIALECTS, quiet=True) == 0
        assert contents(target) == whole
    assert killed
