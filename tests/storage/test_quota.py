"""Tests the usage of a namespace: exact for one writer, nearly exact for many, and counted again every hour."""

import asyncio

import pytest

from service.storage import keys
from service.storage.errors import QuotaExceeded
from service.storage.records.quota import COUNTED_FOR, Quota, Usage
from service.storage.records.write import Write
from service.storage.root import Storage
from service.storage.scripts.bounds import INLINE_BYTES
from service.storage.scripts.runner import Runner
from tests.running import while_it_lives
from tests.servers import RedisProcess
from tests.storage.keyspace import COLLECTION, INDEXES, ME, RECORD, REGISTRIES, USAGE, Keyspace, numbered

ELSEWHERE = keys.collection("ainoflow", "acme", "invoices", "cusn")


async def test_documents_up_to_the_quota_and_not_one_more(storage: Storage) -> None:
    quota = Quota(documents=3)
    for id in numbered(3):
        await storage.records.create(Write(COLLECTION, id, ME, quota=quota), b"[]")
    for write in (storage.records.create, storage.records.put):
        with pytest.raises(QuotaExceeded, match=r"^the quota of documents is used up$"):
            await write(Write(COLLECTION, "more", ME, quota=quota), b"[]")
    with pytest.raises(QuotaExceeded):
        await storage.records.put(Write(ELSEWHERE, "more", ME, quota=quota), b"[]")
    assert await storage.records.count(COLLECTION) == 3


async def test_bytes_up_to_the_quota_and_not_one_more(storage: Storage) -> None:
    quota = Quota(bytes=10)
    await storage.records.create(Write(COLLECTION, "a", ME, quota=quota), b'"12345"')
    with pytest.raises(QuotaExceeded, match=r"^the quota leaves \d+ bytes, and this write takes \d+$"):
        await storage.records.create(Write(ELSEWHERE, "b", ME, quota=quota), b"[12]")
    await storage.records.create(Write(ELSEWHERE, "b", ME, quota=quota), b"[1]")


async def test_at_full_quota_a_record_may_be_replaced_by_one_that_is_not_larger(storage: Storage) -> None:
    quota = Quota(documents=1, bytes=5)
    await storage.records.put(Write(COLLECTION, "a", ME, quota=quota), b"[111]")
    await storage.records.put(Write(COLLECTION, "a", ME, quota=quota), b"[222]")
    with pytest.raises(QuotaExceeded):
        await storage.records.put(Write(COLLECTION, "a", ME, quota=quota), b"[3333]")
    await storage.records.put(Write(COLLECTION, "a", ME, quota=quota), b"[4]")
    await storage.records.put(Write(COLLECTION, "a", ME, quota=quota), b"[555]")


async def test_the_usage_follows_every_kind_of_write(storage: Storage, runner: Runner, keyspace: Keyspace) -> None:
    quota = Quota(documents=100, bytes=10_000_000)

    def used() -> bytes:
        return bytes(keyspace.command("GET", USAGE))

    large = b'["' + b"x" * INLINE_BYTES + b'"]'
    await storage.records.create(Write(COLLECTION, "a", ME, quota=quota), b"[1]")
    assert used() == b"1 3"
    await storage.records.put(Write(COLLECTION, "b", ME, quota=quota), b"[1,2]")
    assert used() == b"2 8"
    await storage.records.put(Write(COLLECTION, "a", ME, quota=quota), b"{}")
    assert used() == b"2 7"
    await storage.records.merge(Write(COLLECTION, "a", ME, quota=quota), b'{"x":1}', 100)
    assert used() == b"2 12"
    await storage.records.put(Write(ELSEWHERE, "a", ME, quota=quota), large)
    assert used() == b"3 %d" % (12 + len(large))
    await storage.records.put(Write(ELSEWHERE, "a", ME, quota=quota), b"[]")
    assert used() == b"3 14"
    await storage.records.delete(Write(COLLECTION, "b", quota=quota))
    assert used() == b"2 9"
    assert await Usage(runner).count(COLLECTION) == (2, 9)


async def test_an_expired_record_frees_its_quota_when_it_is_swept(storage: Storage, keyspace: Keyspace) -> None:
    quota = Quota(documents=2)
    gone = await storage.records.create(Write(COLLECTION, "a", ME, lifetime="+20", quota=quota), b"[]")
    await storage.records.create(Write(COLLECTION, "b", ME, quota=quota), b"[]")
    keyspace.wait_past(gone.expires)
    await storage.records.sweep(COLLECTION)
    await storage.records.create(Write(COLLECTION, "c", ME, quota=quota), b"[]")
    assert keyspace.command("GET", USAGE) == b"2 4"


async def test_an_expired_record_with_the_same_id_counts_once(storage: Storage, keyspace: Keyspace) -> None:
    quota = Quota(documents=5)
    gone = await storage.records.create(Write(COLLECTION, "a", ME, lifetime="+20", quota=quota), b"[1,2,3]")
    keyspace.wait_past(gone.expires)
    await storage.records.create(Write(COLLECTION, "a", ME, quota=quota), b"[]")
    assert keyspace.command("GET", USAGE) == b"1 2"


async def test_expired_members_that_a_write_removes_free_their_quota(storage: Storage, keyspace: Keyspace) -> None:
    quota = Quota(documents=5)

    async def live(seconds: float) -> int:
        keyspace.command("FLUSHALL")
        for id in numbered(3):
            lifetime = f"+{round(seconds * 1000)}"
            gone = await storage.records.create(Write(COLLECTION, id, ME, lifetime=lifetime, quota=quota), b"[1,2,3]")
        assert keyspace.command("GET", USAGE) == b"3 21"
        return gone.expires

    keyspace.wait_past(await while_it_lives(0.02, live))
    await storage.records.create(Write(COLLECTION, "new", ME, quota=quota), b"[]")
    assert keyspace.command("GET", USAGE) == b"2 9"


async def test_a_usage_is_counted_when_it_is_first_needed_and_again_after_an_hour(
    storage: Storage, keyspace: Keyspace
) -> None:
    for id in numbered(1500):
        await storage.records.create(Write(COLLECTION, id, ME), b"[]")
    await storage.records.create(Write(ELSEWHERE, "a", ME), b"[1]")
    assert USAGE not in keyspace.names()
    await storage.records.create(Write(COLLECTION, "new", ME, quota=Quota(documents=10_000)), b"[]")
    assert keyspace.command("GET", USAGE) == b"1502 3005"
    assert COUNTED_FOR - 60 < keyspace.command("TTL", USAGE) <= COUNTED_FOR
    keyspace.command("SET", USAGE, "9000 9000", "PX", 1)  # a wrong usage, whose hour is over
    keyspace.wait_past(keyspace.now() // 1000 + 2)
    await storage.records.create(Write(COLLECTION, "newer", ME, quota=Quota(documents=10_000)), b"[]")
    assert keyspace.command("GET", USAGE) == b"1503 3007"


async def test_writes_do_not_delay_the_next_count(storage: Storage, keyspace: Keyspace) -> None:
    keyspace.command("SET", USAGE, "0 0", "EX", 100)
    await storage.records.create(Write(COLLECTION, "a", ME, quota=Quota(documents=10)), b"[]")
    assert 90 < keyspace.command("TTL", USAGE) <= 100


async def test_many_requests_wait_for_one_count(
    storage: Storage, redis: RedisProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts = 0
    count = Usage.count

    async def counted(usage, collection):  # type: ignore[no-untyped-def]
        nonlocal counts
        counts += 1
        await asyncio.sleep(0.01)
        return await count(usage, collection)

    monkeypatch.setattr(Usage, "count", counted)
    await asyncio.gather(
        *(storage.records.put(Write(COLLECTION, id, ME, quota=Quota(documents=100)), b"[]") for id in numbered(50))
    )
    assert counts == 1
    assert redis.command("GET", USAGE) == b"50 100"


async def test_a_cancelled_caller_does_not_end_the_count_for_the_others(
    storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    count = Usage.count

    async def slowly(usage, collection):  # type: ignore[no-untyped-def]
        await asyncio.sleep(0.05)
        return await count(usage, collection)

    monkeypatch.setattr(Usage, "count", slowly)
    first, second = (
        asyncio.create_task(storage.records.put(Write(COLLECTION, id, ME, quota=Quota(documents=9)), b"[]"))
        for id in numbered(2)
    )
    await asyncio.sleep(0.02)
    first.cancel()
    assert (await second).version == 1


async def test_the_later_of_two_counts_does_not_undo_writes_in_between(
    runner: Runner, storage: Storage, keyspace: Keyspace
) -> None:
    usage = Usage(runner)
    await usage.recount(COLLECTION)
    await storage.records.adjust_usage(COLLECTION, 1, 2)
    await usage.recount(COLLECTION)
    assert await usage.stored(COLLECTION) == (1, 2)
    await usage.recount(COLLECTION, replace=True)
    assert await usage.stored(COLLECTION) == (0, 0)


async def test_racing_writers_exceed_the_quota_by_at_most_the_writes_in_flight(
    storage: Storage, runner: Runner
) -> None:
    quota, workers = Quota(documents=40), [Storage(runner) for _ in range(8)]

    async def write(n: int) -> None:
        for m in range(10):
            await workers[n].records.create(Write(COLLECTION, f"k{n}-{m}", ME, quota=quota), b"[]")

    await asyncio.gather(*(write(n) for n in range(8)), return_exceptions=True)
    count = await storage.records.count(COLLECTION)
    assert 40 <= count <= 40 + 8
    with pytest.raises(QuotaExceeded):
        await storage.records.create(Write(COLLECTION, "more", ME, quota=quota), b"[]")


async def test_a_namespace_above_its_quota_may_shrink(storage: Storage) -> None:
    for id in numbered(5):
        await storage.records.create(Write(COLLECTION, id, ME), b"[1,2,3]")
    quota = Quota(documents=2, bytes=5)
    await storage.records.put(Write(COLLECTION, "k00000", ME, quota=quota), b"[1]")
    with pytest.raises(QuotaExceeded):
        await storage.records.put(Write(COLLECTION, "k00000", ME, quota=quota), b"[1,2]")
    await storage.records.delete(Write(COLLECTION, "k00000", quota=quota))


async def test_only_the_expected_keys_remain(storage: Storage, keyspace: Keyspace) -> None:
    await storage.records.create(Write(COLLECTION, "a", ME, quota=Quota(documents=1)), b"[]")
    assert keyspace.names() == {RECORD("a"), USAGE} | INDEXES | REGISTRIES
