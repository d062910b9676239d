"""Tests fill_index: the indexes of updates and of ids, which a collection has from the first list in their order on."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any

import pytest

from service.storage.errors import NotFound, OutcomeUnknown, Unavailable
from service.storage.fsck import check as fsck
from service.storage.journal.retention import Retention
from service.storage.keys import Collection
from service.storage.records import filling
from service.storage.records.filling import STEP, IndexFilling
from service.storage.records.record import Listed, Record
from service.storage.records.transfer import RecordTransfer, Restored
from service.storage.records.walk import Page, walk
from service.storage.records.write import Write
from service.storage.root import Storage
from service.storage.scripts.bounds import INLINE_BYTES
from service.storage.scripts.runner import Runner
from tests.lengths import either
from tests.runners import Connect
from tests.servers import RedisProcess
from tests.storage.keyspace import (
    COLLECTION,
    LIMIT,
    ME,
    RECORD,
    REGISTRIES,
    Keyspace,
    ids,
    listed_in_all_orders,
    numbered,
)

LARGE = b'{"n":"' + b"x" * INLINE_BYTES + b'"}'


def expected(keyspace: Keyspace) -> dict[str, dict[str, int]]:
    """Return the scores that the headers of all records give, by the letter of the index."""
    scores: dict[str, dict[str, int]] = {kind: {} for kind in COLLECTION.kinds}
    for name in keyspace.names():
        if name.startswith(COLLECTION.records):
            id = name.removeprefix(COLLECTION.records)
            one = keyspace.record(id)
            for kind, score in (("c", one.created), ("u", one.updated), ("s", one.size), ("n", 0)):
                scores[kind][id] = score
    return scores


async def test_writes_fill_no_index_that_was_never_asked_for(storage: Storage, keyspace: Keyspace) -> None:
    for kind in "cs":
        await storage.records.put(Write(COLLECTION, "a", ME), b"{}")
        await storage.records.put(Write(COLLECTION, "a", ME), LARGE)
        await storage.records.merge(Write(COLLECTION, "a", ME), b'{"n":1}', LIMIT)
        await storage.records.create(Write(COLLECTION, "b", ME), b"[]")
        assert (await storage.records.page(COLLECTION, kind, 0, 10))[0] == 2
        assert set(keyspace.indexes()) == {"c", "s"}
        await storage.records.delete(Write(COLLECTION, "a"))
        await storage.records.delete(Write(COLLECTION, "b"))
        assert keyspace.indexes() == {}


@pytest.mark.parametrize("count", [1, 128, 129, STEP, STEP + 1, 2500])
async def test_the_first_list_in_an_order_fills_its_index(storage: Storage, keyspace: Keyspace, count: int) -> None:
    for id in numbered(count):
        await storage.records.put(Write(COLLECTION, id, ME), b"[]")
    rewritten = numbered(count)[: count // 3]
    for id in rewritten:
        await storage.records.put(Write(COLLECTION, id, ME), b"[1]")
    total, listed = await storage.records.page(COLLECTION, "u", 0, 1000, descending=True)
    assert (total, ids(listed)) == (count, (numbered(count)[count // 3 :] + rewritten)[::-1][:1000])
    assert set(keyspace.indexes()) == {"c", "u", "s"}
    assert ids((await storage.records.page(COLLECTION, "n", 0, 1000, prefix="k000"))[1]) == numbered(count)[:100]
    assert keyspace.indexes() == expected(keyspace)


async def test_every_kind_of_write_keeps_an_index_that_exists(
    storage: Storage, runner: Runner, keyspace: Keyspace
) -> None:
    """Each write is compared with the headers; the operations of a batch are in test_batch.py's model."""
    records, write = storage.records, Write(COLLECTION, "a", ME)
    await records.put(Write(COLLECTION, "first", ME), b"[]")
    await listed_in_all_orders(storage)
    journaled = Write(COLLECTION, "journaled", ME, journal=Retention())
    steps: list[Callable[[], Awaitable[object]]] = [
        lambda: records.create(write, b"{}"),
        lambda: records.put(write, b'{"m":1}'),
        lambda: records.put(write, b'{"m":2}'),
        lambda: records.put(write, LARGE),
        lambda: records.merge(write, b'{"n":1}', LIMIT),
        lambda: records.put(journaled, b"{}"),
        lambda: records.merge(journaled, b'{"n":1}', LIMIT),
        lambda: records.delete(journaled),
        lambda: records.delete(write),
        lambda: RecordTransfer(runner, records).restore_many(
            [Restored(COLLECTION, "r", Record(7, 1000, 2000, 0, "x", "y", 2, b"[]"))], replace=True
        ),
        lambda: records.put(Write(COLLECTION, "r", ME), b"[1]"),
    ]
    for number, step in enumerate(steps):
        await step()
        assert keyspace.indexes() == expected(keyspace), number


async def test_an_expired_record_is_not_listed_by_an_index_that_was_filled_before_its_sweep(
    storage: Storage, runner: Runner, keyspace: Keyspace
) -> None:
    """It has no header any more, and gets an entry only so that the index is complete."""
    await storage.records.put(Write(COLLECTION, "a", ME), b"[]")
    gone = await storage.records.put(Write(COLLECTION, "gone", ME, lifetime="+20"), b"[]")
    keyspace.wait_past(gone.expires)
    await IndexFilling(runner, storage.records.page).fill_index(COLLECTION, "u", ["a", "gone", "none"])
    assert set(keyspace.indexes()["u"]) == {"a", "gone"}
    again = await storage.records.put(Write(COLLECTION, "gone", ME), b"[]")
    assert keyspace.indexes()["u"]["gone"] == again.updated
    total, listed = await storage.records.page(COLLECTION, "u", 0, 10)
    assert (total, ids(listed)) == (2, ["a", "gone"])


async def test_a_record_that_expires_while_an_index_is_filled_is_not_listed(
    storage: Storage, keyspace: Keyspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another one was swept before, so the page was of the moment of that sweep."""
    await storage.records.put(Write(COLLECTION, "a", ME), b"[]")
    later = await storage.records.put(Write(COLLECTION, "later", ME, lifetime="+1000"), b"[]")
    gone = await storage.records.put(Write(COLLECTION, "gone", ME, lifetime="+1"), b"[]")
    keyspace.wait_past(gone.expires)

    async def slow(page: Page, collection: Collection, kind: str, limit: int) -> AsyncIterator[Sequence[Listed]]:
        async for listed in walk(page, collection, kind, limit):
            yield listed
        keyspace.wait_past(later.expires)

    monkeypatch.setattr(filling, "walk", slow)
    total, listed = await storage.records.page(COLLECTION, "n", 0, 10)
    assert (total, ids(listed)) == (1, ["a"])


async def test_an_index_that_was_filled_in_part_is_completed(
    storage: Storage, keyspace: Keyspace, redis: RedisProcess
) -> None:
    """A worker that dies while it fills an index leaves a part. fsck sees no fault there, and the next list goes on."""
    saved = [await storage.records.put(Write(COLLECTION, id, ME), b"[]") for id in numbered(300)]
    keyspace.plant("k00007", u=saved[7].updated, n=0)
    await storage.records.put(Write(COLLECTION, "k00008", ME), b"[2]")
    created = await storage.records.put(Write(COLLECTION, "new", ME), b"[]")
    assert keyspace.indexes()["u"] == {"k00007": saved[7].updated, "new": created.updated}
    assert await fsck.run(redis.url, repair=True, out=print) == 0
    total, listed = await storage.records.page(COLLECTION, "u", 0, 1000)
    order = [*(id for id in numbered(300) if id != "k00008"), "k00008", "new"]
    assert (total, ids(listed)) == (301, order)
    assert ids((await storage.records.page(COLLECTION, "n", 0, 1000))[1]) == [*numbered(300), "new"]


async def test_an_index_whose_entries_all_vanish_while_it_is_filled_is_filled_again(
    storage: Storage, runner: Runner, keyspace: Keyspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Redis removes an empty sorted set, so later writes do not enter new records. The list notices that."""
    for id in numbered(3 * STEP):
        await storage.records.put(Write(COLLECTION, id, ME), b"[]")

    async def interrupted(page: Page, collection: Collection, kind: str, limit: int) -> AsyncIterator[Sequence[Listed]]:
        walked = walk(page, collection, kind, limit)
        yield await anext(walked)
        if len(keyspace.indexes()["c"]) == 3 * STEP:
            for id in keyspace.indexes()["n"]:
                await storage.records.delete(Write(COLLECTION, id))
            await storage.records.create(Write(COLLECTION, "late", ME), b"[]")
            keyspace.command("ZADD", COLLECTION.index("c"), 1, "late")  # the clock was set back: the walk has passed it
            assert "n" not in keyspace.indexes()
        async for listed in walked:
            yield listed

    monkeypatch.setattr(filling, "walk", interrupted)
    total, listed = await storage.records.page(COLLECTION, "n", 0, 1000)
    assert (total, len(listed)) == (2 * STEP + 1, 2 * STEP + 1)
    assert set(ids(listed)) == set(keyspace.indexes()["c"])
    assert "late" in ids(listed)


async def test_a_list_ends_although_an_index_names_no_record(storage: Storage, keyspace: Keyspace) -> None:
    """Entries without a record are a fault that fsck repairs. A list must end nevertheless."""
    await storage.records.put(Write(COLLECTION, "a", ME), b"[]")
    keyspace.plant("ghost", c=9)
    keyspace.plant("phantom", s=9)
    for kind in COLLECTION.kinds:
        assert "a" in ids((await asyncio.wait_for(storage.records.page(COLLECTION, kind, 0, 10), 30))[1])


async def test_lists_in_one_order_fill_the_index_once(
    storage: Storage, redis: RedisProcess, keyspace: Keyspace
) -> None:
    for id in numbered(3 * STEP):
        await storage.records.put(Write(COLLECTION, id, ME), b"[]")
    redis.command("CONFIG", "RESETSTAT")
    pages = await asyncio.gather(*(storage.records.page(COLLECTION, "u", 0, 50) for _ in range(20)))
    assert {(total, *ids(listed)) for total, listed in pages} == {(3 * STEP, *numbered(50))}
    functions = redis.command("INFO", "commandstats")["cmdstat_fcall"]["calls"]
    assert functions <= 20 + 2 * 4 + 20  # refused pages, a page and a step of the one fill, pages


STILL = [f"still{number:04}" for number in range(900)]


async def write_until(ended: asyncio.Event, storage: Storage, chance: random.Random) -> None:
    """Change documents, some of which expire at once, and delete some."""
    while not ended.is_set():
        one = Write(COLLECTION, f"k{chance.randrange(300)}", ME, lifetime=chance.choice(["", "", "+3"]))
        with suppress(NotFound):
            if chance.random() < 0.4:
                await storage.records.delete(one)
            else:
                await storage.records.put(one, b"[%d]" % chance.randrange(100_000))


async def read_lists(storage: Storage, kind: str) -> None:
    """Check that each list has all unchanged documents that fit, once and in order."""
    for _ in range(20):
        listed = ids((await storage.records.page(COLLECTION, kind, 0, 1000))[1])
        found = [id for id in listed if id.startswith("still")]
        assert len(set(listed)) == len(listed)
        assert found == STILL[: len(found)]
        assert len(found) == len(STILL) or len(listed) == 1000


@pytest.mark.long
async def test_lists_are_exact_while_two_workers_fill_an_index_beside_writers(
    connect: Connect, redis: RedisProcess, keyspace: Keyspace
) -> None:
    runners = [await connect(redis) for _ in range(2)]
    for seed in range(either(4, 40)):
        redis.command("FLUSHALL")
        stores = [Storage(runner) for runner in runners]
        for id in STILL:
            await stores[0].records.put(Write(COLLECTION, id, ME), b"[]")
        ended = asyncio.Event()
        writers = [
            asyncio.create_task(write_until(ended, storage, random.Random(4 * seed + number)))
            for number, storage in enumerate(stores * 2)
        ]
        try:
            await asyncio.gather(*(read_lists(storage, kind) for storage in stores for kind in "un"))
        finally:
            ended.set()
            await asyncio.gather(*writers)
        keyspace.wait_past(keyspace.now() // 1000 + 3)
        while (await stores[0].records.sweep(COLLECTION)).more:
            pass
        assert keyspace.indexes() == expected(keyspace)
        assert await fsck.run(redis.url, repair=False, out=print) == 0


async def test_a_refused_fill_leaves_what_was_entered(
    storage: Storage, runner: Runner, redis: RedisProcess, keyspace: Keyspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    for id in numbered(2 * STEP):
        await storage.records.put(Write(COLLECTION, id, ME), b"[]")
    run, calls = runner.run, 0

    def failing(script: str, *arguments: object, **more: object) -> object:
        nonlocal calls
        calls += script == "fill_index"
        if calls == 2:
            redis.command("CONFIG", "SET", "maxmemory", 1)
        return run(script, *arguments, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(runner, "run", failing)
    try:
        with pytest.raises(Unavailable, match="memory is full"):
            await storage.records.page(COLLECTION, "n", 0, 10)
    finally:
        redis.command("CONFIG", "SET", "maxmemory", 0)
    assert len(keyspace.indexes()["n"]) == STEP
    monkeypatch.undo()
    assert (await storage.records.page(COLLECTION, "n", 0, 10))[0] == 2 * STEP


async def test_a_list_never_says_that_a_write_may_have_been_carried_out(
    storage: Storage, runner: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The connection breaks while the index is filled."""
    await storage.records.put(Write(COLLECTION, "a", ME), b"[]")
    run = runner.run

    def unanswered(script: str, *arguments: Any, **more: Any) -> Any:
        if script == "fill_index":
            raise OutcomeUnknown("the write may or may not have been carried out")
        return run(script, *arguments, **more)

    monkeypatch.setattr(runner, "run", unanswered)
    with pytest.raises(Unavailable, match="while the index"):
        await storage.records.page(COLLECTION, "n", 0, 10)


async def test_only_the_expected_keys_remain(storage: Storage, keyspace: Keyspace) -> None:
    await listed_in_all_orders(storage)
    assert keyspace.names() == set()
    await storage.records.put(Write(COLLECTION, "a", ME), b"[]")
    await listed_in_all_orders(storage)
    assert keyspace.names() == {RECORD("a"), *COLLECTION.indexes} | REGISTRIES
