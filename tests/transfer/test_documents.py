"""Tests the transfer of documents: byte for byte, once, and never replacing an existing one without request."""

import asyncio
import json
import os
import subprocess
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Any

import pytest
from msgspec.structs import replace

from service.storage import keys
from service.storage.journal.retention import Retention
from service.storage.records.conditions import Condition
from service.storage.records.write import Write
from service.storage.root import Storage
from service.transfer.commands import REPLACE, SKIP, export, import_
from service.transfer.unlisted import Selection
from tests.runners import Connect
from tests.running import polystow
from tests.servers import RedisProcess
from tests.transfer.stores import contents

DIALECTS = {"ainoflow", "auravant", "avaamo", "genesys"}
ALL = Selection()
BODIES = (
    b"[]",
    b'{"a": 1.50, "b": [1e3, null]}',
    '{"name": "J\u00fcrgen", "mood": "\U0001f600"}'.encode(),
    b'"' + b"x" * 40_000 + b'"',
    ('"' + "\u00e4" * 400_000 + '"').encode(),
)
IDS = ("a", "\u00fc/:{}%", " ", "x" * 200, "\x00")


async def fill(storage: Storage) -> None:
    """Store documents of every kind, some of which have expired and are still in the indexes."""
    for project in ("acme", "\u00fcber:{x}"):
        for category in ("orders", "a/b"):
            place = keys.collection("ainoflow", project, category, "cusn")
            for number, (id, body) in enumerate(zip(IDS, BODIES, strict=True)):
                await storage.records.put(Write(place, id, f"author-{number}"), b"[0]")
                await storage.records.put(Write(place, id, f"editor-{number}"), body)
            await storage.records.put(Write(place, "later", lifetime="+86400000"), b"[1]")
            await storage.records.put(Write(place, "long and later", lifetime="+86400000"), BODIES[-1])
            await storage.records.put(Write(place, "gone", lifetime="+1"), b"[1]")
    kept = Write(keys.collection("ainoflow", "acme", "journaled", "cusn"), "a", "author", journal=Retention())
    for number in range(100):
        await storage.records.put(kept, b"[%d]" % number)
    await storage.records.put(replace(kept, id="later", lifetime="+86400000"), b"[1]")
    await storage.records.put(replace(kept, id="long"), BODIES[-1])
    await storage.records.delete(kept)


def alive(store: RedisProcess) -> dict[str, object]:
    """Return the contents of a store without index entries of documents that have expired, and without the indexes that
    are made for lists: an export makes that of ids.
    """
    return {
        key: ({id: score for id, score in held.items() if id != b"gone"} if isinstance(held, dict) else held, expires)
        for key, (held, expires) in contents(store).items()
        if not key.endswith(("r:gone", "}u", "}n"))
    }


def documents(file: str) -> list[Any]:
    """Return the documents of an export."""
    with open(file) as lines:
        return [said for line in lines if (said := json.loads(line))["type"] == "document"]


@pytest.mark.parametrize("name", ["all.ndjson", "all.ndjson.zst"])
async def test_everything_is_restored_byte_for_byte(
    storage: Storage, source: RedisProcess, target: RedisProcess, tmp_path: Path, name: str
) -> None:
    await fill(storage)
    file = str(tmp_path / name)
    assert await export(source.url, file, ALL, quiet=True) == 0
    assert os.listdir(tmp_path) == [name]
    assert await import_(target.url, file, DIALECTS, quiet=True) == 0
    assert alive(target) == alive(source)
    before = contents(target)
    assert await import_(target.url, file, DIALECTS, quiet=True) == 0  # a second time changes nothing
    assert contents(target) == before


async def test_an_export_of_the_import_is_the_same_file(
    storage: Storage, source: RedisProcess, target: RedisProcess, tmp_path: Path
) -> None:
    await fill(storage)
    first, second = tmp_path / "first.ndjson", tmp_path / "second.ndjson"
    await export(source.url, str(first), ALL, quiet=True)
    await import_(target.url, str(first), DIALECTS, quiet=True)
    await export(target.url, str(second), ALL, quiet=True)
    assert first.read_bytes() == second.read_bytes()
    assert first.stat().st_mode & 0o777 == 0o600


async def test_a_single_project_or_category_can_be_exported(
    storage: Storage, source: RedisProcess, target: RedisProcess, tmp_path: Path
) -> None:
    await fill(storage)
    file = str(tmp_path / "some.ndjson")
    chosen = Selection(namespaces=frozenset({"acme"}), collections=frozenset({"orders"}))
    await export(source.url, file, chosen, quiet=True)
    await import_(target.url, file, DIALECTS, quiet=True)
    assert {parsed[:3] for key in contents(target) if (parsed := keys.parse(key))} == {("ainoflow", "acme", "orders")}


@pytest.mark.parametrize(("on_conflict", "status"), [("fail", 1), (SKIP, 0), (REPLACE, 0)])
async def test_an_existing_other_document_stays_and_is_reported(
    storage: Storage,
    source: RedisProcess,
    target: RedisProcess,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    on_conflict: str,
    status: int,
) -> None:
    """The document is named and kept, or replaced. All others are written."""
    await fill(storage)
    file = str(tmp_path / "all.ndjson")
    await export(source.url, file, ALL, quiet=True)
    await import_(target.url, file, DIALECTS, quiet=True)
    wanted = contents(target)
    place = keys.collection("ainoflow", "acme", "orders", "cusn")
    target.command("DEL", place.record(IDS[1]))
    target.command("SET", place.record("a"), source.command("GET", place.record("later")))
    changed = target.command("GET", place.record("a"))
    assert await import_(target.url, file, DIALECTS, on_conflict, quiet=True) == status
    assert (target.command("GET", place.record("a")) == changed) == (on_conflict != REPLACE)
    assert target.command("GET", place.record(IDS[1])) is not None
    assert ("ainoflow acme/orders/a: " in capsys.readouterr().err) == (on_conflict != REPLACE)
    if on_conflict == REPLACE:
        assert contents(target) == wanted


async def test_a_damaged_file_is_refused_before_the_first_write(
    storage: Storage, source: RedisProcess, target: RedisProcess, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    await fill(storage)
    file = tmp_path / "all.ndjson"
    await export(source.url, str(file), ALL, quiet=True)
    whole = file.read_bytes()
    for damaged in (whole[:-10], whole[: len(whole) // 2], whole.replace(b"1.50", b"1.51", 1), b"no export"):
        file.write_bytes(damaged)
        assert await import_(target.url, str(file), DIALECTS, quiet=True) == 1
        assert capsys.readouterr().err.startswith(f"polystow: {file}: ")
        assert contents(target) == {}


async def test_a_stopped_import_can_be_repeated(
    storage: Storage, source: RedisProcess, target: RedisProcess, tmp_path: Path
) -> None:
    """The import is killed at any moment, several times. At the end each document exists once."""
    await fill(storage)
    place = keys.collection("ainoflow", "acme", "many", "cusn")
    for number in range(300):
        await storage.records.put(Write(place, f"k{number}"), b"[%d]" % number)
    file = str(tmp_path / "all.ndjson.zst")
    await export(source.url, file, ALL, quiet=True)
    chance = Random(7)

    command = ("import", file, "--quiet", "--redis", target.url)
    for _ in range(20):
        with suppress(subprocess.TimeoutExpired):
            polystow(*command, timeout=chance.uniform(0.02, 0.3))
    assert polystow(*command).returncode == 0
    left = {key: value for key, value in alive(target).items() if "}s:" not in key}
    assert left == alive(source)


async def test_the_versions_of_imported_documents_continue(
    storage: Storage, source: RedisProcess, target: RedisProcess, tmp_path: Path
) -> None:
    place = keys.collection("ainoflow", "acme", "orders", "cusn")
    for _ in range(3):
        await storage.records.put(Write(place, "a"), b"[]")
    etag = (await storage.records.get(place, "a")).etag
    file = str(tmp_path / "all.ndjson")
    await export(source.url, file, ALL, quiet=True)
    source.command("FLUSHALL")
    await import_(source.url, file, DIALECTS, quiet=True)
    saved = await storage.records.put(Write(place, "a", condition=Condition(match=frozenset({etag}))), b"[2]")
    assert saved.version == 4


async def test_an_export_beside_writers_has_each_record_as_it_was_at_one_moment(
    storage: Storage, source: RedisProcess, target: RedisProcess, tmp_path: Path
) -> None:
    """The export has every earlier document once, with the body of its version, and can be imported."""
    place = keys.collection("ainoflow", "acme", "orders", "cusn")
    ids = [f"k{number:04}" for number in range(2000)]
    for id in ids:
        await storage.records.put(Write(place, id), b"[1]")
    file = str(tmp_path / "all.ndjson")
    exporting = asyncio.create_task(export(source.url, file, ALL, quiet=True))
    version, chance = dict.fromkeys(ids, 1), Random(3)
    while not exporting.done():
        for id in chance.sample(ids, 20):
            version[id] += 1
            await storage.records.put(Write(place, id), b"[%d]" % version[id])
        await storage.records.put(Write(place, f"new-{chance.random()}"), b"[1]")
    assert await exporting == 0
    found = documents(file)
    assert [said["id"] for said in found if said["id"] in version] == ids
    assert all(json.loads(said["text"]) == [said["version"]] for said in found)
    assert await import_(target.url, file, DIALECTS, quiet=True) == 0


async def test_an_import_beside_writers_undoes_none_of_their_writes(
    storage: Storage, source: RedisProcess, target: RedisProcess, tmp_path: Path, connect: Connect
) -> None:
    """Each document is the writer's or the imported one, whole and indexed."""
    place = keys.collection("ainoflow", "acme", "orders", "cusn")
    ids = [f"k{number:04}" for number in range(2000)]
    for id in ids:
        await storage.records.put(Write(place, id), b"[1]")
    file = str(tmp_path / "all.ndjson")
    await export(source.url, file, ALL, quiet=True)
    there = Storage(await connect(target))
    importing = asyncio.create_task(import_(target.url, file, DIALECTS, SKIP, quiet=True))
    written: dict[str, int] = {}
    chance = Random(5)
    while not importing.done():
        id = chance.choice(ids)
        written[id] = (await there.records.put(Write(place, id), b"[2]")).version
    assert await importing == 0
    for id in ids:
        record = await there.records.get(place, id)
        assert (record.body, record.version) == ((b"[2]", written[id]) if id in written else (b"[1]", 1))
        assert await there.records.examine(place, id, repair=False) == []
