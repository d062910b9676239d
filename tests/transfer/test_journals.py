"""Tests the byte counts of a journal that is exported beside writers, and imports of journals with wrong counts."""

from io import BytesIO
from pathlib import Path

import pytest

from service.storage import keys
from service.storage.journal.retention import Retention
from service.storage.journal.transfer import JournalTransfer
from service.storage.keys import Collection
from service.storage.records.write import Write
from service.storage.root import Storage
from service.transfer.archive import Writer, read
from service.transfer.checking import Checked
from service.transfer.commands import import_
from service.transfer.journals import export_journal
from service.transfer.lines import ChangeLine, JournalLine, Namespace
from tests.runners import Connect
from tests.servers import RedisProcess
from tests.transfer.stores import contents
from tests.transfer.test_archive import behind, entry, state

DIALECTS = {"ainoflow"}
SHORT = Write(keys.collection("ainoflow", "acme", "short", "cusn"), "a", "author", journal=Retention(entries=10))
WEIGHT = 64 + len("a") + len("author") + len("[0]")


async def written(storage: Storage, count: int) -> None:
    """Write a document a number of times, and trim the journal to its limit."""
    for _ in range(count):
        await storage.records.put(SHORT, b"[0]")
    await storage.records.sweep(SHORT.collection)


@pytest.mark.parametrize("more", [0, 5, 50])
async def test_an_export_beside_writers_counts_the_bytes_of_its_entries(
    storage: Storage, source: RedisProcess, connect: Connect, more: int
) -> None:
    """The journal is written, and trimmed, after its bytes were read."""

    class Raced(JournalTransfer):
        async def bytes(self, collection: Collection) -> int | None:
            found = await super().bytes(collection)
            await written(storage, more)
            return found

    await written(storage, 20)
    out = BytesIO()
    writer = Writer(out, compress=False)
    writer.write("ainoflow", [Namespace("ainoflow", "acme", "cusn")])
    await export_journal(Raced(await connect(source)), SHORT.collection, writer.write)
    writer.end()
    lines = [*Checked(read(BytesIO(out.getvalue())), DIALECTS)]
    states = [line for line in lines if isinstance(line, JournalLine)]
    counted = states[0].bytes - max(int(line.state.get("freed", 0)) for line in states)
    assert counted == WEIGHT * sum(isinstance(line, ChangeLine) for line in lines) == WEIGHT * max(0, 10 - more)


@pytest.mark.parametrize(
    ("file", "said"),
    [
        (behind(state((1 << 53) - 1), entry()), "line 3: `bytes` must be at most"),
        (behind(state(99, freed="100"), entry()), "line 3: `freed` must be at most"),
        (behind(state(99, freed="99"), entry(total=99)), "line 4: `total` must be from"),
    ],
    ids=["large", "freed", "total"],
)
async def test_an_import_refuses_wrong_counts_before_the_first_write(
    target: RedisProcess, tmp_path: Path, capsys: pytest.CaptureFixture[str], file: bytes, said: str
) -> None:
    (tmp_path / "hostile.ndjson").write_bytes(file)
    assert await import_(target.url, str(tmp_path / "hostile.ndjson"), DIALECTS, quiet=True) == 1
    assert said in capsys.readouterr().err
    assert contents(target) == {}
