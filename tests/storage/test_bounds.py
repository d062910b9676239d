"""Tests that no script blocks Redis for more than 5 ms, whatever its arguments are.

Redis itself measures the time of each script (SLOWLOG). Other work on the machine may interrupt a run and make it
longer, so the shortest of several runs counts.
"""

import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from service.storage.journal.retention import Retention
from service.storage.records.records import SWEEP_MEMBERS
from service.storage.records.write import Write
from service.storage.root import Storage
from service.storage.scripts.bounds import INLINE_BYTES, MERGE_BYTES
from service.storage.scripts.runner import Runner
from tests.servers import RedisProcess
from tests.storage.keyspace import COLLECTION, LIMIT, ME, Keyspace, numbered

MOST = 5000  # us
RUNS = 12  # at the most
MANY = 100_000


def text(size: int) -> bytes:
    return b'{"n":1,"pad":"' + b"x" * (size - 16) + b'"}'


def brackets(size: int) -> bytes:
    return b'{"n":1,"pad":' + b"[" * 400 + b"[]," * ((size - 820) // 3) + b"[]" + b"]" * 400 + b"}"


def members(size: int) -> bytes:
    return json.dumps({f"k{n}": n for n in range(size // 16)}).encode()


async def shortest(redis: RedisProcess, work: Callable[[], Awaitable[Any]], prepare: Callable[[], Any]) -> int:
    """Return the time of the longest script in the shortest run, in microseconds."""
    longest: list[int] = []
    for _ in range(RUNS):
        prepared = prepare()
        if prepared is not None:
            await prepared
        redis.command("SLOWLOG", "RESET")
        redis.command("CONFIG", "SET", "slowlog-log-slower-than", 0)
        await work()
        redis.command("CONFIG", "SET", "slowlog-log-slower-than", -1)
        log = redis.command("SLOWLOG", "GET", 1000)
        longest.append(max(int(took) for _, _, took, words, *_ in log if words[0] == b"FCALL"))
        if longest[-1] < MOST:
            break
    return min(longest)


BODIES = {
    "the largest inline": text(INLINE_BYTES),
    "the smallest staged": text(INLINE_BYTES + 1),
    "the largest": text(LIMIT),
}


@pytest.mark.parametrize("body", BODIES)
async def test_a_body_of_any_size_can_be_written_and_deleted(storage: Storage, redis: RedisProcess, body: str) -> None:
    def put() -> Awaitable[Any]:
        return storage.records.put(Write(COLLECTION, "a", ME), BODIES[body])

    assert await shortest(redis, put, lambda: None) < MOST
    assert await shortest(redis, lambda: storage.records.delete(Write(COLLECTION, "a")), put) < MOST


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

    assert await shortest(redis, merge, put) < MOST


async def test_a_large_collection_can_be_paged_swept_and_counted(
    runner: Runner, storage: Storage, redis: RedisProcess, keyspace: Keyspace
) -> None:
    for start in range(0, MANY, 10_000):
        some = [f"{start + n:08}" for n in range(10_000)]
        keyspace.plant_many(some, c=start, u=start, s=start, n=0, x=9_000_000_000_000)

    def due() -> None:
        keyspace.plant_many(numbered(SWEEP_MEMBERS), c=1, u=1, s=1, n=0, x=1)

    assert await shortest(redis, lambda: storage.records.page(COLLECTION, "c", MANY // 2, 1000), lambda: None) < MOST
    assert await shortest(redis, lambda: storage.records.count(COLLECTION), lambda: None) < MOST
    assert await shortest(redis, lambda: storage.records.sweep(COLLECTION), due) < MOST
    assert await shortest(redis, lambda: storage.records.put(Write(COLLECTION, "new", ME), b"[]"), due) < MOST


@pytest.mark.parametrize("then", [Retention(10_000, seconds=0), Retention(entries=1)], ids=["too old", "too many"])
async def test_a_long_journal_that_is_beyond_its_limits(
    storage: Storage, redis: RedisProcess, keyspace: Keyspace, then: Retention
) -> None:
    """The first write after a long silence, or under a lower limit; and the sweeps behind it."""
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

    assert await shortest(redis, work, fill) < MOST
    assert keyspace.command("XLEN", journal) == (0 if then.seconds == 0 else 1)
