"""Tests files under keys: they are initiated, uploaded once, read and removed, also by racing requests."""

import asyncio
from collections.abc import AsyncIterator
from hashlib import md5

import pytest

from service.storage import keys
from service.storage.errors import AlreadyExists, Changed, Denied, Invalid, NotFound, Unavailable
from service.storage.files.blobs import count
from service.storage.files.files import File, Filed
from service.storage.records.conditions import exactly
from service.storage.records.scoped import CollectionRead
from service.storage.records.write import Write
from service.storage.root import Storage
from tests.servers import RedisProcess
from tests.slow_commands import slow_commands
from tests.storage.keyspace import Keyspace
from tests.storage.pieces import pieces

COLLECTION = keys.collection("auravant", "fields", "12345", "")
ID = "ext:production:photo"
BODY = b"0123456789abcdef" * 40_000  # more than one chunk
OWNER, READER, NOBODY = "UID-owner", "UID-reader", "UID-nobody"
GRANTS = {OWNER: "rwd", READER: "r"}


@pytest.fixture(autouse=True)
async def granted(storage: Storage) -> None:
    await storage.grants.grant(COLLECTION, GRANTS, await storage.grants.revise())


async def initiate_upload(
    storage: Storage, body: bytes = BODY, user: str = OWNER, *, create: bool = True, overwrite: bool = True
) -> str:
    file = File("a.bin", len(body), md5(body).digest())
    return await storage.files.initiate_upload(
        Write(COLLECTION, ID, user, subject=user), file, create=create, overwrite=overwrite
    )


async def upload(storage: Storage, generation: str, body: bytes = BODY, user: str = OWNER) -> None:
    await storage.files.upload(
        Write(COLLECTION, ID, user, subject=user), generation, pieces(body), "image/png", len(body)
    )


async def found(storage: Storage) -> Filed | None:
    [reading] = await storage.files.read_many([COLLECTION], [ID], OWNER)
    return storage.files.filed(reading).get(ID)


async def body_of(storage: Storage) -> bytes | None:
    filed = await found(storage)
    if filed is None or not filed.uploaded:
        return None
    return b"".join([piece async for piece in storage.files.read(filed, 0, filed.file.size)])


def staying(keyspace: Keyspace) -> set[str]:
    """Return the chunks that do not expire."""
    return {
        name for name in keyspace.names() if name.startswith(COLLECTION.chunks) and keyspace.command("PTTL", name) == -1
    }


@pytest.mark.parametrize("body", [b"", b"x", b"x" * 8193, BODY])
async def test_an_announced_file_is_readable_after_its_upload(storage: Storage, body: bytes) -> None:
    generation = await initiate_upload(storage, body)
    filed = await found(storage)
    assert filed is not None
    assert (filed.generation, filed.uploaded, filed.file.size) == (generation, False, len(body))
    await upload(storage, generation, body)
    filed = await found(storage)
    assert filed is not None
    assert (filed.file.name, filed.file.type, filed.file.md5) == ("a.bin", "image/png", md5(body).digest())
    assert await body_of(storage) == body


async def test_an_upload_works_once(storage: Storage, keyspace: Keyspace) -> None:
    generation = await initiate_upload(storage)
    await upload(storage, generation)
    names = staying(keyspace)
    with pytest.raises(Changed):
        await upload(storage, generation)
    assert (staying(keyspace), await body_of(storage)) == (names, BODY)


async def test_of_two_concurrent_uploads_one_wins(storage: Storage, keyspace: Keyspace) -> None:
    generation = await initiate_upload(storage)
    outcomes = await asyncio.gather(*(upload(storage, generation) for _ in range(8)), return_exceptions=True)
    assert [type(outcome) for outcome in outcomes if outcome is not None] == [Changed] * 7
    assert await body_of(storage) == BODY
    assert len(staying(keyspace)) == count(len(BODY))


@pytest.mark.parametrize("meanwhile", ["delete", "replace", "delete and announce"])
async def test_an_upload_whose_key_changes_meanwhile_is_refused(
    storage: Storage, keyspace: Keyspace, meanwhile: str
) -> None:
    generation = await initiate_upload(storage)

    async def interrupted() -> AsyncIterator[bytes]:
        yield BODY[:300_000]
        if "delete" in meanwhile:
            assert await storage.files.remove(Write(COLLECTION, subject=OWNER), [ID]) == [ID]
        if meanwhile != "delete":
            await initiate_upload(storage)
        yield BODY[300_000:]

    with pytest.raises(Changed):
        await storage.files.upload(
            Write(COLLECTION, ID, OWNER, subject=OWNER), generation, interrupted(), "", len(BODY)
        )
    assert await body_of(storage) is None
    assert staying(keyspace) == set()


async def test_an_upload_is_refused_after_its_permission_was_revoked(storage: Storage, keyspace: Keyspace) -> None:
    generation = await initiate_upload(storage)

    async def interrupted() -> AsyncIterator[bytes]:
        yield BODY[:300_000]
        await storage.grants.grant(COLLECTION, {OWNER: "r"}, await storage.grants.revise())
        yield BODY[300_000:]

    with pytest.raises(Denied):
        await storage.files.upload(
            Write(COLLECTION, ID, OWNER, subject=OWNER), generation, interrupted(), "", len(BODY)
        )
    assert await body_of(storage) is None
    assert staying(keyspace) == set()


@pytest.mark.parametrize("sent", [BODY[:-1], BODY + b"x", b"x" + BODY[1:]])
async def test_a_file_that_differs_from_the_announced_one_is_refused(
    storage: Storage, keyspace: Keyspace, sent: bytes
) -> None:
    generation = await initiate_upload(storage)
    with pytest.raises(Invalid, match="announced"):
        await storage.files.upload(Write(COLLECTION, ID, OWNER, subject=OWNER), generation, pieces(sent), "", len(BODY))
    assert not any(name.startswith(COLLECTION.chunks) for name in keyspace.names())
    await upload(storage, generation)


async def test_create_and_overwrite_decide_about_missing_and_existing_files(storage: Storage) -> None:
    with pytest.raises(NotFound):
        await initiate_upload(storage, create=False)
    await initiate_upload(storage, overwrite=False)
    with pytest.raises(AlreadyExists):
        await initiate_upload(storage, overwrite=False)
    await initiate_upload(storage, create=False)


async def test_a_file_that_may_not_be_replaced_stays(storage: Storage, keyspace: Keyspace) -> None:
    await upload(storage, await initiate_upload(storage))
    with pytest.raises(AlreadyExists):
        await initiate_upload(storage, b"new", overwrite=False)
    assert await body_of(storage) == BODY


@pytest.mark.parametrize("create", [True, False])
async def test_a_replaced_file_is_dropped_by_the_announcement(
    storage: Storage, keyspace: Keyspace, create: bool
) -> None:
    await upload(storage, await initiate_upload(storage))
    old = await found(storage)
    assert old is not None
    generation = await initiate_upload(storage, b"new", create=create)
    assert staying(keyspace) == set()
    with pytest.raises(NotFound):
        await storage.files.find_uploaded(COLLECTION, ID, old.generation, OWNER)
    await upload(storage, generation, b"new")
    assert await body_of(storage) == b"new"


async def test_racing_announcements_leave_one_valid_upload(storage: Storage, keyspace: Keyspace) -> None:
    await upload(storage, await initiate_upload(storage))
    generations = await asyncio.gather(*(initiate_upload(storage) for _ in range(16)))
    filed = await found(storage)
    assert filed is not None
    assert len(set(generations)) == 16
    assert generations.count(filed.generation) == 1
    assert staying(keyspace) == set()


@pytest.mark.parametrize("user", [READER, NOBODY])
async def test_a_caller_without_permission_is_refused_whatever_exists(storage: Storage, user: str) -> None:
    for _ in range(2):
        for create, overwrite in ((True, True), (False, True), (True, False)):
            with pytest.raises(Denied):
                await initiate_upload(storage, user=user, create=create, overwrite=overwrite)
        with pytest.raises(Denied):
            await storage.files.remove(Write(COLLECTION, subject=user), [ID])
        await upload(storage, await initiate_upload(storage))
    [reading] = await storage.files.read_many([COLLECTION], [ID], user)
    assert (reading.refused is None) == (user == READER)
    assert await storage.files.remove_found(reading, user) == []
    assert await body_of(storage) == BODY


async def test_only_existing_keys_are_reported_as_removed(storage: Storage, keyspace: Keyspace) -> None:
    await upload(storage, await initiate_upload(storage))
    outcomes = await asyncio.gather(
        *(storage.files.remove(Write(COLLECTION, subject=OWNER), [ID, "other"]) for _ in range(8))
    )
    assert sorted(outcomes) == [[]] * 7 + [[ID]]
    assert (await found(storage), staying(keyspace)) == (None, set())


async def test_an_operation_on_a_key_that_others_keep_changing_is_given_up(
    storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    await upload(storage, await initiate_upload(storage))
    monkeypatch.setattr("service.storage.files.files.ATTEMPTS", 1)
    with pytest.raises(Unavailable):
        await initiate_upload(storage)


async def test_a_file_with_lost_chunks_can_be_uploaded_again_after_fsck(storage: Storage) -> None:
    await upload(storage, await initiate_upload(storage))
    filed = await found(storage)
    assert filed is not None
    assert filed.generation == exactly(filed.attached.record)
    filed.attached.blobs.clear()
    assert not Filed.of(COLLECTION, ID, filed.attached).uploaded


async def test_values_and_files_are_two_namespaces(storage: Storage) -> None:
    await storage.records.put(Write(COLLECTION, ID, OWNER, subject=OWNER), b"1")
    assert await found(storage) is None
    await initiate_upload(storage)
    await storage.scoped.discard(Write(COLLECTION, subject=OWNER), [ID])
    assert await found(storage) is not None


async def test_only_the_expected_keys_remain_after_an_upload(storage: Storage, keyspace: Keyspace) -> None:
    await upload(storage, await initiate_upload(storage))
    assert keyspace.names() == {COLLECTION.acl, keys.REVISION, COLLECTION.attachment(ID), *staying(keyspace)}
    assert len(staying(keyspace)) == count(len(BODY))


async def test_a_thousand_keys_are_listed_by_short_scripts(storage: Storage, redis: RedisProcess) -> None:
    ids = [f"{'x' * 100}:production:{'k' * 190}{number:04}" for number in range(1000)]
    for id in ids:
        file = File("x" * 53, 1, md5(b"x").digest())
        generation = await storage.files.initiate_upload(
            Write(COLLECTION, id, OWNER, subject=OWNER), file, create=True, overwrite=True
        )
        await storage.files.upload(
            Write(COLLECTION, id, OWNER, subject=OWNER), generation, pieces(b"x"), "t" * 127 + "/" + "t" * 127, 1
        )
    found: list[CollectionRead] = []

    async def read_many() -> None:
        found[:] = await storage.files.read_many([COLLECTION], ids, OWNER)

    assert await slow_commands(redis.command, read_many) == []
    [reading] = found
    assert ([*reading.found], [*reading.rest]) == (ids, [])
