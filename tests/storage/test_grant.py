"""Tests grant: replaces all grants of a collection in one step; and that every write checks the grants."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from service.storage import keys
from service.storage.access.grants import PORTION, Grants
from service.storage.errors import Changed, Denied, NotFound, OutdatedGrants, Undeclared
from service.storage.fsck import check as fsck
from service.storage.records.conditions import UNCONDITIONAL, Condition
from service.storage.records.write import Write
from service.storage.root import Storage
from service.storage.scripts.bounds import INLINE_BYTES
from service.storage.scripts.runner import Runner
from tests.servers import RedisProcess
from tests.storage.keyspace import LIMIT, Keyspace
from tests.storage.test_memory_full import full

FIELD = keys.collection("auravant", "fields", "12345", "")
RECORD = FIELD.record
LARGE = b'["' + b"x" * INLINE_BYTES + b'"]'

Ask = Callable[[Storage, str], Awaitable[Any]]
WRITES: dict[str, tuple[str, Ask]] = {
    "create": ("w", lambda s, who: s.records.create(Write(FIELD, "new", who, subject=who), b"[]")),
    "create, large": ("w", lambda s, who: s.records.create(Write(FIELD, "new-large", who, subject=who), LARGE)),
    "put": ("w", lambda s, who: s.records.put(Write(FIELD, "a", who, subject=who), b"[1]")),
    "put, large": ("w", lambda s, who: s.records.put(Write(FIELD, "a", who, subject=who), LARGE)),
    "merge": ("w", lambda s, who: s.records.merge(Write(FIELD, "a", who, subject=who), b'{"b":1}', LIMIT)),
    "merge in the worker": (
        "w",
        lambda s, who: s.records.merge(Write(FIELD, "large", who, subject=who), b'{"b":1}', LIMIT),
    ),
    "delete": ("d", lambda s, who: s.records.delete(Write(FIELD, "a", subject=who))),
}


class Granting:
    """Makes grants, each with a later revision."""

    def __init__(self, runner: Runner) -> None:
        self.inner = Grants(runner)

    async def grant(self, collection: keys.Collection, verbs: dict[str, str] | None) -> list[str]:
        return await self.inner.grant(collection, verbs, await self.inner.revise())


@pytest.fixture
def grants(runner: Runner) -> Granting:
    return Granting(runner)


@pytest.fixture
async def filled(storage: Storage) -> Storage:
    await storage.records.put(Write(FIELD, "a", "me"), b'{"a":1}')
    await storage.records.put(Write(FIELD, "large", "me"), LARGE)
    return storage


def held(redis: RedisProcess) -> dict[bytes, bytes]:
    """Return the grants that are stored in Redis."""
    found: dict[bytes, bytes] = redis.command("HGETALL", FIELD.acl)
    return found


async def test_grants_replace_all_earlier_ones(grants: Granting, redis: RedisProcess) -> None:
    await grants.grant(FIELD, {"owner": "rwd", "reader": "r"})
    await grants.grant(FIELD, {"reader": "rw", "ünique \n": "r"})
    assert held(redis) == {b"": b"2", b"reader": b"rw", "ünique \n".encode(): b"r"}


async def test_granting_returns_the_earlier_grants(grants: Granting) -> None:
    assert await grants.grant(FIELD, {"owner": "rwd", "reader": "r"}) == []
    assert sorted(await grants.grant(FIELD, {"reader": "rw"})) == ["owner", "reader"]
    assert await grants.grant(FIELD, None) == ["reader"]
    assert await grants.grant(FIELD, {f"u{n}": "r" for n in range(6000)}) == []
    assert await grants.grant(FIELD, {}) == []


async def test_only_the_expected_keys_remain_after_grant(
    grants: Granting, keyspace: Keyspace, redis: RedisProcess
) -> None:
    await grants.grant(FIELD, {"owner": "rwd"})
    assert keyspace.names() == {FIELD.acl, keys.REVISION}
    await grants.grant(FIELD, {})
    assert redis.command("TTL", FIELD.acl) == -1
    await grants.grant(FIELD, None)
    assert keyspace.names() == {FIELD.acl, keys.REVISION}
    assert held(redis) == {b"": b"-3"}
    assert 86_000 < redis.command("TTL", FIELD.acl) <= 86_400
    await grants.grant(FIELD, {"owner": "r"})
    assert (held(redis), redis.command("TTL", FIELD.acl)) == ({b"": b"4", b"owner": b"r"}, -1)


async def test_grants_of_an_older_revision_never_replace_newer_ones(grants: Granting, redis: RedisProcess) -> None:
    """This holds in any order of the writes, also if the resource was undeclared."""
    earlier, later = await grants.inner.revise(), await grants.inner.revise()
    for latest in ({"owner": "r"}, None):
        await grants.inner.grant(FIELD, latest, later)
        there = held(redis)
        with pytest.raises(OutdatedGrants) as caught:
            await grants.inner.grant(FIELD, {"owner": "rwd"}, earlier)
        assert (caught.value.revision, held(redis)) == (later, there)
        await grants.inner.grant(FIELD, latest, later)  # granting is idempotent


@pytest.mark.parametrize("count", [0, 1, PORTION - 1, PORTION, PORTION + 1, 3 * PORTION])
async def test_any_number_of_subjects_can_be_granted_at_once(
    grants: Granting, redis: RedisProcess, keyspace: Keyspace, count: int
) -> None:
    await grants.grant(FIELD, {"earlier": "r"})
    wanted = {f"u{n}": "rw" for n in range(count)}
    await grants.grant(FIELD, wanted)
    assert held(redis) == {b"": b"2"} | {k.encode(): v.encode() for k, v in wanted.items()}
    assert keyspace.names() == {FIELD.acl, keys.REVISION}
    assert redis.command("TTL", FIELD.acl) == -1


@pytest.mark.parametrize("title", WRITES)
async def test_a_write_needs_its_verb(
    filled: Storage, grants: Granting, redis: RedisProcess, keyspace: Keyspace, title: str
) -> None:
    verb, write = WRITES[title]
    await grants.grant(FIELD, {"other": "rwd", "without": "rwd".replace(verb, ""), "with": verb})
    before = keyspace.names(), redis.command("GET", RECORD("a")), redis.command("GET", RECORD("large"))
    for who in ("without", "stranger", "wit", "with "):
        with pytest.raises(Denied) as caught:
            await write(filled, who)
        assert type(caught.value) is Denied
    assert (keyspace.names(), redis.command("GET", RECORD("a")), redis.command("GET", RECORD("large"))) == before
    await write(filled, "with")


@pytest.mark.parametrize("title", WRITES)
async def test_an_undeclared_resource_is_refused_differently_from_a_forbidden_one(
    filled: Storage, keyspace: Keyspace, title: str
) -> None:
    before = keyspace.names()
    with pytest.raises(Undeclared):
        await WRITES[title][1](filled, "owner")
    assert keyspace.names() == before


async def test_permission_is_checked_before_the_record_is_read(filled: Storage, grants: Granting) -> None:
    """Otherwise a refusal would show whether there is a record."""
    await grants.grant(FIELD, {})
    absent = Condition(none_match=frozenset({"*"}))
    for condition in (UNCONDITIONAL, absent):
        for id in ("a", "none"):
            with pytest.raises(Denied):
                await filled.records.put(Write(FIELD, id, "me", subject="stranger", condition=condition), b"[]")
            with pytest.raises(Denied):
                await filled.records.delete(Write(FIELD, id, subject="stranger", condition=condition))
            with pytest.raises(Denied):
                await filled.records.merge(
                    Write(FIELD, id, "me", subject="stranger", condition=condition), b"{}", LIMIT
                )
    await grants.grant(FIELD, {"owner": "rwd"})
    with pytest.raises(Changed):
        await filled.records.put(Write(FIELD, "a", "me", subject="owner", condition=absent), b"[]")
    with pytest.raises(NotFound):
        await filled.records.delete(Write(FIELD, "none", subject="owner"))


async def test_a_collection_without_scopes_needs_no_permission(filled: Storage, grants: Granting) -> None:
    for _, write in WRITES.values():
        await write(filled, "")


async def test_no_write_is_carried_out_after_its_permission_was_revoked(
    storage: Storage, grants: Granting, redis: RedisProcess
) -> None:
    """Writes are in flight in any order with the revocation. A refused or later write stores nothing."""
    await grants.grant(FIELD, {"owner": "rwd"})
    writes = [
        asyncio.create_task(storage.records.put(Write(FIELD, f"k{n}", "me", subject="owner"), b"[]"))
        for n in range(300)
    ]
    await asyncio.sleep(0)
    await grants.grant(FIELD, {})
    landed = set(redis.command("KEYS", RECORD("") + "*"))
    outcomes = await asyncio.gather(*writes, return_exceptions=True)
    assert set(redis.command("KEYS", RECORD("") + "*")) == landed
    assert len(landed) == sum(not isinstance(outcome, Denied) for outcome in outcomes)


async def test_grants_can_be_revoked_when_memory_is_full(
    filled: Storage, grants: Granting, redis: RedisProcess
) -> None:
    await grants.grant(FIELD, {"owner": "rwd", "reader": "r"})
    with full(redis):
        await grants.grant(FIELD, {"reader": "r"})
        assert held(redis) == {b"": b"2", b"reader": b"r"}
        await grants.grant(FIELD, None)
    assert held(redis) == {b"": b"-3"}


async def test_fsck_accepts_grants_and_records_without_an_index(
    filled: Storage, grants: Granting, redis: RedisProcess
) -> None:
    await grants.grant(FIELD, {"owner": "rwd"})
    out: list[str] = []
    assert await fsck.run(redis.url, repair=True, out=out.append) == 0, out
    assert out == ["0 faults found"]
