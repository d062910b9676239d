"""Tests batch: makes several writes in one atomic step."""

import asyncio
from contextlib import suppress
from functools import partial
from typing import Any, Literal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from service.storage.errors import (
    AlreadyExists,
    Changed,
    Invalid,
    NotFound,
    OperationRefused,
    QuotaExceeded,
    Refusal,
    TooLarge,
)
from service.storage.journal.retention import Retention
from service.storage.records.batches import Operation, Outcome
from service.storage.records.conditions import ANY, Condition
from service.storage.records.quota import Quota, Usage
from service.storage.records.record import etag
from service.storage.records.write import Write
from service.storage.root import Storage
from tests.storage.keyspace import COLLECTION, INDEXES, LIMIT, ME, RECORD, REGISTRIES, Keyspace

WRITE = Write(COLLECTION, caller=ME)
create, put, patch, delete = (partial(Operation, op) for op in ("create", "put", "patch", "delete"))
MATCH, NONE_MATCH = Condition(match=ANY), Condition(none_match=ANY)


def matching(body: bytes) -> Condition:
    return Condition(match=frozenset({etag(body)}))


async def batch(storage: Storage, *operations: Operation, write: Write = WRITE) -> list[Outcome]:
    return await storage.batches.batch(write, operations, LIMIT)


async def refused(storage: Storage, *operations: Operation, number: int) -> Refusal:
    with pytest.raises(OperationRefused) as caught:
        await batch(storage, *operations)
    assert caught.value.operation == number
    return caught.value.cause


async def body(storage: Storage, id: str) -> bytes | None:
    found = await storage.records.find_current(COLLECTION, id)
    return None if found is None else bytes(found.body)


async def test_an_operation_sees_the_results_of_earlier_ones(storage: Storage, keyspace: Keyspace) -> None:
    await batch(storage, create("old", b"[0]"))
    outcomes = await batch(
        storage,
        create("a", b'{ "n" : 1 }'),
        put("a", b'{ "n" : 2 }', condition=matching(b'{ "n" : 1 }')),
        patch("a", b'{"m":[]}', condition=matching(b'{ "n" : 2 }')),
        delete("old"),
        create("old", b"[1]", lifetime="+60000"),
        create("b", b"[2]"),
        delete("b", condition=MATCH),
        put("c", b"{}", condition=NONE_MATCH),
    )
    assert [one.version for one in outcomes] == [1, 2, 3, 0, 1, 1, 0, 1]
    assert [one.etag for one in outcomes[:2]] == [etag(b'{ "n" : 1 }'), etag(b'{ "n" : 2 }')]
    assert outcomes[2].etag == etag(await body(storage, "a") or b"")
    assert await body(storage, "a") == b'{ "n" : 2,"m":[] }'
    assert (await body(storage, "old"), await body(storage, "b"), await body(storage, "c")) == (b"[1]", None, b"{}")
    assert keyspace.indexes()["x"] == {"old": outcomes[4].expires}
    for id in ("a", "old", "b", "c"):
        assert await storage.records.examine(COLLECTION, id, repair=False) == []


@pytest.mark.parametrize(
    ("failing", "cause"),
    [
        (create("a", b"[9]"), AlreadyExists),
        (put("a", b"[9]", condition=NONE_MATCH), Changed),
        (put("z", b"[9]", condition=MATCH), Changed),
        (put("a", b"[9]", condition=matching(b"[8]")), Changed),
        (put("z", b"[9]", condition=matching(b"[8]")), Changed),
        (put("a", b"[9]", condition=Condition(ANY, ANY)), Changed),
        (put("a", b"[9]", lifetime="5"), Invalid),
        (patch("z", b"{}"), NotFound),
        (patch("a", b"{}", condition=matching(b"[8]")), Changed),
        (patch("a", b'{"m":"%b"}' % (b"m" * LIMIT)), TooLarge),
        (delete("z"), NotFound),
        (delete("a", condition=matching(b"[8]")), Changed),
        (delete("b"), NotFound),
    ],
)
async def test_a_failed_operation_is_named_and_nothing_is_done(
    storage: Storage, keyspace: Keyspace, failing: Operation, cause: type[Refusal]
) -> None:
    await storage.records.create(Write(COLLECTION, "a", ME), b"{}")
    before = keyspace.names(), keyspace.indexes(), keyspace.header("a")
    operations = put("n", b"[]"), put("a", b"{}"), create("b", b"[]"), delete("b"), failing, create("a", b"[]")
    assert type(await refused(storage, *operations, number=4)) is cause
    assert (keyspace.names(), keyspace.indexes(), keyspace.header("a")) == before


async def test_the_first_failed_operation_is_named(storage: Storage) -> None:
    await storage.records.create(Write(COLLECTION, "a", ME), b"{}")
    wrong = put("a", b"[9]", condition=matching(b"[8]"))
    assert isinstance(await refused(storage, delete("z"), wrong, number=0), NotFound)
    assert isinstance(await refused(storage, wrong, delete("z"), number=0), Changed)


async def test_a_patched_document_of_more_than_a_batch_may_store_is_too_large(storage: Storage) -> None:
    await storage.records.put(Write(COLLECTION, "a", ME), b'{"a":"%b"}' % (b"a" * 1_000_000))
    assert isinstance(await refused(storage, patch("a", b"{}"), number=0), TooLarge)
    await storage.records.put(Write(COLLECTION, "a", ME), b'{"a":"%b"}' % (b"a" * 900_000))
    assert (await batch(storage, patch("a", b'{"b":1}')))[0].version == 3
    assert isinstance(await refused(storage, patch("a", b"{}"), patch("a", b"{}"), number=1), TooLarge)


async def test_a_quota_counts_added_bytes_minus_removed_ones(storage: Storage) -> None:
    write = Write(COLLECTION, caller=ME, quota=Quota(2, 100))
    await batch(storage, create("a", b"[" + b" " * 60 + b"]"), create("b", b"[1]"), write=write)
    await batch(storage, create("c", b"[" + b" " * 90 + b"]"), delete("a"), write=write)
    with pytest.raises(QuotaExceeded):
        await batch(storage, create("d", b"[]"), create("e", b"[]"), delete("b"), write=write)
    with pytest.raises(QuotaExceeded):
        await batch(storage, put("b", b"[" + b" " * 90 + b"]"), write=write)
    await batch(storage, put("b", b"[" + b" " * 90 + b"]"), delete("c"), write=write)
    assert await Usage(storage.runner).stored(COLLECTION) == (1, 92)


async def test_expired_members_are_removed_and_counted(storage: Storage, keyspace: Keyspace) -> None:
    write = Write(COLLECTION, caller=ME, quota=Quota(1000, 100_000))
    made = await batch(storage, *(create(f"due{n}", b"[]", lifetime="+1") for n in range(30)), write=write)
    keyspace.wait_past(max(one.expires for one in made))
    await batch(storage, *(create(f"due{n}", b"[1]") for n in range(25, 30)), create("a", b"[]"), write=write)
    while (await storage.records.sweep(COLLECTION)).more:
        pass
    assert set(keyspace.indexes()["c"]) == {"a", *(f"due{n}" for n in range(25, 30))}
    assert await Usage(storage.runner).stored(COLLECTION) == (6, 17)
    assert "x" not in keyspace.indexes()


async def test_a_journal_has_the_changes_of_a_batch_in_order(storage: Storage) -> None:
    write = Write(COLLECTION, caller=ME, journal=Retention(), quota=Quota(100, 10_000))
    await storage.records.create(Write(COLLECTION, "old", ME, journal=Retention(), quota=write.quota), b"[0]")
    await batch(storage, create("a", b'{"n":1}'), patch("a", b'{"m":2}'), delete("old"), delete("a"), write=write)
    with pytest.raises(OperationRefused):
        await batch(storage, create("b", b"[]"), delete("z"), write=write)
    page = await storage.journal.changes(COLLECTION, None, 100)
    assert [(one.operation, one.id, one.version, one.etag, one.value) for one in page.changes] == [
        ("create", "old", 1, etag(b"[0]"), b"[0]"),
        ("create", "a", 1, etag(b'{"n":1}'), b'{"n":1}'),
        ("patch", "a", 2, etag(b'{"n":1,"m":2}'), b'{"n":1,"m":2}'),
        ("delete", "old", 1, etag(b"[0]"), None),
        ("delete", "a", 2, etag(b'{"n":1,"m":2}'), None),
    ]
    usage = Usage(storage.runner)
    assert await usage.stored(COLLECTION) == await usage.count(COLLECTION)


async def test_racing_batches_are_each_carried_out_once(storage: Storage) -> None:
    await batch(storage, put("n", b'{"n":0}'), put("m", b'{"n":0}'))

    async def one(number: int) -> None:
        await batch(
            storage, patch("n", b'{"by%d":1}' % number), create(f"k{number}", b"[]"), patch("m", b'{"by%d":1}' % number)
        )

    await asyncio.gather(*map(one, range(64)))
    for id in "nm":
        record = await storage.records.get(COLLECTION, id)
        assert record.version == 65
        assert all(b'"by%d":1' % number in record.body for number in range(64))
    assert await storage.records.count(COLLECTION) == 66


async def test_of_racing_batches_with_one_etag_one_wins(storage: Storage) -> None:
    await batch(storage, put("a", b"[0]"))
    outcomes = await asyncio.gather(
        *(
            batch(storage, create(f"k{n}", b"[]"), put("a", b"[%d]" % (n + 1), condition=matching(b"[0]")))
            for n in range(64)
        ),
        return_exceptions=True,
    )
    assert sum(isinstance(one, list) for one in outcomes) == 1
    assert {one.operation for one in outcomes if isinstance(one, OperationRefused)} == {1}
    assert await storage.records.count(COLLECTION) == 2


async def test_readers_see_a_batch_completely_or_not_at_all(storage: Storage) -> None:
    ids = [f"k{n}" for n in range(20)]
    await batch(storage, *(put(id, b"[0]") for id in ids))
    done = asyncio.Event()

    async def write() -> None:
        for number in range(1, 200):
            await batch(storage, *(put(id, b"[%d]" % number) for id in ids))
        done.set()

    async def read() -> int:
        count = 0
        while not done.is_set():
            _, listed = await storage.records.page(COLLECTION, "n", 0, 100)
            async for portion in storage.records.read_listed(COLLECTION, listed):
                assert len({record.body for _, record in portion}) == 1
                assert len({record.updated for _, record in portion}) == 1
                assert len(portion) == 20
                count += 1
        return count

    _, *counts = await asyncio.gather(write(), read(), read())
    assert min(counts) > 5


async def test_only_the_expected_keys_remain(storage: Storage, keyspace: Keyspace) -> None:
    await batch(storage, create("a", b"[]"), create("b", b"[]"), delete("b"))
    assert keyspace.names() == {RECORD("a")} | INDEXES | REGISTRIES
    await batch(storage, put("a", b"[]", lifetime="+60000"))
    assert keyspace.names() == {RECORD("a"), COLLECTION.expiry} | INDEXES | REGISTRIES
    await batch(storage, delete("a"))
    assert keyspace.names() == REGISTRIES


# Any batches, beside a dict. -----------------------------------------------------------------------------------------

BODIES = [b'{"a":1}', b'{"a":2,"b":{}}', b"[1]", b'{"b":null}']
Verb = Literal["create", "put", "patch", "delete"]
VERBS: list[Verb] = ["create", "put", "patch", "delete"]
CONDITIONS = st.one_of(st.just(Condition()), st.sampled_from([MATCH, NONE_MATCH, *map(matching, BODIES)]))
OPERATIONS = st.builds(
    lambda op, id, body, condition: Operation(op, id, body, condition=Condition() if op == "create" else condition),
    st.sampled_from(VERBS),
    st.sampled_from("abc"),
    st.sampled_from(BODIES),
    CONDITIONS,
)
State = dict[str, tuple[int, bytes]]
Refused = tuple[int, type[Refusal]] | None


async def alone(storage: Storage, each: Operation) -> None:
    """Carry out an operation as a request of its own."""
    write = Write(COLLECTION, each.id, ME, condition=each.condition)
    todo: dict[str, Any] = {
        "create": lambda: storage.records.create(write, each.body),
        "put": lambda: storage.records.put(write, each.body),
        "patch": lambda: storage.records.merge(write, each.body, LIMIT),
        "delete": lambda: storage.records.delete(write),
    }
    await todo[each.op]()


async def everything(storage: Storage) -> State:
    found = {id: await storage.records.find_current(COLLECTION, id) for id in "abc"}
    return {id: (record.version, bytes(record.body)) for id, record in found.items() if record}


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(batches=st.lists(st.lists(OPERATIONS, min_size=1, max_size=6), min_size=1, max_size=4))
async def test_a_batch_has_the_effect_of_its_operations_in_order(
    storage: Storage, keyspace: Keyspace, batches: list[list[Operation]]
) -> None:
    """The operations of each batch are also carried out one by one, on equal data, up to the first refusal."""
    done: list[Operation] = []
    for operations in batches:
        await _anew(keyspace, storage, done)
        before = await everything(storage)
        refusal: Refused = None
        try:
            await batch(storage, *operations)
        except OperationRefused as caught:
            refusal = (caught.operation, type(caught.cause))
        after = await everything(storage)
        for id in "abc":
            assert await storage.records.examine(COLLECTION, id, repair=False) == []
        await _anew(keyspace, storage, done)
        assert refusal == await _one_by_one(storage, operations)
        done += [] if refusal else operations
        assert after == (before if refusal else await everything(storage))


async def _one_by_one(storage: Storage, operations: list[Operation]) -> Refused:
    """Carry out operations one after another. Return the number and the type of the first refusal."""
    for number, each in enumerate(operations):
        try:
            await alone(storage, each)
        except Refusal as refusal:
            return number, type(refusal)
    return None


async def _anew(keyspace: Keyspace, storage: Storage, done: list[Operation]) -> None:
    keyspace.command("DEL", *(key for key in keyspace.names() if key.startswith(COLLECTION.tag)), "none")
    for each in done:
        with suppress(Refusal):
            await alone(storage, each)
