"""Tests fsck on files: chunks that no record names, and records that name missing chunks."""

import asyncio
from collections.abc import Callable

import pytest

from service.storage.files.areas import Areas
from service.storage.files.attachments import Attachments
from service.storage.root import Storage
from service.storage.scripts.runner import Runner
from tests.servers import RedisProcess
from tests.storage.keyspace import Keyspace
from tests.storage.pieces import AREA, CHUNK, RECORD, blob_chunks, create, held, update
from tests.storage.test_attach import attach
from tests.storage.test_fsck import check

LARGE = b"x" * (2 * CHUNK)
Damage = Callable[[Keyspace, str], object]


@pytest.fixture
def areas(storage: Storage) -> Areas:
    return storage.areas


async def test_areas_and_files_without_writers_have_no_fault(areas: Areas, redis: RedisProcess) -> None:
    await create(areas, ("a", b"1"), ("file", LARGE))
    await update(areas, ("file", LARGE[::-1]), ("gone", LARGE), ms=100)
    await asyncio.sleep(0.15)  # a key that expired in an area that lives
    assert await check(redis) == (0, ["0 faults found"])
    assert await check(redis, repair=True) == (0, ["0 faults found"])


DAMAGE: dict[str, tuple[Damage, str]] = {
    "a chunk is lost": (lambda k, chunk: k.command("DEL", chunk), "lacks "),
    "a chunk never expires": (lambda k, chunk: k.command("PERSIST", chunk), "never expires"),
    "a chunk has no record": (lambda k, _: k.command("SET", AREA.chunk("0f", 0), "x"), "no record names it"),
    "a record is lost": (
        lambda k, chunk: [k.command("DEL", RECORD), k.command("PERSIST", chunk)],
        "no record names it",
    ),
}


@pytest.mark.parametrize(("damage", "said"), DAMAGE.values(), ids=DAMAGE)
async def test_damage_is_found_and_repaired(
    areas: Areas, redis: RedisProcess, keyspace: Keyspace, damage: Damage, said: str
) -> None:
    await create(areas, ("a", b"1"), ("file", LARGE))
    damage(keyspace, min(blob_chunks(keyspace)))
    status, out = await check(redis)
    assert status == 1
    assert said in out[0]
    assert await check(redis, repair=True) == (1, [out[0], "1 fault repaired"])
    assert await check(redis) == (0, ["0 faults found"])
    if int(keyspace.command("EXISTS", RECORD)):
        found = await held(areas)
        assert found.pop("a") == b"1"
        assert found in ({}, {"file": LARGE})


async def test_chunks_of_a_record_without_expiry_have_no_expiry(
    runner: Runner, redis: RedisProcess, keyspace: Keyspace
) -> None:
    await attach(Attachments(runner))
    assert await check(redis) == (0, ["0 faults found"])
    keyspace.command("EXPIRE", min(blob_chunks(keyspace)), 900)
    status, out = await check(redis, repair=True)
    assert (status, out[-1]) == (1, "1 fault repaired")
    assert "expires, and the record does not" in out[0]
    assert await check(redis) == (0, ["0 faults found"])


async def test_unreadable_data_is_reported_and_unchanged(redis: RedisProcess, keyspace: Keyspace) -> None:
    keyspace.command("SET", RECORD, b"\x01\x90nonsense")
    status, out = await check(redis, repair=True)
    assert status == 1
    assert "cannot be read" in out[0]
    assert int(keyspace.command("EXISTS", RECORD)) == 1


async def test_fsck_finds_no_fault_beside_writers(areas: Areas, redis: RedisProcess) -> None:
    stop = asyncio.Event()

    async def work() -> None:
        while not stop.is_set():
            await update(areas, ("file", LARGE))

    await create(areas)
    working = asyncio.create_task(work())
    for _ in range(3):
        assert await check(redis, repair=True) == (0, ["0 faults found"])
    stop.set()
    await working
