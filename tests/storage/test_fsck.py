"""Tests fsck: every kind of damage is found and repaired, and writers beside it cause no false findings."""

import asyncio
from collections.abc import Callable

import pytest

from service.storage import keys
from service.storage.errors import Trimmed
from service.storage.fsck import check as fsck
from service.storage.journal.change import BEGINNING, before, position
from service.storage.journal.retention import Retention
from service.storage.records.quota import Quota
from service.storage.records.write import Write
from service.storage.root import Storage
from service.storage.scripts.bounds import INLINE_BYTES
from tests.running import while_it_lives
from tests.servers import RedisProcess
from tests.storage.keyspace import COLLECTION, ME, RECORD, USAGE, Keyspace, numbered

Damage = Callable[[Keyspace], object]


async def check(redis: RedisProcess, *, repair: bool = False) -> tuple[int, list[str]]:
    out: list[str] = []
    status = await fsck.run(redis.url, repair=repair, out=out.append)
    return status, out


@pytest.fixture
async def filled(storage: Storage) -> Storage:
    """Store records of every kind: with and without expiry, small and large, expired and not swept."""
    quota = Quota(documents=100)
    for id in numbered(5):
        await storage.records.put(Write(COLLECTION, id, ME, quota=quota), b'["%s"]' % id.encode())
    await storage.records.put(Write(COLLECTION, "later", ME, lifetime="+600000", quota=quota), b"[]")
    await storage.records.put(Write(COLLECTION, "large", ME, quota=quota), b'["' + b"x" * INLINE_BYTES + b'"]')
    await storage.records.put(
        Write(keys.collection("ainoflow", "acme", "x:y {z}", "cusn"), "ä:b", ME, quota=quota), b"[]"
    )
    await storage.records.put(Write(keys.collection("ainoflow", "other", "orders", "cusn"), "a", ME), b"[]")
    return storage


async def test_an_empty_redis_has_no_fault(redis: RedisProcess) -> None:
    assert await check(redis) == (0, ["0 faults found"])


async def test_a_correct_redis_has_no_fault(filled: Storage, redis: RedisProcess) -> None:
    assert await check(redis) == (0, ["0 faults found"])
    assert await check(redis, repair=True) == (0, ["0 faults found"])


async def test_expired_members_before_their_sweep_are_no_fault(
    storage: Storage, redis: RedisProcess, keyspace: Keyspace
) -> None:
    for id in numbered(3):
        gone = await storage.records.put(Write(COLLECTION, id, ME, lifetime="+20", quota=Quota(documents=9)), b"[]")
    keyspace.wait_past(gone.expires)
    assert await check(redis) == (0, ["0 faults found"])


DAMAGE: dict[str, tuple[Damage, str]] = {
    "an index lacks a record": (lambda k: k.command("ZREM", COLLECTION.index("s"), "k00001"), "index s: missing"),
    "an index of updates is wrong": (lambda k: k.plant("k00001", u=1), "index u: wrong"),
    "no index has a record": (
        lambda k: [k.command("ZREM", i, "k00001") for i in COLLECTION.indexes],
        "index c: missing",
    ),
    "all indexes are gone": (lambda k: k.command("DEL", *COLLECTION.indexes), "index s: missing"),
    "an index is wrong": (lambda k: k.plant("k00001", s=1), "index s: wrong"),
    "an index names no record": (lambda k: k.plant("ghost", c=1), "index c: without a record"),
    "a record is gone": (lambda k: k.command("DEL", RECORD("k00002")), "index c: without a record"),
    "a record that expires is gone": (lambda k: k.command("DEL", RECORD("later")), "expiry: without a record"),
    "the expiry set lacks a record": (lambda k: k.command("ZREM", COLLECTION.expiry, "later"), "expiry: missing"),
    "the expiry set is wrong": (lambda k: k.plant("later", x=253402300799999), "expiry: wrong"),
    "the expiry set names a record for ever": (lambda k: k.plant("k00001", x=9_000_000_000_000), "expiry: without"),
    "a due name of a record for ever": (lambda k: k.plant("k00001", x=1), "expiry: without a record"),
    "a native expiry is gone": (lambda k: k.command("PERSIST", RECORD("later")), "native expiry: wrong"),
    "a native expiry is wrong": (lambda k: k.command("EXPIRE", RECORD("later"), 90), "native expiry: wrong"),
    "a native expiry too many": (lambda k: k.command("EXPIRE", RECORD("k00001"), 90), "there should be none"),
    "a collection is not named": (
        lambda k: k.command("ZREM", COLLECTION.registry, "orders"),
        "registry does not name it",
    ),
    "a registry is gone": (lambda k: k.command("DEL", COLLECTION.registry), "registry does not name it"),
    "a namespace is not named": (
        lambda k: k.command("HDEL", keys.NAMESPACES, "ainoflow:acme"),
        "is not among the namespaces",
    ),
    "a staged body stays": (lambda k: k.command("SET", COLLECTION.staged("0f"), "x"), "staged, and never expires"),
    "a usage is wrong": (lambda k: k.command("SET", USAGE, "1 1", "EX", 100), "usage: says (1, 1), counted (8, "),
    "an index without any record": (
        lambda k: k.command("ZADD", "{ainoflow:acme:lost}c", 5, "ghost"),
        "registry does not name it",
    ),
}


@pytest.mark.parametrize("damage", DAMAGE)
async def test_damage_is_found_reported_and_repaired(
    filled: Storage, redis: RedisProcess, keyspace: Keyspace, damage: str
) -> None:
    do, fault = DAMAGE[damage]
    do(keyspace)
    status, out = await check(redis)
    assert status == 1
    assert any(fault in line for line in out)
    assert out[-1].endswith("found")
    assert await check(redis) == (1, out)  # the check changed nothing
    status, repaired = await check(redis, repair=True)
    assert (status, repaired[-1].endswith("repaired")) == (1, True)
    assert await check(redis) == (0, ["0 faults found"])


async def test_a_namespace_is_named_again_with_the_kinds_of_index_that_it_may_have(
    filled: Storage, redis: RedisProcess, keyspace: Keyspace
) -> None:
    """Its collections have not been listed by update or id, so no key shows that there can be such an index."""
    keyspace.command("DEL", keys.NAMESPACES)
    await check(redis, repair=True)
    kinds = set(keyspace.command("HVALS", keys.NAMESPACES))
    assert {"".join(sorted(each.decode())) for each in kinds} == {"cnsu"}


async def test_repaired_data_works_again(filled: Storage, redis: RedisProcess, keyspace: Keyspace) -> None:
    before = keyspace.indexes()
    keyspace.command("DEL", *COLLECTION.indexes, COLLECTION.expiry, COLLECTION.registry, keys.NAMESPACES, USAGE)
    assert await filled.records.count(COLLECTION) == 0
    await check(redis, repair=True)
    assert keyspace.indexes() == before
    assert (await filled.records.collections("ainoflow", "acme", "cusn"))[COLLECTION] == 7
    assert await check(redis) == (0, ["0 faults found"])


async def test_an_expired_record_that_lost_the_expiry_of_its_key_is_removed(
    storage: Storage, redis: RedisProcess, keyspace: Keyspace
) -> None:
    async def lives(seconds: float) -> int:
        gone = await storage.records.put(Write(COLLECTION, "a", ME, lifetime=f"+{round(seconds * 1000)}"), b"[]")
        assert keyspace.command("PERSIST", RECORD("a")) == 1
        return gone.expires

    keyspace.wait_past(await while_it_lives(0.04, lives))
    status, out = await check(redis, repair=True)
    assert (status, out[0]) == (1, f"{RECORD('a')}: native expiry: missing, the record has expired")
    assert RECORD("a") not in keyspace.names()
    assert (await check(redis))[0] == 0


@pytest.mark.parametrize("value", ["", "\xff", "no header at all", "\x03\x93\x01\x02\x03"])
async def test_an_unreadable_record_is_reported_and_unchanged(filled: Storage, redis: RedisProcess, value: str) -> None:
    redis.command("SET", RECORD("broken"), value.encode("latin-1") or b"\0")
    for repair in (False, True):
        status, out = await check(redis, repair=repair)
        assert status == 1
        assert any(line.startswith(f"{RECORD('broken')}: cannot be read") for line in out)
    assert redis.command("EXISTS", RECORD("broken")) == 1


async def test_a_key_of_another_type_is_reported_and_unchanged(filled: Storage, redis: RedisProcess) -> None:
    redis.command("RPUSH", RECORD("list"), "x")
    status, out = await check(redis, repair=True)
    assert (status, any("WRONGTYPE" in line for line in out)) == (1, True)


async def test_keys_of_other_programs_are_ignored(filled: Storage, redis: RedisProcess) -> None:
    redis.command("SET", "foreign", "x")
    redis.command("RPUSH", "{a:b:c}list", "x")
    assert await check(redis) == (0, ["0 faults found"])


async def test_two_objects_of_one_collection_are_no_damage(
    filled: Storage, redis: RedisProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If there are more collections than are cached, one collection may be two objects."""
    monkeypatch.setattr(keys, "collection", keys.Collection)
    assert await check(redis) == (0, ["0 faults found"])


async def test_fsck_finds_no_damage_beside_writers(filled: Storage, redis: RedisProcess) -> None:
    working = True

    async def work(n: int) -> None:
        step = 0
        while working:
            step += 1
            collection = keys.collection("ainoflow", "acme", f"c{step % 3}", "cusn")
            id, quota = f"k{n}-{step % 20}", Quota(documents=100_000)
            await filled.records.put(
                Write(collection, id, ME, lifetime="+5" if step % 4 else "", quota=quota), b"[%d]" % step
            )
            if step % 5 == 0:
                await asyncio.gather(filled.records.delete(Write(collection, id, quota=quota)), return_exceptions=True)
            await filled.records.sweep(collection)

    workers = [asyncio.create_task(work(n)) for n in range(4)]
    for _ in range(5):
        assert await check(redis) == (0, ["0 faults found"])
    working = False
    await asyncio.gather(*workers)
    assert await check(redis, repair=True) == (0, ["0 faults found"])


async def test_a_journal_with_wrong_counts_is_found_and_repaired(storage: Storage, redis: RedisProcess) -> None:
    for _ in range(3):
        await storage.records.put(Write(COLLECTION, "a", ME, journal=Retention()), b"[]")
    state = COLLECTION.journal_state
    redis.command("HINCRBY", state, "bytes", 7)
    redis.command("HSET", state, ":none", "1 ff")
    told: list[str] = []
    assert await fsck.run(redis.url, repair=True, out=told.append) == 1
    assert len([line for line in told if line.startswith(state)]) == 2, told
    assert await fsck.run(redis.url, repair=False, out=told.append) == 0, told


async def cursors(storage: Storage, after: str | None) -> list[str]:
    """Read the journal one change at a time."""
    found = []
    while (page := await storage.journal.read(COLLECTION, after, 1)).changes:
        after = page.next
        found.append(after)
    return found


@pytest.mark.parametrize("removed", [0, 2])
@pytest.mark.parametrize("ahead", [0, 1_000_000])
async def test_a_removed_cursor_behind_entries_is_found_and_repaired(
    storage: Storage, redis: RedisProcess, removed: int, ahead: int
) -> None:
    """Imports of earlier versions set this cursor. All readers of the entries before it were refused."""
    for _ in range(5):
        await storage.records.put(Write(COLLECTION, "a", ME, journal=Retention(entries=5 - removed)), b"[]")
    if removed:
        await storage.records.sweep(COLLECTION)
    whole = await cursors(storage, None)
    assert await check(redis) == (0, ["0 faults found"])
    ms, number = position(whole[1])
    redis.command("HSET", COLLECTION.journal_state, "trimmed", f"{ms + ahead}-{number}")
    with pytest.raises(Trimmed):
        await storage.journal.read(COLLECTION, whole[0], 1)
    status, told = await check(redis)
    assert (status, len(told)) == (1, 2), told
    assert f"the first one is {whole[0]}" in told[0]
    assert (await check(redis, repair=True))[0] == 1
    assert await check(redis) == (0, ["0 faults found"])
    assert await cursors(storage, None) == whole
    assert await cursors(storage, whole[0]) == whole[1:]
    oldest = await storage.journal.oldest(COLLECTION)
    assert await cursors(storage, oldest) == whole
    assert (oldest == BEGINNING) == (not removed)
    if removed:
        with pytest.raises(Trimmed):
            await storage.journal.read(COLLECTION, BEGINNING, 1)


async def test_a_journal_without_its_stream_is_found_and_continues_after_its_removed_entries(
    storage: Storage, redis: RedisProcess
) -> None:
    """Earlier versions imported journals without entries in this way. Later changes may be before the removed ones."""
    await storage.records.put(Write(COLLECTION, "a", ME), b"[]")
    trimmed = "8000000000000-5"
    redis.command("HSET", COLLECTION.journal_state, "bytes", "500", "freed", "500", "trimmed", trimmed)
    assert (await check(redis))[0] == 1
    assert (await check(redis, repair=True))[0] == 1
    assert await check(redis) == (0, ["0 faults found"])
    await storage.records.put(Write(COLLECTION, "a", ME, journal=Retention()), b"[]")
    assert len(await cursors(storage, trimmed)) == 1
    assert await check(redis) == (0, ["0 faults found"])


@pytest.mark.parametrize(
    ("cursor", "wanted"),
    [("5-7", "5-6"), ("5-1", "5-0"), ("5-0", "4-999999999999999"), ("0-1", BEGINNING), ("0-0", BEGINNING)],
)
def test_the_cursor_before_another_one(cursor: str, wanted: str) -> None:
    assert before(cursor) == wanted
