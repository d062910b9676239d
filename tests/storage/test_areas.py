"""Tests storage areas: updates, replaced and kept files, expiries, and readers during changes."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from service.storage import keys
from service.storage.errors import AlreadyExists, Invalid, NotFound, TooLarge
from service.storage.files.areas import Areas, Limits, Part
from service.storage.files.blobs import GRACE_MS
from service.storage.records.write import Write
from service.storage.root import Storage
from service.storage.scripts.runner import BULK_AT_ONCE
from service.storage.scripts.turns import Turns
from tests.runners import Connect
from tests.running import soon, while_it_lives
from tests.servers import RedisProcess
from tests.storage.keyspace import ME, Keyspace
from tests.storage.pieces import (
    AREA,
    CHUNK,
    HOUR,
    RECORD,
    ROOMY,
    blob_chunks,
    body_of,
    create,
    held,
    parts,
    pieces,
    replace,
    update,
)

LARGE = bytes(range(256)) * 4096  # 1 MiB: four chunks
PATIENT = 100.0  # seconds that a command waits, for a test that does not test deadlines and needs many commands
OTHER = LARGE[::-1] + b"!"


@pytest.fixture
def areas(storage: Storage) -> Areas:
    return storage.areas


@pytest.mark.parametrize("size", [0, 1, 8192, 8193, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK, 10 * 1024 * 1024])
@pytest.mark.parametrize("piece", [65_536, 300_001])
async def test_a_body_of_any_size_comes_back_byte_for_byte(areas: Areas, size: int, piece: int) -> None:
    body = (b"0123456789abcdef!" * (size // 17 + 1))[:size]

    async def arriving() -> AsyncIterator[Part]:
        yield Part("file", pieces(body, piece), "application/pdf", "a.pdf")

    await areas.create(Write(AREA, caller=ME), arriving(), HOUR, ROOMY)
    area = await areas.find_first([AREA])
    value = area.value("file")
    assert (value.size, value.type, value.filename) == (size, "application/pdf", "a.pdf")
    assert await body_of(areas, area, "file") == body


async def test_a_thousand_values_come_back_in_their_order_from_few_chunks(areas: Areas, keyspace: Keyspace) -> None:
    given = [(f"key {n}", b"%d" % n * 300) for n in range(1000)]
    await create(areas, *given)
    assert list((await held(areas)).items()) == given
    assert len(blob_chunks(keyspace)) < 10


async def test_an_update_adds_and_replaces_keys_and_keeps_the_others(areas: Areas) -> None:
    await create(areas, ("a", b"1"), ("b", b"2"), ("file", LARGE))
    await update(areas, ("b", b"3"), ("c", b"4"))
    assert await held(areas) == {"a": b"1", "file": LARGE, "b": b"3", "c": b"4"}
    await update(areas, ("file", OTHER))
    assert (await held(areas))["file"] == OTHER


async def test_the_last_of_repeated_keys_counts_and_nothing_of_the_first_remains(
    areas: Areas, keyspace: Keyspace
) -> None:
    await create(areas, ("file", OTHER), ("file", LARGE), ("a", b"1"), ("a", b"2"))
    assert await held(areas) == {"file": LARGE, "a": b"2"}
    assert len(blob_chunks(keyspace)) == 4
    assert blob_chunks(keyspace, let_go=True) == set()


async def test_replaced_chunks_expire_soon(areas: Areas, keyspace: Keyspace) -> None:
    await create(areas, ("file", LARGE), ("other", LARGE))
    before = blob_chunks(keyspace)
    await update(areas, ("file", b"short"))
    assert len(blob_chunks(keyspace) & before) == 4
    gone = blob_chunks(keyspace, let_go=True)
    assert len(gone) == 4
    assert all(int(keyspace.command("PTTL", name)) <= GRACE_MS for name in gone)
    await replace(areas, ("new", OTHER))
    assert await held(areas) == {"new": OTHER}
    assert blob_chunks(keyspace).isdisjoint(before)
    await areas.delete([AREA])
    assert blob_chunks(keyspace) == set()


async def test_a_reader_can_finish_a_file_that_is_replaced_or_deleted(areas: Areas) -> None:
    await create(areas, ("file", LARGE))
    area = await areas.find_first([AREA])
    reading = areas.read(area, area.value("file"))
    read = [await anext(reading)]
    await update(areas, ("file", OTHER))
    read.append(await anext(reading))
    await areas.delete([AREA])
    read += [piece async for piece in reading]
    assert b"".join(read) == LARGE


async def test_each_key_has_its_own_expiry_and_the_area_the_latest(areas: Areas, keyspace: Keyspace) -> None:
    async def lives(seconds: float) -> None:
        keyspace.command("FLUSHALL")
        ms = round(seconds * 1000)
        await create(areas, ("short", b"1"), ms=ms)
        await update(areas, ("long", LARGE), ms=HOUR)
        await update(areas, ("also short", OTHER), ms=ms)
        assert set(await held(areas)) == {"short", "long", "also short"}

    await while_it_lives(0.3, lives)
    expires = int(keyspace.command("PTTL", RECORD))
    assert HOUR - 60_000 < expires <= HOUR

    async def alone() -> bool:
        return set(await held(areas)) == {"long"}

    await soon(alone)
    assert await held(areas) == {"long": LARGE}
    await update(areas, ("new", b"2"), ms=300)
    assert int(keyspace.command("PTTL", RECORD)) > HOUR - 60_000
    assert len(blob_chunks(keyspace)) == 4


async def test_an_area_expires_with_its_last_key(areas: Areas, keyspace: Keyspace) -> None:
    await create(areas, ("a", b"1"), ms=50)
    await asyncio.sleep(0.1)
    with pytest.raises(NotFound):
        await areas.find_first([AREA])
    with pytest.raises(NotFound):
        await update(areas, ("b", b"1"))
    with pytest.raises(NotFound):
        await areas.delete([AREA])
    assert keyspace.names() == set()


async def test_an_area_without_keys_exists(areas: Areas, keyspace: Keyspace) -> None:
    await create(areas)
    assert await held(areas) == {}
    await update(areas, ms=100_000)
    assert int(keyspace.command("PTTL", RECORD)) <= 100_000
    await update(areas, ("a", b"1"))
    await update(areas, ms=100)
    assert int(keyspace.command("PTTL", RECORD)) > 100_000


async def test_an_area_with_long_names_stores_its_manifest_in_a_blob(areas: Areas, keyspace: Keyspace) -> None:
    given = [("x" * 500 + str(n), b"1") for n in range(200)]
    await create(areas, *given, ms=1000)
    assert int(keyspace.command("STRLEN", RECORD)) < 1000
    await update(areas, ("late", b"2"), ms=HOUR)
    assert await held(areas) == {**dict(given), "late": b"2"}
    await update(areas, ("early", b"3"), ms=1000)  # the blob of the names must outlive the names that it brings
    (left,) = {int(keyspace.command("PTTL", name)) for name in blob_chunks(keyspace)}
    assert left > HOUR - 60_000


async def test_the_first_collection_that_has_the_area_counts(areas: Areas) -> None:
    mine = keys.collection("genesys", "me", "an id", "")
    with pytest.raises(NotFound):
        await areas.find_first([mine, AREA])
    for n, collection in enumerate((AREA, mine)):
        await areas.create(Write(collection, caller=ME), parts(("a", b"%d" % n)), HOUR, ROOMY)
        assert (await areas.find_first([mine, AREA])).value("a").body == b"%d" % n
    await areas.update([mine, AREA], parts(("b", b"2")), HOUR, ME, ROOMY)
    await areas.delete([mine, AREA])
    assert await held(areas) == {"a": b"0"}


async def test_creating_an_existing_area_is_refused_and_leaves_no_chunk(areas: Areas, keyspace: Keyspace) -> None:
    await create(areas, ("a", b"1"))
    names = keyspace.names()
    with pytest.raises(AlreadyExists):
        await create(areas, ("file", LARGE))
    assert keyspace.names() == names


@pytest.mark.parametrize("limits", [Limits(2, 1000), Limits(9, 2)])
async def test_an_update_beyond_the_limit_of_an_area_is_refused_and_changes_nothing(
    areas: Areas, keyspace: Keyspace, limits: Limits
) -> None:
    await create(areas, ("a", b"1"), ("b", b"2"))
    await areas.update([AREA], parts(("a", b"3")), HOUR, ME, limits)
    names = keyspace.names()
    with pytest.raises(TooLarge):
        await areas.update([AREA], parts(("c", LARGE)), HOUR, ME, limits)
    assert await held(areas) == {"a": b"3", "b": b"2"}
    assert keyspace.names() == names


async def test_an_interrupted_sender_leaves_no_chunk(areas: Areas, keyspace: Keyspace) -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield LARGE
        raise Invalid("the body ends too early")

    async def arriving() -> AsyncIterator[Part]:
        yield Part("whole", pieces(LARGE))
        yield Part("half", broken())

    await create(areas, ("a", b"1"))
    names = keyspace.names()
    for act in (
        areas.update([AREA], arriving(), HOUR, ME, ROOMY),
        areas.replace(Write(AREA, caller=ME), arriving(), HOUR, ROOMY),
    ):
        with pytest.raises(Invalid):
            await act
        assert keyspace.names() == names
    assert await held(areas) == {"a": b"1"}


async def test_none_of_many_concurrent_updates_is_lost(
    areas: Areas, connect: Connect, redis: RedisProcess, keyspace: Keyspace
) -> None:
    runner = await connect(redis, timeout=PATIENT)
    runner._turns = Turns(BULK_AT_ONCE, PATIENT)
    others = [Areas(runner) for _ in range(4)]  # as many workers
    await create(areas)
    await asyncio.gather(*(update(others[n % 4], (f"k{n}", b"%d" % n), ("file", LARGE)) for n in range(40)))
    found = await held(areas)
    assert found.pop("file") == LARGE
    assert found == {f"k{n}": b"%d" % n for n in range(40)}
    assert len(blob_chunks(keyspace)) == 4


async def test_a_reader_during_a_replacement_sees_the_whole_old_or_new_area(areas: Areas) -> None:
    states = [{"a": b"%d" % n, f"only {n}": b"1", "file": bytes([n]) * (CHUNK + n)} for n in range(2)]

    async def write() -> None:
        for n in range(30):
            await replace(areas, *states[n % 2].items())

    await replace(areas, *states[1].items())
    writing = asyncio.create_task(write())
    seen = 0
    while not writing.done():
        assert await held(areas) in states
        seen += 1
    await writing
    assert seen > 3
