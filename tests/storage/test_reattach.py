"""Tests reattach: restores a record with files from an export."""

from collections.abc import AsyncIterator

import pytest

from service.storage import keys
from service.storage.errors import AlreadyExists, Changed
from service.storage.files.areas import Limits, Part, Value
from service.storage.files.blobs import CHUNK_BYTES, GRACE_MS, Span, Staging
from service.storage.files.transfer import Content, FileTransfer, Fill
from service.storage.fsck.blobs import BlobCheck
from service.storage.outcomes import Outcome
from service.storage.records.record import Record
from service.storage.records.write import Write
from service.storage.registry import stored_keys
from service.storage.root import Storage
from service.storage.scripts.runner import Runner
from tests.storage.keyspace import Keyspace

PLACE = keys.collection("genesys", "ann", "area", "")
FAR = 4_000_000_000_000  # ms: in the year 2096
BYTES = bytes(range(256)) * 1200
STATE = Record(7, 1_000_000, 2_000_001, FAR, "author", "editor", 0)
LIMITS = Limits(1000, 100_000_000)


def holding(body: bytes, expires: int = FAR) -> Fill:
    async def fill(staging: Staging) -> Content:
        kept = await staging.keep(body)
        return {"file": Value(expires, kept.body, "text/plain", "a.txt", kept.md5), "text": Value(expires, b"a text")}

    return fill


async def pieces(*parts: Part) -> AsyncIterator[Part]:
    for part in parts:
        yield part


async def faults(runner: Runner) -> list[str]:
    async def scan() -> AsyncIterator[str]:
        async for portion in stored_keys(runner):
            for key in portion:
                yield key

    found: list[str] = []
    await BlobCheck(runner, False, scan, found.append).run()
    return found


@pytest.fixture
def transfer(runner: Runner) -> FileTransfer:
    return FileTransfer(runner)


@pytest.mark.parametrize("body", [b"short", BYTES, BYTES * 10], ids=["short", "long", "longer"])
async def test_a_restored_area_is_unchanged(
    runner: Runner, transfer: FileTransfer, storage: Storage, body: bytes
) -> None:
    assert await transfer.restore(PLACE, "", STATE, holding(body), None) is Outcome.STORED
    area = await storage.areas.find_first([PLACE])
    assert b"".join([piece async for piece in storage.areas.read(area, area.values["file"])]) == body
    record = area.attached.record
    assert (record.version, record.created, record.updated, record.expires) == (7, 1_000_000, 2_000_001, FAR)
    assert (record.creator, record.updater, area.values["text"].body) == ("author", "editor", b"a text")
    assert await faults(runner) == []


async def test_an_existing_area_is_replaced_only_in_the_state_that_was_read(
    runner: Runner, transfer: FileTransfer, storage: Storage, keyspace: Keyspace
) -> None:
    await storage.areas.create(Write(PLACE), pieces(Part("k", BYTES, "a/b", "f")), 60_000, LIMITS)
    with pytest.raises(AlreadyExists):
        await transfer.restore(PLACE, "", STATE, holding(BYTES), None)
    found = await transfer.find(PLACE, "")
    assert found is not None
    await storage.areas.replace(Write(PLACE), pieces(Part("k", BYTES, "a/b", "f")), 60_000, LIMITS)
    with pytest.raises(Changed):
        await transfer.restore(PLACE, "", STATE, holding(BYTES), found[0])
    found = await transfer.find(PLACE, "")
    assert found is not None
    assert await transfer.restore(PLACE, "", STATE, holding(BYTES), found[0]) is Outcome.STORED
    assert await faults(runner) == []
    for chunk in found[0].chunks(PLACE):  # they expire when readers have had time to finish
        assert 0 < keyspace.command("PTTL", chunk) <= GRACE_MS


async def test_an_area_that_has_expired_is_not_stored(transfer: FileTransfer, keyspace: Keyspace) -> None:
    gone = Record(7, 1, 1, 1, "", "", 0)
    assert await transfer.restore(PLACE, "", gone, holding(BYTES, 1), None) is Outcome.EXPIRED
    assert await transfer.find(PLACE, "") is None
    assert all(keyspace.command("PTTL", name) > 0 for name in keyspace.names())


async def test_only_the_expected_keys_remain(transfer: FileTransfer, keyspace: Keyspace) -> None:
    await transfer.restore(PLACE, "", STATE, holding(BYTES), None)
    found = await transfer.find(PLACE, "")
    assert found is not None
    values = found[1]
    assert isinstance(values, dict)
    span = values["file"].body
    assert isinstance(span, Span)
    chunks = {PLACE.chunk(span.blob, number) for number in range(len(BYTES) // CHUNK_BYTES)}
    assert keyspace.names() == {PLACE.attachment(""), *chunks}
