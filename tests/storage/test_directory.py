"""Tests the access directory: callers and their changes are known to every worker within a second."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable

import pytest

from service.storage import keys
from service.storage.access import directory as module
from service.storage.access.directory import FRESH, POLL, Caller, Directory, Entry, digest, token_entry
from service.storage.errors import Unauthenticated
from service.storage.scripts.runner import Runner
from tests.runners import Connect
from tests.running import while_it_lives
from tests.servers import RedisProcess
from tests.storage.keyspace import ME, Keyspace

TOKEN = "a-token"
CALLER = Caller(ME, {"project": "acme"}, (100, 1.5), None)


@pytest.fixture
async def directory(runner: Runner) -> Directory:
    found = Directory(runner)
    await found.declare("ainoflow", [token_entry(digest(TOKEN), CALLER)])
    await found.invalidate()
    return found


async def seen(found: Callable[[], object]) -> None:
    """Wait until `found` is true: a change must be known within a second, or longer on a slow machine."""
    deadline = time.monotonic() + 30
    while not found():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)


class Asked(Exception):
    """Raised if a look-up needs Redis."""


def kept_caller(directory: Directory, token: str) -> Caller | None:
    """Return the cached caller with a token. Raises Asked if Redis would be asked, and Unauthenticated."""

    def asked(*command: str, key: str) -> None:
        raise Asked

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(directory, "_command", asked)
        looking = directory.caller("ainoflow", token)
        try:
            looking.send(None)
        except StopIteration as found:
            caller: Caller = found.value
            return caller
        except Asked:
            return None
    raise AssertionError("the look-up waits for something else")


@pytest.fixture
async def watching(directory: Directory) -> AsyncIterator[Directory]:
    """A directory that caches what it has looked up, as in a worker."""
    watch = asyncio.create_task(directory.watch())
    await seen(lambda: directory.generation is not None)
    yield directory
    watch.cancel()


async def test_a_declared_token_belongs_to_its_caller(directory: Directory) -> None:
    assert await directory.caller("ainoflow", TOKEN) == CALLER


@pytest.mark.parametrize("token", ["", "unknown", "a-token ", "A-TOKEN", "\udcff"])
async def test_an_unknown_token_is_refused(directory: Directory, token: str) -> None:
    with pytest.raises(Unauthenticated, match=r"^the token is unknown$"):
        await directory.caller("ainoflow", token)


async def test_a_token_of_one_dialect_is_unknown_in_another(directory: Directory) -> None:
    with pytest.raises(Unauthenticated):
        await directory.caller("avaamo", TOKEN)


async def test_an_expired_token_is_refused_also_if_it_is_cached(watching: Directory) -> None:
    async def known(seconds: float) -> float:
        until = time.time() + seconds
        await watching.declare("ainoflow", [token_entry(digest("short"), Caller(ME, {}, None, until))])
        watching._entries.clear()
        assert (await watching.caller("ainoflow", "short")).expires == until
        return until

    until = await while_it_lives(0.05, known)
    await seen(lambda: time.time() > until)
    with pytest.raises(Unauthenticated, match=r"^the token has expired$"):
        kept_caller(watching, "short")
    with pytest.raises(Unauthenticated):
        await watching.caller("ainoflow", "short")


async def test_tokens_are_stored_nowhere_in_clear_text(directory: Directory, keyspace: Keyspace) -> None:
    values = [keyspace.command("GET", name) for name in keyspace.names()]
    assert not any(TOKEN.encode() in value for value in values)
    assert not any(TOKEN in name for name in keyspace.names())


async def test_a_token_is_looked_up_once(watching: Directory, redis: RedisProcess) -> None:
    assert kept_caller(watching, TOKEN) is None
    await watching.caller("ainoflow", TOKEN)
    redis.command("DEL", keys.entry("ainoflow", "token", digest(TOKEN)))  # not announced, so not noticed
    assert kept_caller(watching, TOKEN) == CALLER
    assert await watching.caller("ainoflow", TOKEN) == CALLER


async def test_nothing_is_cached_before_the_generation_is_known(directory: Directory) -> None:
    await directory.caller("ainoflow", TOKEN)
    assert kept_caller(directory, TOKEN) is None


async def test_a_revoked_token_stops_working_when_the_change_is_seen(
    watching: Directory, connect: Connect, redis: RedisProcess
) -> None:
    await watching.caller("ainoflow", TOKEN)
    other = Directory(await connect(redis))  # another worker applies the change
    await other.declare("ainoflow", [Entry("token", digest(TOKEN), None)])
    await other.invalidate()
    await seen(lambda: kept_caller(watching, TOKEN) is None)
    with pytest.raises(Unauthenticated):
        await watching.caller("ainoflow", TOKEN)


async def test_a_cached_token_is_used_for_at_most_a_second_without_confirmation(
    own: RedisProcess, connect: Connect
) -> None:
    """While Redis does not answer, the worker cannot know whether a token was revoked."""
    directory = Directory(await connect(own))
    await directory.declare("ainoflow", [token_entry(digest(TOKEN), CALLER)])
    watch = asyncio.create_task(directory.watch())
    await seen(lambda: directory.generation is not None)
    await directory.caller("ainoflow", TOKEN)
    own.pause()
    await seen(lambda: kept_caller(directory, TOKEN) is None)
    own.resume()
    await seen(lambda: kept_caller(directory, TOKEN) == CALLER)  # the generation has not changed
    watch.cancel()


def test_the_generation_is_read_twice_before_cached_entries_become_invalid() -> None:
    assert 2 * POLL < FRESH <= 1.0


async def test_the_watch_continues_after_every_error(own: RedisProcess, connect: Connect) -> None:
    directory = Directory(await connect(own))
    watch = asyncio.create_task(directory.watch())
    await seen(lambda: directory.generation is not None)
    own.command("RPUSH", keys.GENERATION, "foreign")  # makes a script fail with an error that is not a refusal
    await seen(lambda: directory.generation is None)
    own.restart()
    own.command("DEL", keys.GENERATION)  # after the restart, because a killed Redis may lose the deletion
    await seen(lambda: directory.generation is not None)
    assert not watch.done()
    watch.cancel()


async def test_an_answer_older_than_a_change_is_not_cached(
    watching: Directory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The look-up was in flight when the change was noticed, so its reply may be older."""
    command = watching._command

    async def overtaken(*args, **arguments):  # type: ignore[no-untyped-def]
        found = await command(*args, **arguments)
        watching._empty()
        return found

    monkeypatch.setattr(watching, "_command", overtaken)
    assert await watching.caller("ainoflow", TOKEN) == CALLER
    assert kept_caller(watching, TOKEN) is None


async def confirmed(directory: Directory) -> None:
    """Read the generation, and stop reading it before it changes."""
    watch = asyncio.create_task(directory.watch())
    await seen(lambda: directory.generation is not None)
    watch.cancel()


async def test_nothing_of_a_generation_that_was_lost_before_it_was_read_is_cached(
    runner: Runner, redis: RedisProcess
) -> None:
    """The worker was too busy to read the generation while a token was declared and lost again."""
    directory = Directory(runner)
    await confirmed(directory)
    directory._stale()
    await directory.declare("ainoflow", [token_entry(digest(TOKEN), CALLER)])
    await directory.invalidate()
    assert await directory.caller("ainoflow", TOKEN) == CALLER
    redis.command("FLUSHALL")
    await confirmed(directory)
    with pytest.raises(Unauthenticated):
        await directory.caller("ainoflow", TOKEN)


async def test_a_new_connection_empties_the_cache(
    own: RedisProcess, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The connection may lead to a replica that did not receive the last change."""
    monkeypatch.setattr(module, "FRESH", 3600.0)
    runner = await connect(own)
    directory = Directory(runner)
    await confirmed(directory)
    await directory.declare("ainoflow", [token_entry(digest(TOKEN), CALLER)])
    await directory.caller("ainoflow", TOKEN)
    assert kept_caller(directory, TOKEN) == CALLER
    await directory.declare("ainoflow", [Entry("token", digest(TOKEN), None)])
    own.restart()
    await runner.command("PING", key="")
    assert kept_caller(directory, TOKEN) is None
    await confirmed(directory)
    with pytest.raises(Unauthenticated):
        await directory.caller("ainoflow", TOKEN)


async def test_unknown_tokens_do_not_grow_the_cache_without_limit(
    directory: Directory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SIZE", 10)
    monkeypatch.setattr(module, "FRESH", 3600.0)
    await confirmed(directory)
    for n in range(25):
        with pytest.raises(Unauthenticated):
            await directory.caller("ainoflow", f"guess{n}")
    assert 0 < len(directory._entries) <= 10


async def test_long_tokens_and_long_entries_do_not_grow_the_cache_without_limit(
    directory: Directory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A token is cached by its digest, so its length does not matter. Entries have a limit in bytes."""
    monkeypatch.setattr(module, "FRESH", 3600.0)
    await confirmed(directory)
    guess = "guess" * 1600
    with pytest.raises(Unauthenticated):
        await directory.caller("ainoflow", guess)
    assert list(directory._entries) == [("ainoflow", "token", digest(guess))]
    monkeypatch.setattr(module, "BYTES", 100_000)
    for n in range(25):
        await directory.declare("ainoflow", [Entry("project", f"p{n}", {"long": "x" * 10_000})])
        await directory.find_entry("ainoflow", "project", f"p{n}")
        assert len(directory._entries) <= 12
    assert directory._entries_bytes <= 120_000


async def test_entries_are_found_replaced_and_removed(directory: Directory) -> None:
    await directory.declare("ainoflow", [Entry("project", "a:b", {"quota": {"documents": 1}})])
    assert await directory.find_entry("ainoflow", "project", "a:b") == {"quota": {"documents": 1}}
    assert await directory.find_entry("ainoflow", "project", "a") is None
    await directory.declare("ainoflow", [Entry("project", "a:b", None), Entry("project", "never", None)])
    directory._entries.clear()
    assert await directory.find_entry("ainoflow", "project", "a:b") is None


async def test_a_changed_quota_makes_the_usage_be_counted_again(directory: Directory, keyspace: Keyspace) -> None:
    """Without a quota the usage is not updated, so an earlier usage would be wrong."""
    usage = keys.usage("ainoflow", "acme")
    for declared in ({"quota": None}, None, {"quota": {"documents": 1}}):
        keyspace.command("SET", usage, "7 70")
        await directory.declare("ainoflow", [Entry("project", "acme", declared, meters="acme")])
        assert keyspace.command("EXISTS", usage) == 0
