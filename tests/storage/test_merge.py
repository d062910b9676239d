"""Tests merge: applies a JSON merge patch to a record's text (tests/storage/splice/ tests the texts)."""

import asyncio
from collections.abc import Coroutine

import pytest

from service.storage.errors import Changed, NotFound, QuotaExceeded, TooLarge
from service.storage.records.conditions import Condition
from service.storage.records.quota import Quota
from service.storage.records.record import etag
from service.storage.records.records import Records
from service.storage.records.write import Write
from service.storage.root import Storage
from service.storage.scripts.bounds import MERGE_BYTES
from service.storage.scripts.runner import Runner
from tests.storage.keyspace import COLLECTION, INDEXES, LIMIT, ME, RECORD, REGISTRIES, Keyspace

SMALL = b'{ "a" : 1.50, "n":0}'
LARGE = b'{"pad":"' + b"x" * MERGE_BYTES + b'","n":0}'
BOTH = pytest.mark.parametrize("body", [SMALL, LARGE], ids=["in Redis", "in the worker"])


async def merge(records: Records, patch: bytes, *, limit: int = LIMIT, **more: Condition | Quota) -> tuple[int, str]:
    saved, tag = await records.merge(Write(COLLECTION, "a", ME, **more), patch, limit)  # type: ignore[arg-type]
    return saved.version, tag


@BOTH
async def test_merge_changes_the_named_members_and_returns_the_new_text(storage: Storage, body: bytes) -> None:
    first = await storage.records.put(Write(COLLECTION, "a", "author"), body)
    saved, tag = await storage.records.merge(Write(COLLECTION, "a", ME), b'{"n": 7}', LIMIT)
    record = await storage.records.get(COLLECTION, "a")
    assert tag == record.etag
    assert record.body == body.replace(b'"n":0', b'"n":7')
    assert (saved.version, saved.created, saved.updated) == (2, first.created, record.updated)
    assert (record.creator, record.updater) == ("author", ME)


@BOTH
async def test_merge_keeps_the_expiry(storage: Storage, keyspace: Keyspace, body: bytes) -> None:
    first = await storage.records.put(Write(COLLECTION, "a", ME, lifetime="+60000"), body)
    saved, _ = await storage.records.merge(Write(COLLECTION, "a", ME), b'{"n":1}', LIMIT)
    assert saved.expires == first.expires == keyspace.indexes()["x"]["a"]
    assert abs(keyspace.expires("a") - first.expires) < 100


async def test_merge_of_a_missing_record_is_refused(storage: Storage, keyspace: Keyspace) -> None:
    with pytest.raises(NotFound, match=r"^no such key$"):
        await merge(storage.records, b"{}")
    saved = await storage.records.put(Write(COLLECTION, "a", ME, lifetime="+20"), b"{}")
    keyspace.wait_past(saved.expires)
    with pytest.raises(NotFound):
        await merge(storage.records, b"{}")


@BOTH
async def test_a_result_over_the_limit_is_refused_and_nothing_changes(storage: Storage, body: bytes) -> None:
    await storage.records.put(Write(COLLECTION, "a", ME), body)
    with pytest.raises(TooLarge):
        await merge(storage.records, b'{"z":123}', limit=len(body) + 7)
    assert (await storage.records.get(COLLECTION, "a")).body == body
    version, tag = await merge(storage.records, b'{"z":123}', limit=len(body) + 8)
    merged = (await storage.records.get(COLLECTION, "a")).body
    assert (version, tag, len(merged)) == (2, etag(merged), len(body) + 8)


@BOTH
async def test_preconditions_are_checked(storage: Storage, body: bytes) -> None:
    for condition in (Condition(match=frozenset({"*"})), Condition(match=frozenset({etag(body)}))):
        with pytest.raises(Changed):
            await merge(storage.records, b"{}", condition=condition)
    await storage.records.put(Write(COLLECTION, "a", ME), body)
    with pytest.raises(Changed):
        await merge(storage.records, b"{}", condition=Condition(match=frozenset({etag(b"{}")})))
    with pytest.raises(Changed):
        await merge(storage.records, b"{}", condition=Condition(none_match=frozenset({"*"})))
    assert await merge(storage.records, b"{}", condition=Condition(match=frozenset({"*"}))) == (2, etag(body))
    assert await merge(storage.records, b"{}", condition=Condition(match=frozenset({etag(body)}))) == (3, etag(body))


@BOTH
async def test_of_many_racing_merges_none_is_lost(storage: Storage, runner: Runner, body: bytes) -> None:
    """There are two storages, like those of two workers, so that merges in workers race, too."""
    await storage.records.put(Write(COLLECTION, "a", ME), body)
    workers = [storage, Storage(runner)]
    done = await asyncio.gather(*(merge(workers[n % 2].records, b'{"k%d":%d}' % (n, n)) for n in range(60)))
    assert sorted(version for version, _ in done) == list(range(2, 62))
    text = (await storage.records.get(COLLECTION, "a")).body
    assert all(b'"k%d":%d' % (n, n) in text for n in range(60))


@BOTH
async def test_of_many_merges_with_one_etag_exactly_one_wins(storage: Storage, body: bytes) -> None:
    await storage.records.put(Write(COLLECTION, "a", ME), body)
    condition = Condition(match=frozenset({etag(body)}))
    outcomes = await asyncio.gather(
        *(merge(storage.records, b'{"k":%d}' % n, condition=condition) for n in range(1, 21)), return_exceptions=True
    )
    assert sum(not isinstance(outcome, BaseException) for outcome in outcomes) == 1
    assert sum(isinstance(outcome, Changed) for outcome in outcomes) == 19


class Meddler(Records):
    """Runs `meddle` once, between reading a record and using it."""

    meddle: Coroutine[None, None, object] | None = None

    async def find_current(self, collection, id):  # type: ignore[no-untyped-def]
        found = await super().find_current(collection, id)
        meddle, self.meddle = self.meddle, None
        if meddle is not None:
            await meddle
        return found


async def test_a_record_replaced_during_a_merge_in_the_worker_is_read_again(storage: Storage, runner: Runner) -> None:
    meddler = Meddler(runner, storage.grants)
    await storage.records.put(Write(COLLECTION, "a", ME), LARGE)
    meddler.meddle = storage.records.put(Write(COLLECTION, "a", "other"), LARGE.replace(b'"n":0', b'"n":8'))
    version, tag = await merge(meddler, b'{"m":1}')
    merged = (await storage.records.get(COLLECTION, "a")).body
    assert (version, tag, merged.endswith(b'"n":8,"m":1}')) == (3, etag(merged), True)


async def test_a_record_deleted_during_a_merge_in_the_worker_stays_deleted(storage: Storage, runner: Runner) -> None:
    for condition, refusal in ((Condition(), NotFound), (Condition(match=frozenset({"*"})), Changed)):
        meddler = Meddler(runner, storage.grants)
        await storage.records.put(Write(COLLECTION, "a", ME), LARGE)
        meddler.meddle = storage.records.delete(Write(COLLECTION, "a"))
        with pytest.raises(refusal):
            await merge(meddler, b'{"m":1}', condition=condition)
        assert await storage.records.find_current(COLLECTION, "a") is None


async def test_a_record_deleted_and_created_again_during_a_merge_in_the_worker_is_read_again(
    storage: Storage, runner: Runner
) -> None:
    async def again() -> None:
        await storage.records.delete(Write(COLLECTION, "a"))
        await storage.records.create(Write(COLLECTION, "a", "other"), LARGE)

    meddler = Meddler(runner, storage.grants)
    await storage.records.put(Write(COLLECTION, "a", ME), LARGE)
    meddler.meddle = again()
    version, _ = await merge(meddler, b'{"m":1}')
    assert (version, (await storage.records.get(COLLECTION, "a")).creator) == (2, "other")


@BOTH
async def test_a_merge_beyond_the_quota_is_refused(storage: Storage, body: bytes) -> None:
    await storage.records.put(Write(COLLECTION, "a", ME), body)
    with pytest.raises(QuotaExceeded):
        await merge(storage.records, b'{"z":123}', quota=Quota(bytes=len(body) + 7))
    assert (await storage.records.get(COLLECTION, "a")).body == body
    assert (await merge(storage.records, b'{"n":null}', quota=Quota(bytes=5)))[0] == 2


async def test_an_array_replaces_the_document(storage: Storage) -> None:
    await storage.records.put(Write(COLLECTION, "a", ME), SMALL)
    assert await merge(storage.records, b"[null, 1.0]") == (2, etag(b"[null, 1.0]"))


async def test_only_the_expected_keys_remain(storage: Storage, keyspace: Keyspace) -> None:
    first = await storage.records.put(Write(COLLECTION, "a", ME), SMALL)
    for body in (SMALL, LARGE):
        await storage.records.put(Write(COLLECTION, "a", ME), body)
        await storage.records.merge(Write(COLLECTION, "a", ME), b'{"n":12}', LIMIT)
        assert keyspace.names() == {RECORD("a")} | INDEXES | REGISTRIES
        assert keyspace.indexes() == {"c": {"a": first.created}, "s": {"a": len(body) + 1}}
