"""Tests imports of random journals: each is refused before the first write, or leaves a journal that works."""

from pathlib import Path
from random import Random
from typing import Any

import pytest

from service.storage.fsck.journal import JournalCheck
from service.storage.journal.retention import Retention
from service.storage.records.write import Write
from service.storage.root import Storage
from tests.lengths import either
from tests.runners import Connect
from tests.servers import RedisProcess
from tests.transfer.stores import contents
from tests.transfer.test_hostile_journals import ORDERS, entered, entry, followed, state

NUMBERS = (0, 1, 2, 9, 66, 67, 68, 1000, (1 << 52) - 1, 1 << 52, (1 << 53) - 1, 10**15 - 1, 10**15)
ETAGS = ("", "ab", "0" * 32, "x", "a\nb")


def cursor(random: Random) -> str:
    return f"{random.choice(NUMBERS)}-{random.choice(NUMBERS)}"


def header(random: Random) -> list[Any]:
    operation = random.choice(["create", "put", "patch", "delete", "expire", "nonsense"][: random.choice([3, 5, 6])])
    size = random.choice([2, 2, 2, 0, *NUMBERS])
    return [random.choice(["k", "", "ü"]), operation, random.choice(NUMBERS), random.choice(ETAGS), "me", 1, size]


def journal(random: Random) -> list[bytes]:
    """A valid journal of which random members are changed."""
    fields = {}
    if random.random() < 0.5:
        fields["trimmed"] = cursor(random)
    if random.random() < 0.5:
        fields["limits"] = f"{random.choice(NUMBERS)} {random.choice(NUMBERS)}"
    if random.random() < 0.5:
        fields["freed"] = str(random.choice(NUMBERS))
    most = random.choice([1 << 52, 1 << 52, *NUMBERS])
    cursors = [cursor(random) for _ in range(random.randint(0, 5))]
    if random.random() < 0.7:
        cursors = sorted({*cursors}, key=lambda each: [*map(int, each.split("-"))])
    lines = [state(most, **fields)]
    for each in cursors:
        lines.append(
            entry(each, *header(random), total=random.choice([67, 68, 1000, most]))
            if random.random() < 0.3
            else entry(each, total=random.choice([67, 68, 1000, most]))
        )
    return lines


@pytest.mark.parametrize("before", [0, 2], ids=["empty", "written"])
async def test_a_random_journal_is_refused_completely_or_works(
    target: RedisProcess, connect: Connect, tmp_path: Path, before: int
) -> None:
    storage = Storage(runner := await connect(target))
    write = Write(ORDERS, "here", "me", journal=Retention())
    imported = 0
    for seed in range(either(300, 3000)):
        target.command("FLUSHALL")
        for _ in range(before):
            await storage.records.put(write, b"{}")
        was = contents(target)
        lines = journal(Random(seed))
        status = await entered(target, tmp_path, *lines)
        if contents(target) == was:
            continue
        imported += 1
        faults: list[str] = []
        await JournalCheck(runner, faults.append, repair=False).run(ORDERS)
        assert faults == [], seed
        there = await followed(storage, None)
        assert status == 1 or len(there) == before + len(lines) - 1, seed
        await storage.records.put(write, b"{}")
        after = await followed(storage, None)
        assert len(after) == len(there) + 1, seed
        assert await followed(storage, after[0]) == after[1:], seed
        await storage.records.sweep(ORDERS)
        await storage.journal.history(ORDERS, "here", None, 10)
    assert imported > 10
