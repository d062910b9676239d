"""Tests that no script blocks Redis for more than 5 ms, whatever its arguments are."""

import json
from collections.abc import Awaitable
from typing import Any

import pytest

from service.storage.journal.retention import Retention
from service.storage.records.records import SWEEP_MEMBERS
from service.storage.records.write import Write
from service.storage.root import Storage
from service.storage.scripts.bounds import INLINE_BYTES, MERGE_BYTES
from service.storage.scripts.runner import Runner
from tests.servers import RedisProcess
from tests.slow_commands import slow_commands
from tests.storage.keyspace import COLLECTION, LIMIT, ME, Keyspace, numbered

MANY = 100_000


def text(size: int) -> bytes:
    return b'{"n":1,"pad":"' + b"x" * (size - 16) + b'"}'


def brackets(size: int) -> bytes:
    return b'{"n":1,"pad":' + b"[" * 400 + b"[]," * ((size - 820) // 3) + b"[]" + b"]" * 400 + b"}"


def members(size: int) -> bytes:
    return json.dumps({f"k{n}": n for n in range(size // 16)}).encode()


BODIES = {
    "the largest inline": text(INLINE_BYTES),
    "the smallest staged": text(INLINE_BYTES + 1),
    "the largest": text(LIMIT),
}


@pytest.mark.parametrize("body", BODIES)
async def test_a_body_of_any_size_can_be_written_and_deleted(storage: Storage, redis: RedisProcess, body: str) -> None:
    def put() -> Awaitable[Any]:
        return storage.records.put(Write(COLLECTION, "a", ME), BODIES[body])

    assert await slow_commands(redis.command, put) == []
    assert await slow_commands(redis.command, lambda: storage.records.delete(Write(COLLECTION, "a")), put) == []


DOCUMENTS = {
    f"{make.__name__} of {size} bytes": make(size)
    for make in (text, brackets, members)
    for size in (1000, MERGE_BYTES - 100, MERGE_BYTES + 100, 2_000_000)
}
PATCHES = {
    "one member": b'{"n":2}',
    "many members": json.dumps({f"k{n}": None if n % 2 else n + 1 for n in range(0, 1200, 3)}).encode(),
}


@pytest.mark.parametrize("patch", PATCHES)
@pytest.mark.parametrize("document", DOCUMENTS)
async def test_a_document_of_any_shape_can_be_merged(
    storage: Storage, redis: RedisProcess, document: str, patch: str
) -> None:
    def put() -> Awaitable[Any]:
        return storage.records.put(Write(COLLECTION, "a", ME), DOCUMENTS[document])

    def merge() -> Awaitable[Any]:
        return storage.records.merge(Write(COLLECTION, "a", ME), PATCHES[patch], LIMIT)

    assert await slow_commands(redis.command, merge, put) == []


async def test_a_large_collection_can_be_paged_swept_and_counted(
    runner: Runner, storage: Storage, redis: RedisProcess, keyspace: Keyspace
) -> None:
    for start in range(0, MANY, 10_000):
        some = [f"{start + n:08}" for n in range(10_000)]
        keyspace.plant_many(some, c=start, u=start, s=start, n=0, x=9_000_000_000_000)

    def put() -> Awaitable[Any]:
        return storage.records.put(Write(COLLECTION, "new", ME), b"[]")

    async def due() -> None:
        keyspace.plant_many(numbered(SWEEP_MEMBERS), c=1, u=1, s=1, n=0, x=1)

    assert await slow_commands(redis.command, lambda: storage.records.page(COLLECTION, "c", MANY // 2, 1000)) == []
    assert await slow_commands(redis.command, lambda: storage.records.count(COLLECTION)) == []
    assert await slow_commands(redis.command, lambda: storage.records.sweep(COLLECTION), due) == []
    assert await slow_commands(redis.command, put, due) == []


@pytest.mark.parametrize("then", [Retention(10_000, seconds=0), Retention(entries=1)], ids=["too old", "too many"])
async def test_a_long_journal_beyond_its_limits_can_be_trimmed(
    storage: Storage, redis: RedisProcess, keyspace: Keyspace, then: Retention
) -> None:
    """The first write after a long pause or under a lower limit, and the sweeps after it."""
    journal, largest = COLLECTION.journal, BODIES["the largest inline"]

    async def fill() -> None:
        keyspace.command("DEL", *COLLECTION.journaled)
        for _ in range(1000):
            await storage.records.put(Write(COLLECTION, "a", ME, journal=Retention()), largest)
        keyspace.wait_past(int((await storage.journal.latest(COLLECTION)).split("-")[0]))

    async def work() -> None:
        await storage.records.put(Write(COLLECTION, "a", ME, journal=then), largest)
        keyspace.wait_past(int((await storage.journal.latest(COLLECTION)).split("-")[0]))
        while (await storage.records.sweep(COLLECTION)).more:
            pass

    assert await slow_commands(redis.command, work, fill) == []
    assert keyspace.command("XLEN", journal) == (0 if then.seconds == 0 else 1)
