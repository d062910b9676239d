"""Tests changes: reads the entries of a journal, oldest first; and that each write enters its change."""

import asyncio
from dataclasses import dataclass

import pytest

from service.storage.errors import AlreadyExists, Changed, Invalid, NotFound, QuotaExceeded, Trimmed, UnknownCursor
from service.storage.fsck import check as fsck
from service.storage.journal import journal as reading
from service.storage.journal.change import Change
from service.storage.journal.retention import Retention
from service.storage.records.conditions import Condition
from service.storage.records.quota import Quota, Usage
from service.storage.records.record import etag
from service.storage.records.write import Write
from service.storage.root import Storage
from service.storage.scripts.bounds import INLINE_BYTES, MERGE_BYTES
from service.storage.scripts.identity import Idempotency
from service.storage.scripts.runner import Runner
from tests.running import while_it_lives
from tests.servers import RedisProcess
from tests.storage.keyspace import COLLECTION, INDEXES, LIMIT, ME, RECORD, REGISTRIES, Keyspace

KEPT = Retention()
STREAM, STATE = COLLECTION.journaled
JOURNAL = {STREAM, STATE}


@dataclass
class Author:
    """Writes into a collection with a journal."""

    storage: Storage
    retention: Retention = KEPT

    def write(self, id: str, lifetime: str = "", condition: Condition | None = None, **more: object) -> Write:
        return Write(
            COLLECTION,
            id,
            ME,
            lifetime=lifetime,
            condition=condition or Condition(),
            journal=self.retention,
            **more,  # type: ignore[arg-type]
        )

    async def put(self, id: str, body: bytes = b"{}", lifetime: str = "") -> None:
        await self.storage.records.put(self.write(id, lifetime), body)

    async def all(self) -> list[Change]:
        page = await self.storage.journal.read(COLLECTION, None, 1000)
        assert not page.more
        assert page.next == (page.changes[-1].cursor if page.changes else page.next)
        return page.changes


@pytest.fixture
def author(storage: Storage) -> Author:
    return Author(storage)


def brief(changes: list[Change]) -> list[tuple[str, str, int | None, bytes | None]]:
    return [(each.operation, each.id, each.version, each.value) for each in changes]


async def test_each_write_enters_its_change(storage: Storage, author: Author, keyspace: Keyspace) -> None:
    saved = await storage.records.create(author.write("a"), b'{"n":1}')
    await author.put("a", b'{"n":2}')
    await storage.records.merge(author.write("a"), b'{"m":3}', LIMIT)
    await storage.records.delete(author.write("a"))
    await author.put("é{}", b"[]")
    found = await author.all()
    assert brief(found) == [
        ("create", "a", 1, b'{"n":1}'),
        ("put", "a", 2, b'{"n":2}'),
        ("patch", "a", 3, b'{"n":2,"m":3}'),
        ("delete", "a", 3, None),
        ("put", "é{}", 1, b"[]"),
    ]
    assert [each.etag for each in found] == [
        *(etag(each.value or b"") for each in found[:3]),
        found[2].etag,
        etag(b"[]"),
    ]
    assert [each.size for each in found] == [7, 7, 13, None, 2]
    assert {each.author for each in found} == {ME}
    assert found[0].at == saved.updated
    assert [each.at for each in found] == sorted(each.at for each in found)
    assert found[-1].at == keyspace.record("é{}").updated


async def test_a_refused_write_enters_nothing(storage: Storage, author: Author) -> None:
    await author.put("a")
    other = Condition(match=frozenset({"zzz"}))
    with pytest.raises(AlreadyExists):
        await storage.records.create(author.write("a"), b"[]")
    with pytest.raises(Changed):
        await storage.records.put(author.write("a", condition=other), b"[]")
    with pytest.raises(Changed):
        await storage.records.merge(author.write("a", condition=other), b"{}", LIMIT)
    with pytest.raises(Changed):
        await storage.records.delete(author.write("a", condition=other))
    with pytest.raises(Changed):
        await storage.records.delete(author.write("b", condition=Condition(match=frozenset({"*"}))))
    with pytest.raises(NotFound):
        await storage.records.delete(author.write("b"))
    with pytest.raises(Invalid):
        await author.put("b", lifetime="1")
    assert brief(await author.all()) == [("put", "a", 1, b"{}")]


async def test_without_a_journal_nothing_is_entered(storage: Storage, keyspace: Keyspace) -> None:
    await storage.records.put(Write(COLLECTION, "a", ME), b"[]")
    await storage.records.sweep(COLLECTION)
    assert not keyspace.names() & JOURNAL
    page = await storage.journal.read(COLLECTION, None, 10)
    assert (page.changes, page.next, page.more) == ([], "0-0", False)
    assert await storage.journal.latest(COLLECTION) == "0-0"


async def test_long_values_are_not_kept(storage: Storage, author: Author) -> None:
    for length in (INLINE_BYTES, INLINE_BYTES + 1):
        await author.put("a", b'"' + b"x" * (length - 2) + b'"')
    await storage.records.create(author.write("b"), b'{"x":"' + b"x" * MERGE_BYTES + b'"}')
    await storage.records.merge(author.write("b"), b'{"y":1}', LIMIT)
    found = await author.all()
    assert [(each.operation, each.size, each.value is not None) for each in found] == [
        ("put", INLINE_BYTES, True),
        ("put", INLINE_BYTES + 1, False),
        ("create", MERGE_BYTES + 8, False),
        ("patch", MERGE_BYTES + 14, False),
    ]
    assert found[2].etag == etag(b'{"x":"' + b"x" * MERGE_BYTES + b'"}')


async def test_a_journal_may_leave_values_out(storage: Storage) -> None:
    author = Author(storage, Retention(values=False))
    await author.put("a", b"[1]")
    (found,) = await author.all()
    assert (found.value, found.size, found.etag) == (None, 3, etag(b"[1]"))


async def test_an_append_is_a_patch(storage: Storage, author: Author) -> None:
    await storage.scoped.append(author.write("a"), b"[1]", LIMIT, creating=True)
    await storage.scoped.append(author.write("a"), b"[2]", LIMIT)
    assert brief(await author.all()) == [("create", "a", 1, b"[1]"), ("patch", "a", 2, b"[1,2]")]


async def test_an_expiry_is_entered_when_it_is_swept(storage: Storage, author: Author, keyspace: Keyspace) -> None:
    await author.put("a", b"[1]")
    await author.put("a", b"[2]", lifetime="+20")
    await author.put("stays", lifetime="+60000")
    keyspace.wait_past(keyspace.scores(COLLECTION.expiry)["a"])
    await storage.records.sweep(COLLECTION)
    last = (await author.all())[-1]
    assert (last.operation, last.id, last.version, last.etag) == ("expire", "a", 2, etag(b"[2]"))
    assert (last.author, last.size, last.value) == (None, None, None)
    assert {name for name in keyspace.command("HKEYS", STATE) if name.startswith(b":")} == {b":stays"}
    await author.put("stays")
    assert not {name for name in keyspace.command("HKEYS", STATE) if name.startswith(b":")}


async def test_the_expiry_comes_before_the_record_is_made_again(author: Author, keyspace: Keyspace) -> None:
    """This holds even if a write removes only two other expired records."""

    async def made_again(seconds: float) -> None:
        ids = [f"{name} {seconds}" for name in ("a", "b", "c", "d", "again")]  # no entry of a shorter attempt counts
        again = ids[-1]
        for id in ids:
            await author.put(id, b"[1]", lifetime=f"+{1000 * seconds + 5 * (id == again):.0f}")
        keyspace.wait_past(keyspace.scores(COLLECTION.expiry)[again])
        await author.put(again, b"[2]")
        found = [each for each in await author.all() if each.id in ids]
        assert brief([each for each in found if each.id == again]) == [
            ("put", again, 1, b"[1]"),
            ("expire", again, 1, None),
            ("put", again, 1, b"[2]"),
        ]
        assert [each.operation for each in found].count("expire") == 3

    await while_it_lives(0.03, made_again)


async def test_a_record_older_than_its_journal_expires_without_version_and_etag(
    storage: Storage, author: Author, keyspace: Keyspace
) -> None:
    saved = await storage.records.put(Write(COLLECTION, "old", ME, lifetime="+20"), b"[]")
    await author.put("a")
    keyspace.wait_past(saved.expires)
    await storage.records.sweep(COLLECTION)
    last = (await author.all())[-1]
    assert (last.operation, last.id, last.version, last.etag) == ("expire", "old", None, None)


async def test_racing_writers_are_entered_once_each_in_the_order_of_versions(storage: Storage, author: Author) -> None:
    await asyncio.gather(
        *(author.put("a", b"[%d]" % n) for n in range(30)),
    )
    assert [each.version for each in await author.all()] == [*range(1, 31)]
    outcomes = await asyncio.gather(
        *(storage.records.delete(author.write("a")) for _ in range(10)), return_exceptions=True
    )
    assert outcomes.count(None) == 1
    assert [each.operation for each in await author.all()].count("delete") == 1


async def test_a_repeated_request_is_entered_once(storage: Storage, author: Author) -> None:
    def again(what: str) -> Idempotency:
        found = Idempotency(who=("k" + what,), what=(what,), how=())
        found.whole = True
        return found

    for _ in range(2):
        await storage.records.put(author.write("a", idempotency=again("put")), b'{"n":1}')
    for _ in range(2):
        await storage.records.merge(author.write("a", idempotency=again("patch")), b'{"m":1}', LIMIT)
    for _ in range(2):
        await storage.records.delete(author.write("a", idempotency=again("delete")))
    assert [each.operation for each in await author.all()] == ["put", "patch", "delete"]


async def test_each_page_of_changes_begins_after_the_last_one(storage: Storage, author: Author) -> None:
    for n in range(70):
        await author.put(f"k{n % 7}", b"[%d]" % n)
    for limit in (1, 7, 32, 33, 69, 70, 71):
        found: list[Change] = []
        cursor: str | None = None
        more = True
        while more:
            page = await storage.journal.read(COLLECTION, cursor, limit)
            assert len(page.changes) == min(limit, 70 - len(found))
            found += page.changes
            cursor, more = page.next, page.more
        assert [each.value for each in found] == [b"[%d]" % n for n in range(70)]
        last = await storage.journal.read(COLLECTION, cursor, limit)
        assert (last.changes, last.next, last.more) == ([], cursor, False)
        assert cursor == await storage.journal.latest(COLLECTION)


async def test_a_page_of_long_values_ends_early(
    storage: Storage, author: Author, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = b'"' + b"x" * 20_000 + b'"'
    for _ in range(60):
        await author.put("a", body)
    assert len((await storage.journal.changes(COLLECTION, None, 60)).changes) == 25
    assert len((await storage.journal.read(COLLECTION, None, 60)).changes) == 60
    monkeypatch.setattr(reading, "PAGE_BYTES", 800_000)
    page = await storage.journal.read(COLLECTION, None, 60)
    assert (len(page.changes), page.more) == (50, True)


@pytest.mark.parametrize(
    "cursor", ["", "x", "1", "-1-0", "1-", "01-0", "1-0 ", "1-0-0", "9" * 20 + "-0", "\u0661-\u0660"]
)
async def test_an_invalid_cursor_is_refused(storage: Storage, cursor: str) -> None:
    with pytest.raises(Invalid):
        await storage.journal.read(COLLECTION, cursor, 1)


async def test_the_number_of_entries_is_limited(storage: Storage) -> None:
    author = Author(storage, Retention(entries=50))
    lengths = []
    for n in range(400):
        await author.put("a", b"[%d]" % n)
        lengths.append(len(await author.all()) if n % 10 == 9 else 0)
    assert 50 <= min(lengths[49::10]) <= max(lengths) <= 50 + 123  # as lua/include/trim_now_and_then.lua says


async def test_a_trimmed_cursor_is_refused_and_the_oldest_works(storage: Storage, keyspace: Keyspace) -> None:
    author = Author(storage, Retention(entries=10))
    cursors = []
    for n in range(110):
        await author.put("a", b"[%d]" % n)
        cursors.append(await storage.journal.latest(COLLECTION))
    await storage.records.sweep(COLLECTION)
    assert keyspace.command("XLEN", STREAM) == 10
    for cursor in ("0-0", cursors[0], cursors[98]):
        with pytest.raises(Trimmed) as refused:
            await storage.journal.read(COLLECTION, cursor, 5)
        assert refused.value.oldest == cursors[99]
    page = await storage.journal.read(COLLECTION, cursors[99], 100)  # no entry after the cursor was removed
    assert [each.cursor for each in page.changes] == cursors[100:]


@pytest.mark.parametrize("trimmed", [False, True])
async def test_a_cursor_that_the_journal_does_not_have_is_refused(
    storage: Storage, keyspace: Keyspace, trimmed: bool
) -> None:
    author = Author(storage, Retention(entries=1))
    for n in range(3):
        await author.put("a", b"[%d]" % n)
    if trimmed:
        await storage.records.sweep(COLLECTION)
    last = await storage.journal.latest(COLLECTION)
    start = await storage.journal.oldest(COLLECTION)
    assert (start != "0-0") == trimmed
    assert (await storage.journal.read(COLLECTION, last, 5)).changes == []
    keyspace.command("XDEL", STREAM, last)  # as if a failover had lost it
    for _ in range(2):
        for cursor in (last, "9999999999999-0"):
            with pytest.raises(UnknownCursor) as refused:
                await storage.journal.read(COLLECTION, cursor, 5)
            assert refused.value.oldest == start
        await author.put("a")  # this entry has a later cursor: the lost one must not be skipped
    assert len((await storage.journal.read(COLLECTION, start, 1000)).changes) == len(await author.all())


async def test_old_entries_are_removed_from_an_idle_collection(
    storage: Storage, runner: Runner, keyspace: Keyspace
) -> None:
    author = Author(storage, Retention(seconds=3600))
    for n in range(128):
        keyspace.command("XADD", STREAM, f"{1_000_000 + n}-0", "h", "", "t", 10 * (n + 1), "v", "")
    keyspace.command("HSET", STATE, "bytes", 1280, "limits", "10000 3600")
    await author.put("a")
    await storage.records.delete(author.write("a"))
    swept = await storage.records.sweep(COLLECTION)
    assert swept.journaled
    assert [each.operation for each in await author.all()] == ["put", "delete"]
    assert keyspace.command("HMGET", STATE, "trimmed", "freed") == [b"1000127-0", b"1280"]
    with pytest.raises(Trimmed):
        await storage.journal.read(COLLECTION, "1000126-0", 5)
    keyspace.command("HSET", STATE, "limits", "10 0")  # all entries are too old now
    last = await storage.journal.latest(COLLECTION)
    keyspace.wait_past(int(last.split("-")[0]))
    await storage.records.sweep(COLLECTION)
    assert keyspace.command("XLEN", STREAM) == 0
    assert await storage.journal.latest(COLLECTION) == last
    assert (await storage.journal.read(COLLECTION, last, 5)).changes == []
    assert (await storage.journal.read(COLLECTION, None, 5)).next == last
    assert (await Usage(runner).count(COLLECTION)) == (0, 0)


async def test_the_journal_counts_in_the_quota(storage: Storage, runner: Runner, redis: RedisProcess) -> None:
    quota, usage = Quota(bytes=5_000), Usage(runner)
    author = Author(storage, Retention(entries=20))
    body = b'"' + b"x" * 8 + b'"'
    for n in range(300):
        lifetime = "+1" if n % 9 == 8 else ""
        try:
            await storage.records.put(author.write(f"k{n % 5}", lifetime, quota=quota), body)
        except QuotaExceeded:
            break
        if n % 7 == 6:
            await storage.records.delete(author.write(f"k{n % 5}", quota=quota)) if not lifetime else None
        assert await usage.stored(COLLECTION) == await usage.count(COLLECTION)
    else:
        pytest.fail("the quota was never used up")
    _, size = await usage.count(COLLECTION)
    entry = 64 + 2 + len(ME) + 10
    assert 5_000 - 2 * entry < size <= 5_000 + 2 * entry  # an expiry, and a delete, are entered in any case
    told: list[str] = []
    assert await fsck.run(redis.url, repair=False, out=told.append) == 0, told


async def test_trimmed_entries_free_their_quota(storage: Storage, runner: Runner) -> None:
    quota, usage = Quota(bytes=1_000_000), Usage(runner)
    author = Author(storage, Retention(entries=10))
    for n in range(250):
        await storage.records.put(author.write("a", quota=quota), b"[%d]" % (n % 10))
        assert await usage.stored(COLLECTION) == await usage.count(COLLECTION)
    entries = await author.all()
    assert (await usage.count(COLLECTION))[1] == 3 + len(entries) * (64 + 1 + len(ME) + 3)


async def test_only_the_expected_keys_remain(storage: Storage, author: Author, keyspace: Keyspace) -> None:
    await author.put("a", lifetime="+60000")
    await author.put("b")
    assert keyspace.names() == {RECORD("a"), RECORD("b"), COLLECTION.expiry} | INDEXES | REGISTRIES | JOURNAL
    for id in ("a", "b"):
        await storage.records.delete(author.write(id))
    await storage.records.sweep(COLLECTION)
    await author.all()
    assert keyspace.names() == REGISTRIES | JOURNAL
    assert set(keyspace.command("HKEYS", STATE)) == {b"bytes", b"limits"}


async def test_many_old_entries_are_removed_in_several_steps(storage: Storage, keyspace: Keyspace) -> None:
    author = Author(storage, Retention(seconds=3600))
    for n in range(1600):
        keyspace.command("XADD", STREAM, f"{1_000_000 + n}-0", "h", "", "t", 10 * (n + 1), "v", "")
    keyspace.command("HSET", STATE, "bytes", 16_000, "limits", "10000 3600")
    await author.put("a")
    steps = 1
    while (await storage.records.sweep(COLLECTION)).more:
        steps += 1
    assert steps > 3
    assert [each.operation for each in await author.all()] == ["put"]
    assert keyspace.command("HMGET", STATE, "trimmed", "freed") == [b"1001599-0", b"16000"]
