"""Tests publish: stores a large record, whose body was sent to a staging key before."""

import asyncio
from typing import Any

import pytest

from service.storage.errors import AlreadyExists, Changed, Invalid, QuotaExceeded, Unavailable
from service.storage.records.conditions import NEW
from service.storage.records.quota import Quota
from service.storage.records.record import MARGIN, Listed, Saved
from service.storage.records.records import STAGED_SECONDS
from service.storage.records.write import Write
from service.storage.root import Storage
from service.storage.scripts.bounds import INLINE_BYTES
from tests.servers import RedisProcess
from tests.storage.keyspace import COLLECTION, INDEXES, LIMIT, ME, RECORD, REGISTRIES, Keyspace

LARGE = b'["' + b"x" * INLINE_BYTES + b'"]'


async def publish(storage: Storage, body: bytes = LARGE, lifetime: str = "", state: str = "", **more: Quota) -> int:
    saved = await storage.records.publish(
        Write(COLLECTION, "a", ME, lifetime=lifetime, quota=more.get("quota")), body, state
    )
    return saved.version


@pytest.mark.parametrize("size", [INLINE_BYTES + 1, 1_000_000, LIMIT])
async def test_a_large_body_comes_back_byte_for_byte(storage: Storage, size: int) -> None:
    body = b"[" + bytes(range(48, 58)) * (size // 10 + 1)
    body = body[: size - 1] + b"]"
    for version in (1, 2):
        assert (await storage.records.put(Write(COLLECTION, "a", ME), body)).version == version
        record = await storage.records.get(COLLECTION, "a")
        assert (record.body, record.version, record.creator) == (body, version, ME)
    total, listed = await storage.records.page(COLLECTION, "s", 0, 1)
    assert (total, listed) == (1, [Listed("a", size)])


async def test_a_large_body_is_never_an_argument_of_a_script(storage: Storage, redis: RedisProcess) -> None:
    """A script copies its arguments, and then the record once more. Above INLINE_BYTES this is too slow."""
    redis.command("CONFIG", "RESETSTAT")
    await storage.records.put(Write(COLLECTION, "a", ME), LARGE)
    stats = redis.command("INFO", "commandstats")
    assert {"rename", "setrange", "persist"} <= {name.removeprefix("cmdstat_") for name in stats}


async def test_a_large_body_can_be_the_first_record_of_a_collection(storage: Storage, keyspace: Keyspace) -> None:
    """The refusal that asks for the registration must not cost the staged body."""
    assert (await storage.records.create(Write(COLLECTION, "a", ME), LARGE)).version == 1
    assert "orders" in keyspace.scores(COLLECTION.registry)


async def test_a_small_and_a_large_body_may_replace_each_other(storage: Storage, keyspace: Keyspace) -> None:
    for version, body in enumerate((b"[]", LARGE, b"[]", LARGE), 1):
        assert (await storage.records.put(Write(COLLECTION, "a", ME), body)).version == version
        assert (await storage.records.get(COLLECTION, "a")).body == body
        assert keyspace.indexes()["s"] == {"a": len(body)}


async def test_a_published_record_has_its_own_expiry_and_not_that_of_the_staged_body(
    storage: Storage, keyspace: Keyspace
) -> None:
    await publish(storage, lifetime="+600000")
    assert abs(keyspace.expires("a") - keyspace.indexes()["x"]["a"]) < 100
    await publish(storage)
    assert keyspace.expires("a") == -1
    assert "x" not in keyspace.indexes()


async def test_each_refusal_leaves_the_old_record_and_no_staged_body(storage: Storage, keyspace: Keyspace) -> None:
    await storage.records.put(Write(COLLECTION, "a", ME), b"[1]")
    with pytest.raises(AlreadyExists):
        await publish(storage, state=NEW)
    with pytest.raises(Changed):
        await publish(storage, state="7:1")
    with pytest.raises(Invalid):
        await publish(storage, lifetime="1")
    with pytest.raises(QuotaExceeded):
        await publish(storage, quota=Quota(bytes=100))
    assert (await storage.records.get(COLLECTION, "a")).body == b"[1]"
    assert not [name for name in keyspace.names() if name.startswith(COLLECTION.staging)]


async def test_a_write_whose_staged_body_expired_is_unavailable(
    storage: Storage, redis: RedisProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The minute of a staged body may pass while Redis or this process is paused."""
    commit = storage.records.commit

    async def late(*arguments: Any) -> Saved:
        redis.command("DEL", *redis.command("KEYS", "*s:*"))
        return await commit(*arguments)

    monkeypatch.setattr(storage.records, "commit", late)
    with pytest.raises(Unavailable, match="nothing was done"):
        await publish(storage)
    assert redis.command("EXISTS", RECORD("a")) == 0


async def test_a_staged_body_whose_writer_died_expires_by_itself(
    storage: Storage, keyspace: Keyspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def die(*arguments: Any) -> Saved:
        raise asyncio.CancelledError

    monkeypatch.setattr(storage.records, "commit", die)
    with pytest.raises(asyncio.CancelledError):
        await publish(storage)
    (staged,) = keyspace.names()
    assert staged.startswith(COLLECTION.staging)
    assert 0 < keyspace.command("TTL", staged) <= STAGED_SECONDS


@pytest.mark.parametrize("id_bytes", [1, 80])
async def test_every_header_fits_into_the_space_before_the_body(
    storage: Storage, keyspace: Keyspace, id_bytes: int
) -> None:
    """The header is padded with a string. Only a string of 32 to 255 bytes stores its length in two bytes."""
    by = "i" * id_bytes
    await storage.records.publish(Write(COLLECTION, "a", by, lifetime="253402300799999"), LARGE, "")
    assert len(keyspace.header("a")) == MARGIN
    record = await storage.records.get(COLLECTION, "a")
    assert (record.creator, record.updater, record.body == LARGE) == (by, by, True)


async def test_only_the_expected_keys_remain(storage: Storage, keyspace: Keyspace) -> None:
    await publish(storage)
    assert keyspace.names() == {RECORD("a")} | INDEXES | REGISTRIES
    await publish(storage, lifetime="+60000")
    assert keyspace.names() == {RECORD("a"), COLLECTION.expiry} | INDEXES | REGISTRIES
