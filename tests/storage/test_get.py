"""Tests get, find and records: plain reads, which need no script."""

import pytest

from service.storage.errors import NotFound
from service.storage.records.record import Listed, Record, portions
from service.storage.records.records import READ_BYTES
from service.storage.records.write import Write
from service.storage.root import Storage
from tests.running import while_it_lives
from tests.servers import RedisProcess
from tests.storage.keyspace import COLLECTION, ME, Keyspace, numbered


async def test_a_missing_record_is_refused_by_get_and_none_for_find(storage: Storage) -> None:
    with pytest.raises(NotFound, match=r"^no such key$"):
        await storage.records.get(COLLECTION, "a")
    assert await storage.records.find_current(COLLECTION, "a") is None


async def test_an_expired_record_is_missing(storage: Storage, keyspace: Keyspace) -> None:
    async def lives(seconds: float) -> int:
        saved = await storage.records.put(Write(COLLECTION, "a", ME, lifetime=f"+{round(seconds * 1000)}"), b"[]")
        assert (await storage.records.get(COLLECTION, "a")).expires == saved.expires
        return saved.expires

    keyspace.wait_past(await while_it_lives(0.02, lives))
    with pytest.raises(NotFound):
        await storage.records.get(COLLECTION, "a")


async def read(storage: Storage, listed: list[Listed]) -> list[list[tuple[str, Record]]]:
    return [portion async for portion in storage.records.read_listed(COLLECTION, listed)]


async def test_records_are_read_in_the_order_of_the_page_without_missing_ones(storage: Storage) -> None:
    for id in numbered(20):
        await storage.records.put(Write(COLLECTION, id, ME), b'["%s"]' % id.encode())
    _, listed = await storage.records.page(COLLECTION, "n", 0, 20, descending=True)
    for id in numbered(20)[::3]:
        await storage.records.delete(Write(COLLECTION, id))
    (portion,) = await read(storage, listed)
    assert [id for id, _ in portion] == [id for n, id in enumerate(numbered(20)) if n % 3][::-1]
    assert all(record.body == b'["%s"]' % id.encode() for id, record in portion)
    assert await read(storage, []) == []


async def test_records_are_read_in_limited_portions(storage: Storage) -> None:
    """Records that a reader has not asked for yet are neither in this process nor in Redis's output buffers."""
    body = b'["' + b"x" * (READ_BYTES // 4) + b'"]'
    for id in numbered(10):
        await storage.records.put(Write(COLLECTION, id, ME), body)
    _, listed = await storage.records.page(COLLECTION, "n", 0, 10)
    portions = await read(storage, listed)
    assert [len(portion) for portion in portions] == [3, 3, 3, 1]
    assert [id for portion in portions for id, _ in portion] == numbered(10)


async def test_each_portion_is_one_command(storage: Storage, redis: RedisProcess) -> None:
    for id in numbered(50):
        await storage.records.put(Write(COLLECTION, id, ME), b"[]")
    _, listed = await storage.records.page(COLLECTION, "n", 0, 50)
    redis.command("CONFIG", "RESETSTAT")
    await read(storage, listed)
    stats = redis.command("INFO", "commandstats")
    assert (stats["cmdstat_mget"]["calls"], "cmdstat_get" in stats) == (1, False)


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        ([], []),
        ([5], [[5]]),
        ([10], [[10]]),
        ([11], [[11]]),
        ([5, 5], [[5, 5]]),
        ([5, 6], [[5], [6]]),
        ([11, 1, 11], [[11], [1], [11]]),
        ([4, 4, 4, 4], [[4, 4], [4, 4]]),
        ([0, 0, 10, 0, 1], [[0, 0, 10, 0], [1]]),
    ],
)
def test_a_portion_has_the_records_that_fit_and_at_least_one(sizes: list[int], expected: list[list[int]]) -> None:
    found = portions([Listed("", size) for size in sizes], 10)
    assert [[one.size for one in portion] for portion in found] == expected
