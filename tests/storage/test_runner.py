"""Running scripts: forgotten ones, and every error that Redis may answer with."""

import asyncio
from typing import Any

import pytest

from service.redis.errors import Failed, NotSent, Overloaded, Rejected, Unanswered
from service.storage import errors
from service.storage.errors import BY_WORD, OutcomeUnknown, QuotaExceeded, Refusal, Unavailable
from service.storage.runner import Runner, refusal
from service.storage.store import Storage
from tests.servers import RedisProcess
from tests.storage.conftest import Connect
from tests.storage.keyspace import ME, PLACE, RECORD, numbered


async def test_a_forgotten_script_is_sent_again_and_runs_once(storage: Storage, redis: RedisProcess) -> None:
    for flush in ("SYNC", "ASYNC"):
        redis.command("SCRIPT", "FLUSH", flush)
        await storage.put(PLACE, "a", b"[]", ME)
    assert (await storage.get(PLACE, "a")).version == 2
    assert (await storage.page(PLACE, "n", 0, 10))[0] == 1
    redis.command("CONFIG", "RESETSTAT")
    await storage.put(PLACE, "a", b"[]", ME)
    assert "cmdstat_eval" not in redis.command("INFO", "commandstats")


async def test_scripts_forgotten_under_many_writers_lose_and_double_nothing(
    storage: Storage, redis: RedisProcess
) -> None:
    await storage.put(PLACE, "n", b"[]", ME)

    async def write(id: str) -> None:
        for _ in range(5):
            await storage.put(PLACE, "n", b"[]", ME)
            await storage.put(PLACE, id, b"[]", ME)

    writers = asyncio.gather(*(write(id) for id in numbered(20)))
    while not writers.done():
        redis.command("SCRIPT", "FLUSH")
        await asyncio.sleep(0)
    await writers
    assert (await storage.get(PLACE, "n")).version == 101
    assert all([(await storage.get(PLACE, id)).version == 5 for id in numbered(20)])


async def test_a_restarted_redis_knows_the_scripts_again(own: RedisProcess, connect: Connect) -> None:
    storage = Storage(await connect(own))
    await storage.put(PLACE, "a", b"[]", ME)
    own.restart()
    await storage.get(PLACE, "a")  # a read waits for the new connection
    assert (await storage.put(PLACE, "a", b"[]", ME)).version == 2


@pytest.mark.parametrize(
    "key", [RECORD("a"), PLACE.expiry, PLACE.index("c"), PLACE.index("s"), PLACE.registry], ids=lambda key: key[-1]
)
async def test_a_foreign_value_under_one_of_our_keys_is_a_fault_and_no_refusal(
    storage: Storage, redis: RedisProcess, key: str
) -> None:
    """Nothing that a client could do anything about: the caller gets it as it is, and it ends in the log."""
    redis.command("RPUSH", key, "foreign")
    with pytest.raises(Rejected) as rejected:
        await storage.put(PLACE, "a", b"[]", ME)
    assert rejected.value.word == "WRONGTYPE"


async def test_a_record_that_is_no_record_is_a_fault(storage: Storage, redis: RedisProcess) -> None:
    redis.command("SET", RECORD("a"), "no header")
    with pytest.raises(Rejected):
        await storage.put(PLACE, "a", b"[]", ME)


async def test_an_argument_that_is_missing_is_named(runner: Runner) -> None:
    with pytest.raises(KeyError, match="body"):
        await runner.run("create", (RECORD("a"), PLACE.expiry), id="a", by=ME)


async def test_a_read_is_not_sent_as_a_write(runner: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    """A read may be repeated when the connection is lost, a write must not be."""
    sent: dict[str, bool] = {}

    async def execute(word: str, sha: str, *args: Any, key: str, write: bool) -> Any:
        sent[sha] = write
        raise NotSent("no")

    monkeypatch.setattr(runner, "_execute", execute)
    storage = Storage(runner)
    for call in (storage.count(PLACE), storage.page(PLACE, "n", 0, 1), storage.put(PLACE, "a", b"[]", ME)):
        with pytest.raises(Unavailable):
            await call
    assert list(sent.values()) == [False, False, True]


@pytest.mark.parametrize(
    ("failed", "kind", "text"),
    [
        (Rejected("OOM", "OOM command not allowed when used memory > 'maxmemory'."), QuotaExceeded, "memory is full"),
        (Rejected("MISCONF", "MISCONF Redis is configured to save"), Unavailable, "does not accept writes"),
        (Rejected("NOREPLICAS", "NOREPLICAS Not enough good replicas"), Unavailable, "does not accept writes"),
        (Unanswered("sent"), OutcomeUnknown, "may or may not have been carried out"),
        (NotSent("nothing"), Unavailable, "cannot be reached"),
        (Overloaded("full"), Unavailable, "overloaded"),
    ],
)
def test_what_redis_says_is_told_in_words_for_clients(failed: Failed, kind: type[Refusal], text: str) -> None:
    found = refusal(failed)
    assert type(found) is kind
    assert text in str(found)


@pytest.mark.parametrize("word", ["WRONGTYPE", "ERR", "NOPERM", "NOAUTH", "CROSSSLOT"])
def test_an_error_that_no_one_foresaw_stays_what_it_is(word: str) -> None:
    error = Rejected(word, f"{word} something with internals in it")
    assert refusal(error) is error


def test_each_word_of_the_scripts_is_a_refusal() -> None:
    for word, kind in BY_WORD.items():
        found = refusal(Rejected(word, f"{word} 1000000"))
        assert type(found) is kind
        assert word not in str(found)
    assert isinstance(BY_WORD["THROTTLED"]("2500000"), errors.Throttled)
    assert errors.Throttled("2500000").retry_after == 2.5
