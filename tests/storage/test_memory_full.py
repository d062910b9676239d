"""Tests storage when Redis is out of memory or cannot save: writes are refused completely, deletes work."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from service.storage import keys
from service.storage.access.directory import Caller, Directory, token_entry
from service.storage.errors import NotFound, QuotaExceeded, Throttled, Unauthenticated, Unavailable
from service.storage.records.quota import Quota
from service.storage.records.record import Saved
from service.storage.records.write import Write
from service.storage.root import Storage
from service.storage.scripts.bounds import INLINE_BYTES
from service.storage.scripts.runner import Runner
from service.storage.sweeper import Sweeper
from tests.servers import RedisProcess
from tests.storage.keyspace import COLLECTION, INDEXES, LIMIT, ME, RECORD, REGISTRIES, USAGE, Keyspace

LARGE = b'["' + b"x" * INLINE_BYTES + b'"]'


@contextmanager
def full(redis: RedisProcess) -> Iterator[None]:
    """A Redis whose memory limit is exceeded, and which may not evict keys."""
    redis.command("CONFIG", "SET", "maxmemory", 1)
    try:
        yield
    finally:
        redis.command("CONFIG", "SET", "maxmemory", 0)


@contextmanager
def not_saving(redis: RedisProcess) -> Iterator[None]:
    """A Redis whose last snapshot has failed, so that it accepts no writes."""
    redis.command("CONFIG", "SET", "save", "3600 1000000")
    (redis.directory / "dump.rdb").mkdir()
    redis.command("BGSAVE")
    while redis.command("INFO", "persistence")["rdb_last_bgsave_status"] == "ok":
        time.sleep(0.01)
    try:
        yield
    finally:
        redis.command("CONFIG", "SET", "save", "")
        (redis.directory / "dump.rdb").rmdir()


async def test_each_write_is_refused_completely(storage: Storage, redis: RedisProcess, keyspace: Keyspace) -> None:
    await storage.records.put(Write(COLLECTION, "a", ME, lifetime="+600000"), b'{"a":1}')
    await storage.records.put(Write(COLLECTION, "large", ME), LARGE)
    before = keyspace.names(), keyspace.indexes(), keyspace.header("a"), keyspace.expires("a") // 1000
    with full(redis):
        for write in (
            storage.records.create(Write(COLLECTION, "new", ME), b"[]"),
            storage.records.create(Write(COLLECTION, "new", ME, lifetime="+1000"), b"[]"),
            storage.records.create(Write(COLLECTION, "new", ME), LARGE),
            storage.records.put(Write(COLLECTION, "a", ME), b"[]"),
            storage.records.put(Write(COLLECTION, "a", ME, quota=Quota(documents=5)), b"[1]"),
            storage.records.put(Write(COLLECTION, "large", ME), LARGE),
            storage.records.merge(Write(COLLECTION, "a", ME), b'{"b":1}', LIMIT),
            storage.records.put(Write(keys.collection("ainoflow", "acme", "first", "cusn"), "a", ME), b"[]"),
        ):
            with pytest.raises(QuotaExceeded, match=r"^the store's memory is full$"):
                await write
        now = keyspace.names(), keyspace.indexes(), keyspace.header("a"), keyspace.expires("a") // 1000
    assert now[:3] == before[:3]
    assert abs(now[3] - before[3]) <= 1


async def test_a_publish_with_full_memory_removes_its_staged_body(
    storage: Storage, redis: RedisProcess, keyspace: Keyspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    await storage.records.put(Write(COLLECTION, "a", ME), b"[]")
    commit = storage.records.commit

    async def write_full(*arguments: Any) -> Saved:
        with full(redis):
            return await commit(*arguments)

    monkeypatch.setattr(storage.records, "commit", write_full)
    with pytest.raises(QuotaExceeded):
        await storage.records.put(Write(COLLECTION, "a", ME), LARGE)
    assert keyspace.names() == {RECORD("a")} | INDEXES | REGISTRIES
    assert (await storage.records.get(COLLECTION, "a")).body == b"[]"


async def test_reads_deletes_and_sweeps_work_with_full_memory(
    runner: Runner, storage: Storage, redis: RedisProcess, keyspace: Keyspace
) -> None:
    quota = Quota(documents=5)
    await storage.records.put(Write(COLLECTION, "a", ME, quota=quota), b"[1]")
    await storage.records.put(Write(COLLECTION, "b", ME, quota=quota), b"[1,2]")
    gone = await storage.records.put(Write(COLLECTION, "gone", ME, lifetime="+20", quota=quota), b"[]")
    keyspace.wait_past(gone.expires)
    with full(redis):
        assert (await storage.records.get(COLLECTION, "a")).body == b"[1]"
        assert await storage.records.count(COLLECTION) == 2
        assert await storage.records.examine(COLLECTION, "a", repair=False) == []
        await storage.records.delete(Write(COLLECTION, "b", quota=quota))
        with pytest.raises(NotFound):
            await storage.records.delete(Write(COLLECTION, "b", quota=quota))
        sweeper = Sweeper(runner, storage)
        assert await sweeper.acquire_lease()
        assert await sweeper.acquire_lease()
        await sweeper.sweep()
        total, _ = await storage.records.page(COLLECTION, "c", 0, 10)
        assert total == 1
        assert keyspace.command("GET", USAGE) == b"1 3"
    assert keyspace.names() == {RECORD("a"), USAGE, keys.SWEEPER} | INDEXES | REGISTRIES


async def test_a_page_sweeps_expired_members_with_full_memory(
    storage: Storage, redis: RedisProcess, keyspace: Keyspace
) -> None:
    gone = await storage.records.put(Write(COLLECTION, "gone", ME, lifetime="+20"), b"[]")
    keyspace.wait_past(gone.expires)
    with full(redis):
        assert await storage.records.page(COLLECTION, "n", 0, 10) == (0, [])


async def test_an_order_without_an_index_is_unavailable_with_full_memory(
    storage: Storage, redis: RedisProcess, keyspace: Keyspace
) -> None:
    await storage.records.put(Write(COLLECTION, "a", ME), b"[]")
    with full(redis):
        for kind in "un":
            with pytest.raises(Unavailable, match=r"^the store's memory is full, so the index"):
                await storage.records.page(COLLECTION, kind, 0, 10)
        assert (await storage.records.page(COLLECTION, "s", 0, 10))[0] == 1
    assert set(keyspace.indexes()) == {"c", "s"}
    assert (await storage.records.page(COLLECTION, "n", 0, 10))[0] == 1


async def test_rates_are_counted_with_full_memory_and_not_refused_as_a_full_quota(
    storage: Storage, redis: RedisProcess
) -> None:
    with full(redis):
        await storage.rates.throttle("ainoflow", ME, 2, 1000)
        await storage.rates.throttle("ainoflow", ME, 2, 1000)
        with pytest.raises(Throttled):
            await storage.rates.throttle("ainoflow", ME, 2, 1000)


async def test_a_token_can_be_revoked_with_full_memory(runner: Runner, redis: RedisProcess) -> None:
    directory = Directory(runner)
    await directory.declare("ainoflow", [token_entry("d1", Caller(ME, {}))])
    await directory.invalidate()
    before = int(redis.command("GET", keys.GENERATION))
    with full(redis):
        entry = token_entry("d1", Caller(ME, {}))
        await directory.declare("ainoflow", [type(entry)(entry.kind, entry.id, None)])
        await directory.invalidate()
        assert int(redis.command("GET", keys.GENERATION)) > before
    with pytest.raises(Unauthenticated):
        await directory.caller("ainoflow", "unknown")


async def test_a_redis_that_cannot_save_refuses_writes_as_unavailable(
    storage: Storage, redis: RedisProcess, keyspace: Keyspace
) -> None:
    await storage.records.put(Write(COLLECTION, "a", ME), b'{"a":1}')
    before = keyspace.names(), keyspace.indexes(), keyspace.header("a")
    with not_saving(redis):
        for write in (
            storage.records.create(Write(COLLECTION, "new", ME), b"[]"),
            storage.records.put(Write(COLLECTION, "a", ME), LARGE),
            storage.records.merge(Write(COLLECTION, "a", ME), b'{"b":1}', LIMIT),
            storage.records.delete(Write(COLLECTION, "a")),
        ):
            with pytest.raises(Unavailable, match=r"^the store does not accept writes at the moment$"):
                await write
        assert (keyspace.names(), keyspace.indexes(), keyspace.header("a")) == before
        assert (await storage.records.get(COLLECTION, "a")).body == b'{"a":1}'
        assert (await storage.records.page(COLLECTION, "c", 0, 10))[0] == 1
