"""Tests adjust_usage: each write changes the usage of its namespace, if it is counted. test_quota.py tests its use."""

import pytest

from service.storage.errors import Unavailable
from service.storage.root import Storage
from tests.servers import RedisProcess
from tests.storage.keyspace import COLLECTION, USAGE, Keyspace


async def test_an_unknown_usage_is_not_created(storage: Storage, keyspace: Keyspace) -> None:
    await storage.records.adjust_usage(COLLECTION, 1, 10)
    assert keyspace.names() == set()


async def test_documents_and_bytes_grow_and_shrink_and_the_expiry_stays(storage: Storage, keyspace: Keyspace) -> None:
    keyspace.command("SET", USAGE, "5 9007199254740000", "EX", 100)
    await storage.records.adjust_usage(COLLECTION, 2, 991)
    assert keyspace.command("GET", USAGE) == b"7 9007199254740991"
    await storage.records.adjust_usage(COLLECTION, -8, -9007199254740992)
    assert keyspace.command("GET", USAGE) == b"-1 -1"
    assert 90 < keyspace.command("TTL", USAGE) <= 100


async def test_a_write_succeeds_if_the_usage_cannot_be_adjusted(
    storage: Storage, redis: RedisProcess, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The write is committed by then. Only the usage is wrong, until it is counted again."""
    redis.command("SET", USAGE, "1 1", "EX", 100)

    async def away(*args: object, **arguments: object) -> object:
        raise Unavailable("away")

    monkeypatch.setattr(storage.records, "_run", away)
    await storage.records.adjust_usage(COLLECTION, 1, 2)
    assert "off by 1 documents, 2 bytes" in caplog.text


async def test_without_a_change_of_usage_nothing_is_sent(storage: Storage, redis: RedisProcess) -> None:
    redis.command("CONFIG", "RESETSTAT")
    await storage.records.adjust_usage(COLLECTION, 0, 0)
    assert "cmdstat_fcall" not in redis.command("INFO", "commandstats")


async def test_only_the_expected_keys_remain(storage: Storage, keyspace: Keyspace) -> None:
    keyspace.command("SET", USAGE, "1 1", "EX", 100)
    await storage.records.adjust_usage(COLLECTION, 1, 1)
    assert keyspace.names() == {USAGE}
