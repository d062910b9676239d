"""Tests attach: stores a record with files, whose blobs were sent before."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress

import pytest

from service.storage.errors import AlreadyExists, Changed, Invalid, QuotaExceeded, Unavailable
from service.storage.files.attachments import BARE, Attached, Attachments
from service.storage.files.blobs import CHUNK_BYTES, GRACE_MS, STAGED_MS, Kept, Span, Staging
from service.storage.records.conditions import ABSENT, NEW, PRESENT
from service.storage.records.write import Write
from service.storage.scripts.runner import Runner
from tests.runners import Connect
from tests.servers import RedisProcess
from tests.storage.keyspace import ME, Keyspace
from tests.storage.pieces import AREA, HOUR, RECORD, blob_chunks, pieces

BODY = b"0123456789abcdef" * 60_000  # 960 kB: three chunks, the last one the longest


@pytest.fixture
def attachments(runner: Runner) -> Attachments:
    return Attachments(runner)


async def attach(
    attachments: Attachments, body: bytes = BODY, lifetime: str = "", state: str = BARE, before: Attached | None = None
) -> Span:
    async with attachments.staging(AREA) as staging:
        span = (await staging.keep(pieces(body))).body
        assert isinstance(span, Span)
        await attachments.attach(
            Write(AREA, "", ME, lifetime=lifetime), b"content", staging, {span.blob}, state=state, before=before
        )
    return span


def left(keyspace: Keyspace) -> set[int]:
    """Return the remaining lifetimes of the chunks in minutes; -1 means no expiry."""
    return {round(int(keyspace.command("PTTL", name)) / 60_000) for name in blob_chunks(keyspace)}


async def test_an_attached_blob_has_the_lifetime_of_its_record(attachments: Attachments, keyspace: Keyspace) -> None:
    span = await attach(attachments)
    assert {int(keyspace.command("PTTL", name)) for name in (RECORD, *blob_chunks(keyspace))} == {-1}
    attached = await attachments.peek(AREA, "")
    assert attached is not None
    assert (attached.content, attached.record.creator, list(attached.blobs)) == (b"content", ME, [span.blob])
    await attach(attachments, lifetime=f"+{HOUR}", before=attached)
    assert left(keyspace) == {60}
    assert round(int(keyspace.command("PTTL", RECORD)) / 60_000) == 60
    for name in blob_chunks(keyspace):  # a client that began to read in time can continue
        assert int(keyspace.command("PTTL", name)) - int(keyspace.command("PTTL", RECORD)) > GRACE_MS - 1000


@pytest.mark.parametrize(
    ("state", "refusal"), [(NEW, AlreadyExists), (ABSENT, Changed), (BARE, Changed), ("7:1", Changed)]
)
async def test_after_each_refusal_the_old_files_remain_and_no_new_one(
    attachments: Attachments, keyspace: Keyspace, state: str, refusal: type[Exception]
) -> None:
    await attach(attachments)
    names = keyspace.names()
    with pytest.raises(refusal):
        await attach(attachments, state=state)
    assert keyspace.names() == names


async def test_an_outdated_state_is_refused(attachments: Attachments, keyspace: Keyspace) -> None:
    await attach(attachments)
    old = await attachments.peek(AREA, "")
    await attach(attachments, before=old)
    with pytest.raises(Changed):
        await attach(attachments, before=old)
    with pytest.raises(Invalid):
        await attach(attachments, state=PRESENT, lifetime="1")
    assert len(blob_chunks(keyspace)) == 3


async def test_a_missing_chunk_is_noticed_before_anything_is_written(
    attachments: Attachments, keyspace: Keyspace
) -> None:
    async with attachments.staging(AREA) as staging:
        kept = await staging.keep(pieces(BODY))
        assert isinstance(kept.body, Span)
        await staging.finish()
        keyspace.command("DEL", AREA.chunk(kept.body.blob, 1))
        with pytest.raises(Unavailable, match="nothing was done"):
            await attachments.attach(Write(AREA, "", ME), b"", staging, {kept.body.blob})
        assert left(keyspace) <= {1}
    assert int(keyspace.command("EXISTS", RECORD)) == 0


async def test_unattached_chunks_are_kept_while_their_sender_sends(
    attachments: Attachments, keyspace: Keyspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.storage.files.blobs.RENEWED_AFTER", 0.0)

    async def slow(pause: float) -> AsyncIterator[bytes]:
        yield BODY
        for _ in range(10):
            await asyncio.sleep(pause)
            yield b"x"

    async def attach_slowly(seconds: float) -> Kept:
        monkeypatch.setattr("service.storage.files.blobs.STAGED_MS", round(seconds * 1000))
        async with attachments.staging(AREA) as staging:
            kept = await staging.keep(slow(seconds / 4))
            assert isinstance(kept.body, Span)
            await attachments.attach(Write(AREA, "", ME), b"", staging, {kept.body.blob})
            return kept

    kept = None
    for seconds in (0.3, 1.5, 7.5):
        with suppress(Invalid, Unavailable):  # a machine so slow that a pause became a standstill
            kept = await attach_slowly(seconds)
            break
    assert kept is not None
    assert isinstance(kept.body, Span)
    attached = await attachments.peek(AREA, "")
    assert attached is not None
    read = b"".join([piece async for piece in attachments.read(AREA, attached, kept.body)])
    assert read == BODY + b"x" * 10

    async def asleep() -> AsyncIterator[bytes]:
        yield BODY
        await asyncio.sleep(1.7 * seconds)
        yield b"x"

    with pytest.raises(Invalid, match="without long pauses"):
        async with attachments.staging(AREA) as staging:
            await staging.keep(asleep())


async def test_chunks_of_a_dead_sender_expire(attachments: Attachments, keyspace: Keyspace) -> None:
    staging: Staging = attachments.staging(AREA)
    await staging.keep(pieces(BODY))
    await staging.finish()
    names = keyspace.names()
    assert len(names) == 3
    assert all(0 < int(keyspace.command("PTTL", name)) <= STAGED_MS for name in names)


async def test_only_a_few_chunks_of_a_sender_wait_for_redis(
    attachments: Attachments, redis: RedisProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While Redis is paused, no more is read from the sender than may be in flight."""
    asked = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal asked
        while True:
            asked += 65_536
            yield bytes(65_536)

    staging = attachments.staging(AREA)
    redis.pause()
    try:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.5):
                await staging.keep(endless())
    finally:
        redis.resume()
    assert asked <= 8 * CHUNK_BYTES


async def test_a_full_memory_refuses_a_write_completely(own: RedisProcess, connect: Connect) -> None:
    attachments = Attachments(await connect(own))
    await attach(attachments)
    before = {name: own.command("DUMP", name) for name in own.command("KEYS", "*")}
    used = int(own.command("INFO", "memory")["used_memory"])
    own.command("CONFIG", "SET", "maxmemory", used + 800_000)
    with pytest.raises(QuotaExceeded):
        await attach(attachments, BODY * 4, before=await attachments.peek(AREA, ""))
    assert {name: own.command("DUMP", name) for name in own.command("KEYS", "*")} == before


async def test_only_the_expected_keys_remain(attachments: Attachments, keyspace: Keyspace) -> None:
    span = await attach(attachments)
    assert keyspace.names() == {RECORD, *(AREA.chunk(span.blob, n) for n in range(3))}
