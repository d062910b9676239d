"""Tests running scripts: functions that Redis has lost, and every error that Redis may answer."""

import asyncio
import shutil
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

from service.redis.errors import Failed, NotSent, Overloaded, Rejected, Unanswered
from service.redis.outcome import NOBODY
from service.redis.pending import Command
from service.redis.wire import pack
from service.storage import errors
from service.storage.errors import BY_WORD, OutcomeUnknown, QuotaExceeded, Refusal, Unavailable
from service.storage.records.write import Write
from service.storage.root import Storage
from service.storage.scripts import library
from service.storage.scripts.fan_out import FAN_OUT, all_of, each
from service.storage.scripts.identity import Idempotency
from service.storage.scripts.reply import Replies, Reply, refusal
from service.storage.scripts.runner import Runner
from tests.runners import Connect
from tests.servers import RedisProcess
from tests.storage.keyspace import COLLECTION, ME, RECORD, numbered


async def test_a_call_of_a_lost_function_is_sent_again_and_runs_once(storage: Storage, redis: RedisProcess) -> None:
    for flush in ("SYNC", "ASYNC"):
        redis.command("FUNCTION", "FLUSH", flush)
        await storage.records.put(Write(COLLECTION, "a", ME), b"[]")
    assert (await storage.records.get(COLLECTION, "a")).version == 2
    assert (await storage.records.page(COLLECTION, "n", 0, 10))[0] == 1
    redis.command("CONFIG", "RESETSTAT")
    await storage.records.put(Write(COLLECTION, "a", ME), b"[]")  # the server knows it again
    assert redis.command("INFO", "commandstats")["cmdstat_fcall"]["failed_calls"] == 0


async def test_functions_lost_under_many_writers_lose_and_repeat_no_write(
    storage: Storage, redis: RedisProcess
) -> None:
    await storage.records.put(Write(COLLECTION, "n", ME), b"[]")
    written = count()

    async def write(id: str) -> None:
        for _ in range(5):
            await storage.records.put(Write(COLLECTION, "n", ME), b"[]")
            if next(written) % 5 == 0:  # while the others wait for theirs
                redis.command("FUNCTION", "FLUSH")
            await storage.records.put(Write(COLLECTION, id, ME), b"[]")

    await asyncio.gather(*(write(id) for id in numbered(20)))
    assert (await storage.records.get(COLLECTION, "n")).version == 101
    assert all([(await storage.records.get(COLLECTION, id)).version == 5 for id in numbered(20)])


async def test_a_restarted_redis_gets_the_functions_again(own: RedisProcess, connect: Connect) -> None:
    storage = Storage(await connect(own))
    await storage.records.put(Write(COLLECTION, "a", ME), b"[]")
    own.restart()
    await storage.records.get(COLLECTION, "a")  # a read waits for the new connection
    assert (await storage.records.put(Write(COLLECTION, "a", ME), b"[]")).version == 2


async def test_two_versions_each_call_their_own_functions(
    runner: Runner, connect: Connect, redis: RedisProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """This happens in a rolling update. Neither version is affected if the other one's functions are loaded or lost."""
    shutil.copytree(library.folder(), tmp_path / "lua")
    with (tmp_path / "lua" / "put.lua").open("a") as put:
        put.write("-- the next version\n")
    monkeypatch.setattr(library, "folder", lambda: tmp_path / "lua")
    following = await connect(redis)
    names = {each.library.name for each in (runner, following)}
    assert len(names) == 2
    versions = [Storage(each) for each in (runner, following)]
    for number in range(1, 9):
        if number % 3 == 0:
            redis.command("FUNCTION", "DELETE", following.library.name)
        written = await versions[number % 2].records.put(Write(COLLECTION, "a", ME), b"[]")
        assert written.version == number
    listed = redis.command("FUNCTION", "LIST", "LIBRARYNAME", "polystow_*")
    assert {each[b"library_name"].decode() for each in listed} >= names
    redis.command("FUNCTION", "DELETE", following.library.name)


@pytest.mark.parametrize(
    ("setting", "refusing", "accepting", "refusal"),
    [("maxmemory", 1, 0, QuotaExceeded), ("min-replicas-to-write", 1, 0, (Unavailable, OutcomeUnknown))],
)
async def test_a_server_that_accepts_no_library_serves_reads_until_it_does(
    storage: Storage,
    connect: Connect,
    redis: RedisProcess,
    setting: str,
    refusing: int,
    accepting: int,
    refusal: type[Refusal] | tuple[type[Refusal], ...],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A worker of a new version starts while the server refuses all writes, and with them its library.

    A command that is refused for a temporary reason is repeated until the deadline. If the last attempt has no reply
    then, the outcome is unknown.
    """
    await storage.records.put(Write(COLLECTION, "a", ME), b"[]")
    redis.command("FUNCTION", "FLUSH")
    redis.command("CONFIG", "SET", setting, refusing)
    try:
        runner = await connect(redis, timeout=3.0)
        starting = Storage(runner)
        assert (await starting.records.get(COLLECTION, "a")).body == b"[]"
        with pytest.raises(refusal):
            await starting.records.put(Write(COLLECTION, "a", ME), b"[1]")
        with pytest.raises(refusal):
            await starting.records.delete(Write(COLLECTION, "a", ME))
    finally:
        redis.command("CONFIG", "SET", setting, accepting)
    assert (await starting.records.put(Write(COLLECTION, "a", ME), b"[2]")).version == 2


async def test_a_server_without_functions_is_refused_with_a_message(binary: Path) -> None:
    with RedisProcess(binary, "--rename-command", "FUNCTION", "") as older:
        runner = Runner.open(older.url)
        with pytest.raises(NotSent, match=r"lacks FUNCTION; Redis 7\.0 or newer, or Valkey, is needed"):
            await runner.redis.connect(0.5)
        await runner.redis.close()


@pytest.mark.parametrize(
    "key",
    [RECORD("a"), COLLECTION.expiry, COLLECTION.index("c"), COLLECTION.index("s"), COLLECTION.registry],
    ids=lambda key: key[-1],
)
async def test_a_foreign_value_under_a_key_of_the_service_is_a_failure_and_not_a_refusal(
    storage: Storage, redis: RedisProcess, key: str
) -> None:
    """A client cannot repair this, so the error reaches the caller unchanged and is logged."""
    redis.command("RPUSH", key, "foreign")
    with pytest.raises(Rejected) as rejected:
        await storage.records.put(Write(COLLECTION, "a", ME), b"[]")
    assert rejected.value.word == "WRONGTYPE"


async def test_an_unreadable_record_is_a_failure(storage: Storage, redis: RedisProcess) -> None:
    redis.command("SET", RECORD("a"), "no header")
    with pytest.raises(Rejected):
        await storage.records.put(Write(COLLECTION, "a", ME), b"[]")


async def test_an_argument_that_is_missing_is_named(runner: Runner) -> None:
    with pytest.raises(KeyError, match="body"):
        await runner.run("create", (RECORD("a"), COLLECTION.expiry), id="a", caller=ME)


async def test_a_read_is_not_sent_as_a_write(runner: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    """A read may be repeated when the connection is lost, a write must not be."""
    sent: list[bool | None] = []

    def send(command: Command) -> None:
        sent.append(command.write)
        command.outcome.set_exception(NotSent("no"))

    monkeypatch.setattr(runner.redis, "send", send)
    storage = Storage(runner)
    for call in (
        storage.records.count(COLLECTION),
        storage.records.page(COLLECTION, "n", 0, 1),
        storage.records.put(Write(COLLECTION, "a", ME), b"[]"),
        storage.records.get(COLLECTION, "a"),
    ):
        with pytest.raises(Unavailable):
            await call
    assert sent == [False, False, True, None]


async def test_a_repeated_call_of_a_lost_function_has_all_of_its_arguments(
    storage: Storage, redis: RedisProcess
) -> None:
    """The arguments may contain any bytes, and the script may have either of its forms."""
    body, id = b'["\r\n$3\r\nfoo\r\n", "\xc3\xa9"]', "a\r\n:{b}"
    for idempotency in (None, Idempotency((ME, "k"), ("PUT", id), ())):
        redis.command("FUNCTION", "FLUSH")
        await storage.records.put(Write(COLLECTION, id, ME, idempotency=idempotency), body)
        assert (await storage.records.get(COLLECTION, id)).body == body
    assert (await storage.records.get(COLLECTION, id)).version == 2


async def test_a_call_of_a_lost_function_is_sent_again_on_either_kind_of_lane(
    runner: Runner, redis: RedisProcess
) -> None:
    """Replies that are awaited together too."""
    redis.command("FUNCTION", "FLUSH")
    names = (COLLECTION.indexes[0], COLLECTION.expiry)
    assert await Replies([runner.run("count", names) for _ in range(30)]) == [[0]] * 30
    retries = runner.redis.total("retries")
    assert retries >= 1
    assert await Replies([runner.run("count", names) for _ in range(30)]) == [[0]] * 30
    assert runner.redis.total("retries") == retries


async def test_only_functions_of_the_own_library_are_loaded_again(runner: Runner) -> None:
    unknown = "put_0123456789abcdef"
    with pytest.raises(Rejected) as refused:
        await runner.command("FCALL", unknown, 0, key="")
    assert refused.value.message == "ERR Function not found"
    ours = Command(NOBODY, pack(("FCALL", runner.library.scripts["put"].function, 0)), False)
    assert runner.mend(ours, refused.value)
    assert not runner.mend(ours, Rejected("ERR", "ERR something else"))
    assert not runner.mend(Command(NOBODY, pack(("FCALL", unknown, 0)), False), refused.value)


async def test_replies_come_in_the_order_of_their_commands_and_failures_among_them(
    runner: Runner, redis: RedisProcess
) -> None:
    redis.command("SET", "text", "x")
    commands = [
        runner.command("GET", "text", key="text"),
        runner.command("LPUSH", "text", "a", key="text", write=True),
        runner.command("GET", "none", key="none"),
        runner.run("permit", ("{d:n:c}a",), subject="me", verb="r"),
        runner.command("STRLEN", "text", key="text"),
    ]
    first, wrong, none, refused, size = await Replies(commands)
    assert (first, none, size) == (b"x", None, 1)
    assert isinstance(wrong, Rejected)
    assert isinstance(refused, Refusal)
    assert await Replies([]) == []


async def test_all_of_raises_the_first_refusal_once_all_have_their_outcome(runner: Runner, redis: RedisProcess) -> None:
    redis.command("SET", "text", "x")
    count = FAN_OUT + 1

    def commands(fails: int) -> Iterator[Reply]:
        for n in range(count):
            word = "LPUSH" if n == fails else "APPEND"
            yield runner.command(word, "text" if n == fails else "log", ".", key="log", write=True)

    with pytest.raises(Rejected):
        await all_of(commands(0))
    assert redis.command("STRLEN", "log") == count - 1
    told = await each(commands(FAN_OUT))
    assert [type(reply) for reply in told] == [int] * FAN_OUT + [Rejected]


async def test_replies_without_a_waiting_caller_are_dropped(runner: Runner, redis: RedisProcess) -> None:
    """The task was cancelled while they were on their way."""
    waiting = asyncio.ensure_future(_awaited(Replies([runner.command("APPEND", "k", ".", key="k", write=True)])))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert await runner.command("APPEND", "k", ".", key="k", write=True) == 2


async def _awaited(replies: Replies) -> None:
    await replies


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
def test_errors_of_redis_become_messages_for_clients(failed: Failed, kind: type[Refusal], text: str) -> None:
    found = refusal(failed)
    assert type(found) is kind
    assert text in str(found)


@pytest.mark.parametrize("word", ["WRONGTYPE", "ERR", "NOPERM", "NOAUTH", "CROSSSLOT"])
def test_an_unexpected_error_is_raised_unchanged(word: str) -> None:
    error = Rejected(word, f"{word} something with internals in it")
    assert refusal(error) is error


def test_each_word_of_the_scripts_is_a_refusal() -> None:
    texts = {"OPERATION": "0 CHANGED the record has changed"}  # the number and the refusal of one operation of a batch
    for word, kind in BY_WORD.items():
        found = refusal(Rejected(word, f"{word} {texts.get(word, '1000000')}"))
        assert type(found) is kind
        assert word not in str(found)
    assert isinstance(BY_WORD["THROTTLED"]("2500000"), errors.Throttled)
    assert errors.Throttled("2500000").retry_after == 2.5
