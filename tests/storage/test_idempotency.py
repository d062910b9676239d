"""Tests operations with an idempotency key: what is remembered, where, for how long, and the reply to a repetition."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest

from service.redis.pending import Command
from service.storage import keys
from service.storage.access.secret import SECRET_BYTES
from service.storage.errors import AlreadyExists, Changed, NotFound, OutcomeUnknown, QuotaExceeded, Reused
from service.storage.records.conditions import UNCONDITIONAL, Condition
from service.storage.records.quota import Quota
from service.storage.records.record import Saved, etag
from service.storage.records.write import Write
from service.storage.root import Storage
from service.storage.scripts import library
from service.storage.scripts.bounds import DISCARDED, INLINE_BYTES
from service.storage.scripts.identity import Idempotency
from service.storage.scripts.runner import Runner
from tests.redis_turns import A_MOMENT, LONG, Client
from tests.runners import Connect
from tests.running import soon
from tests.servers import RedisProcess
from tests.storage.keyspace import COLLECTION, LIMIT, ME, RECORD, USAGE, Keyspace, words

DAY_MS = 86_400_000
OBJECT = b'{"n":0}'
LARGE = b'{"pad":"' + b"x" * INLINE_BYTES + b'"}'
MANY = [f"many-{n:03}" for n in range(2 * DISCARDED + 1)]

Ask = Callable[[Storage, Idempotency | None], Awaitable[Any]]
BY_ETAG = Condition(match=frozenset({etag(OBJECT)}))
WRITES: dict[str, Ask] = {
    "create": lambda s, o: s.records.create(Write(COLLECTION, "new", ME, lifetime="+60000", idempotency=o), b"[1]"),
    "create, large": lambda s, o: s.records.create(Write(COLLECTION, "new", ME, idempotency=o), LARGE),
    "put": lambda s, o: s.records.put(Write(COLLECTION, "a", ME, idempotency=o), b"[1]"),
    "put, new": lambda s, o: s.records.put(Write(COLLECTION, "new", ME, idempotency=o), b"[1]"),
    "put, large": lambda s, o: s.records.put(Write(COLLECTION, "a", ME, idempotency=o), LARGE),
    "put, by etag": lambda s, o: s.records.put(Write(COLLECTION, "a", ME, condition=BY_ETAG, idempotency=o), b"[1]"),
    "merge": lambda s, o: s.records.merge(Write(COLLECTION, "a", ME, idempotency=o), b'{"n":1}', LIMIT),
    "merge, large": lambda s, o: s.records.merge(Write(COLLECTION, "large", ME, idempotency=o), b'{"n":1}', LIMIT),
    "delete": lambda s, o: s.records.delete(Write(COLLECTION, "a", idempotency=o)),
    "delete, by etag": lambda s, o: s.records.delete(Write(COLLECTION, "a", condition=BY_ETAG, idempotency=o)),
    "append": lambda s, o: s.scoped.append(Write(COLLECTION, "list", ME, idempotency=o), b"[1]", LIMIT),
    "append, new": lambda s, o: s.scoped.append(
        Write(COLLECTION, "new", ME, idempotency=o), b"[1]", LIMIT, creating=True
    ),
    "append, large": lambda s, o: s.scoped.append(Write(COLLECTION, "large", ME, idempotency=o), b'{"n":1}', LIMIT),
    "discard": lambda s, o: s.scoped.discard(Write(COLLECTION, idempotency=o), ["a", "none"]),
    "discard, many": lambda s, o: s.scoped.discard(Write(COLLECTION, idempotency=o), MANY),
    "assign": lambda s, o: s.variables.assign(Write(COLLECTION, idempotency=o), 7, "k", "v"),
    "drop": lambda s, o: s.variables.drop(Write(COLLECTION, idempotency=o), 7, "there"),
    "clear": lambda s, o: s.variables.clear(Write(COLLECTION, idempotency=o)),
}
every_write = pytest.mark.parametrize("name", WRITES)


def request(key: str = "k-1", body: bytes = b"body", who: str = ME) -> Idempotency:
    idempotency = Idempotency(who=(who, key), what=("PUT", "/path"), how=("",))
    idempotency.add(body)
    idempotency.whole = True
    return idempotency


def remembered(key: str = "k-1", who: str = ME) -> str:
    return keys.remembered(COLLECTION.tag, request(key, who=who).digest)


async def ask(storage: Storage, write: Ask, idempotency: Idempotency | None) -> Any:
    return await write(storage, idempotency)


async def fill(storage: Storage, name: str) -> None:
    """Store the record that a write finds."""
    await storage.records.register(COLLECTION)
    bodies = {"a": OBJECT, "list": b"[0]", "large": LARGE} | dict.fromkeys(
        MANY if name == "discard, many" else [], b"1"
    )
    await asyncio.gather(*(storage.records.put(Write(COLLECTION, id, ME), body) for id, body in bodies.items()))
    await storage.variables.assign(Write(COLLECTION), 7, "there", "v")


async def versions(storage: Storage) -> dict[str, int]:
    """Return the versions of the written records, 0 for a missing one."""
    found = {id: await storage.records.find_current(COLLECTION, id) for id in ("new", "a", "list", "large")}
    return {id: record.version if record else 0 for id, record in found.items()}


def everything(keyspace: Keyspace) -> dict[str, bytes]:
    return {name: keyspace.command("DUMP", name) for name in keyspace.names()}


@every_write
async def test_a_repetition_gets_the_same_answer_and_changes_nothing(
    storage: Storage, keyspace: Keyspace, name: str
) -> None:
    await fill(storage, name)
    first = await ask(storage, WRITES[name], request())
    # The effect of the first request is undone or overwritten, so that a second execution would be visible or refused.
    for id in ("a", "new", "list", "large"):
        await storage.records.put(Write(COLLECTION, id, ME), b'{"later":[]}')
    await storage.records.delete(Write(COLLECTION, "a"))
    await storage.records.put(Write(COLLECTION, MANY[0], ME), b"2")
    await storage.records.put(Write(COLLECTION, MANY[-1], ME), b"2")
    await storage.variables.assign(Write(COLLECTION), 7, "k", "later")
    await storage.variables.assign(Write(COLLECTION), 7, "there", "later")
    before = everything(keyspace)
    assert await ask(storage, WRITES[name], request()) == first
    assert await ask(storage, WRITES[name], request()) == first
    assert everything(keyspace) == before


@every_write
async def test_of_racing_repetitions_one_is_carried_out_and_all_get_its_answer(
    storage: Storage, runner: Runner, keyspace: Keyspace, name: str
) -> None:
    """There are two storages, like those of two workers, so that the requests meet in Redis."""
    await fill(storage, name)
    before = await versions(storage)
    workers = [storage, Storage(runner)]
    replies = await asyncio.gather(*(ask(workers[n % 2], WRITES[name], request()) for n in range(16)))
    assert all(reply == replies[0] for reply in replies)
    after = await versions(storage)
    changed = {id for id in before if after[id] != before[id]}
    assert len(changed) <= 1
    assert all(after[id] in (0, before[id] + 1) for id in changed)
    assert bool(changed) == (name not in ("assign", "drop", "clear", "discard, many"))


@every_write
async def test_a_remembered_answer_is_one_short_key_for_a_day(storage: Storage, keyspace: Keyspace, name: str) -> None:
    await fill(storage, name)
    names = keyspace.names()
    await ask(storage, WRITES[name], request())
    new = keyspace.names() - names - {RECORD("new")}
    new = {key for key in new if key.startswith(f"{COLLECTION.tag}o:")}
    assert new == {remembered()}
    assert DAY_MS - 60_000 < keyspace.command("PTTL", remembered()) <= DAY_MS
    assert keyspace.command("MEMORY", "USAGE", remembered()) <= 300
    assert not [key for key in keyspace.names() if key.startswith(COLLECTION.staging)]


@every_write
async def test_another_request_with_the_same_key_is_refused_and_changes_nothing(
    storage: Storage, keyspace: Keyspace, name: str
) -> None:
    await fill(storage, name)
    await ask(
        storage, lambda s, o: s.records.put(Write(COLLECTION, "b", ME, idempotency=o), b"[]"), request(body=b"another")
    )
    before = everything(keyspace)
    with pytest.raises(Reused, match=r"^the idempotency key was used for another request$"):
        await ask(storage, WRITES[name], request())
    assert everything(keyspace) == before


async def test_of_racing_different_requests_with_one_key_one_is_carried_out_and_others_are_refused(
    storage: Storage,
) -> None:
    """The request that loses is refused inside of the script."""

    async def put(n: int) -> Saved:
        return await storage.records.put(Write(COLLECTION, f"k{n}", ME, idempotency=request(body=b"%d" % n)), b"%d" % n)

    outcomes = await asyncio.gather(*map(put, range(32)), return_exceptions=True)
    assert sum(isinstance(outcome, Reused) for outcome in outcomes) == 31
    assert await storage.records.count(COLLECTION) == 1


async def test_remembered_answers_belong_to_one_caller_and_one_key(storage: Storage) -> None:
    put: Ask = lambda s, o: s.records.put(Write(COLLECTION, "a", ME, idempotency=o), b"[]")  # noqa: E731
    said = [await ask(storage, put, request(key, who=who)) for who in ("one", "two") for key in ("k", "K", "k" * 255)]
    assert [saved.version for saved in said] == [1, 2, 3, 4, 5, 6]


def test_no_two_requests_or_callers_have_one_digest() -> None:
    made = [
        Idempotency(who, what, how)
        for who in (("ab", "c"), ("a", "bc"), ("abc",), ("abc", ""))
        for what in (("PUT", "/a"), ("PUT/a",), ("PUT", "/a", ""))
        for how in (("q", "1:x"), ("q1:x",), ("q", "1:x", ""))
    ]
    assert len({idempotency.digest for idempotency in made}) == 4
    assert len({idempotency.id(b"secret") for idempotency in made}) == 12
    assert len({idempotency.fingerprint for idempotency in made}) == 9


async def test_a_refusal_is_not_remembered(storage: Storage, keyspace: Keyspace) -> None:
    create, delete = WRITES["create"], WRITES["delete"]
    with pytest.raises(NotFound):
        await ask(storage, delete, request())
    await storage.records.put(Write(COLLECTION, "new", ME), b"[]")
    with pytest.raises(AlreadyExists):
        await ask(storage, create, request())
    with pytest.raises(Changed):
        await ask(storage, WRITES["put, by etag"], request())
    with pytest.raises(QuotaExceeded):
        await ask(
            storage,
            lambda s, o: s.records.put(Write(COLLECTION, "b", ME, quota=Quota(documents=1), idempotency=o), b"[]"),
            request(),
        )
    assert remembered() not in keyspace.names()
    await storage.records.delete(Write(COLLECTION, "new"))
    assert (await ask(storage, create, request())).version == 1


async def test_a_repeated_request_counts_once_in_the_quota(storage: Storage, keyspace: Keyspace) -> None:
    quota = Quota(documents=10, bytes=1000)
    for _ in range(3):
        await ask(
            storage,
            lambda s, o: s.records.create(Write(COLLECTION, "a", ME, quota=quota, idempotency=o), b"12345"),
            request(),
        )
        assert keyspace.command("GET", USAGE) == b"1 5"
    for _ in range(3):
        await ask(
            storage, lambda s, o: s.records.delete(Write(COLLECTION, "a", quota=quota, idempotency=o)), request("k-2")
        )
        assert keyspace.command("GET", USAGE) == b"0 0"


async def test_after_a_day_a_repetition_is_a_new_request(storage: Storage, keyspace: Keyspace) -> None:
    assert (await ask(storage, WRITES["put"], request())).version == 1
    keyspace.command("PEXPIRE", remembered(), 1)
    keyspace.wait_past(keyspace.now() // 1000 + 1)
    assert (await ask(storage, WRITES["put"], request())).version == 2


async def test_a_call_of_a_lost_function_is_sent_again(storage: Storage, redis: RedisProcess) -> None:
    redis.command("FUNCTION", "FLUSH")
    first = await ask(storage, WRITES["put"], request())
    redis.command("FUNCTION", "FLUSH")
    assert await ask(storage, WRITES["put"], request()) == first


async def test_with_full_memory_a_write_is_refused_completely_and_a_delete_is_remembered(
    storage: Storage, redis: RedisProcess, keyspace: Keyspace
) -> None:
    await storage.records.put(Write(COLLECTION, "a", ME), OBJECT)
    before = everything(keyspace)
    redis.command("CONFIG", "SET", "maxmemory", 1)
    try:
        for name in ("create", "put", "put, large", "merge", "assign"):
            with pytest.raises(QuotaExceeded):
                await ask(storage, WRITES[name], request())
        assert everything(keyspace) == before
        for _ in range(2):
            await ask(storage, WRITES["delete"], request())
    finally:
        redis.command("CONFIG", "SET", "maxmemory", 0)
    assert keyspace.names() & {RECORD("a"), remembered()} == {remembered()}


async def test_without_an_idempotency_key_no_more_is_sent_than_the_script_needs(
    storage: Storage, runner: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No further key or argument is sent, and no other function is called."""
    sent: list[Command] = []
    send = runner.redis.send

    def noting(command: Command) -> None:
        sent.append(command)
        send(command)

    monkeypatch.setattr(runner.redis, "send", noting)
    await storage.records.put(Write(COLLECTION, "a", ME), OBJECT)
    sent.clear()
    await storage.records.put(Write(COLLECTION, "a", ME), OBJECT)
    [command] = sent
    word, function, count, *rest = words(command.packed)
    put = library.installed().scripts["put"]
    names = (COLLECTION.record("a"), *COLLECTION.guarded)
    assert (word, int(count), rest[: len(names)]) == (b"FCALL", len(names), [name.encode() for name in names])
    assert len(rest) == len(names) + len(put.arguments) - put.optional
    assert function.decode() == put.function
    sent.clear()
    await ask(storage, WRITES["put"], request())
    looked, run = (words(command.packed) for command in sent)
    assert looked == [b"GET", remembered().encode()]
    assert (run[0], int(run[2])) == (b"FCALL", len(names) + 1)
    assert run[1] != function


def test_the_id_of_a_new_object_depends_on_the_request_and_not_on_its_body() -> None:
    first = request(body=b"one").id(b"secret")
    assert request(body=b"two").id(b"secret") == first
    assert request("k-2").id(b"secret") != first
    assert request(who="another").id(b"secret") != first
    assert request(body=b"one").id(b"another secret") != first
    assert len(first) == 32
    assert UNCONDITIONAL.state == ""


async def test_every_worker_uses_the_same_secret(
    storage: Storage, runner: Runner, connect: Connect, redis: RedisProcess, keyspace: Keyspace
) -> None:
    """Two workers need it at the same time, and one starts later."""
    another = Storage(await connect(redis))
    secrets = await asyncio.gather(*(each.secret.read() for each in (storage, another, storage, another)))
    assert len(set(secrets)) == 1
    assert len(secrets[0]) == SECRET_BYTES
    assert keyspace.command("TTL", keys.SECRET) == -1
    assert await Storage(runner).secret.read() == secrets[0] == keyspace.command("GET", keys.SECRET)
    redis.command("FLUSHALL")
    assert await Storage(runner).secret.read() != secrets[0]


async def test_a_repetition_gets_no_answer_of_a_write_that_redis_then_loses(binary: Path, connect: Connect) -> None:
    """Redis sends both replies behind a long one, before it writes its file (service/redis/confirmation.py)."""
    with ExitStack() as stack:
        redis = stack.enter_context(RedisProcess(binary, "--appendonly", "yes", "--appendfsync", "no"))
        busy, next_busy = (stack.enter_context(closing(Client(redis))) for _ in range(2))
        runner = await connect(redis)
        storage, lane = Storage(runner), runner.redis.lanes[0]
        await fill(storage, "put")
        await runner.command("SET", "long", b"x" * LONG, key="long", write=True)
        first, repetition = request(), request()
        first.whole = False  # its body is still arriving, so that it is not looked up before
        read = runner.redis.execute("GET", "long", key="long", write=False)
        await asyncio.sleep(0)
        time.sleep(A_MOMENT)  # noqa: ASYNC251  nothing is read meanwhile
        busy.keep_busy()
        time.sleep(A_MOMENT)  # noqa: ASYNC251
        before = lane.commands
        writes = [asyncio.create_task(ask(storage, WRITES["put"], each)) for each in (first, repetition)]
        for _ in range(20):  # what is there is received
            await asyncio.sleep(0)
        assert lane.commands == before + 2
        next_busy.keep_busy()
        await soon(lambda: asyncio.sleep(0, writes[1].done() or lane.commands > before + 2))
        await asyncio.to_thread(redis.kill)
        await asyncio.to_thread(redis.start)
        assert len(await read) == LONG
        for told in await asyncio.gather(*writes, return_exceptions=True):
            assert isinstance(told, Saved | OutcomeUnknown)
            if isinstance(told, Saved):
                assert (await versions(storage))["a"] == told.version
