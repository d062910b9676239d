"""Tests retain: each worker marks its function library, and one that is unused for a day is removed."""

import asyncio

import pytest

from service.storage import keys
from service.storage.libraries import IDLE, Libraries
from service.storage.records.write import Write
from service.storage.root import Storage
from service.storage.scripts.runner import Runner
from service.storage.sweeper import Sweeper
from tests.runners import Connect
from tests.running import soon
from tests.servers import RedisProcess
from tests.storage.keyspace import COLLECTION, ME, Keyspace

OLD = "polystow_0123456789abcdef"
FOREIGN = "somebody_else"


@pytest.fixture
def libraries(runner: Runner) -> Libraries:
    return Libraries(runner)


def load(redis: RedisProcess, *names: str) -> None:
    """Libraries as former versions and other users of the server have them."""
    for name in names:
        function = f"redis.register_function('of_{name}', function() return '{name}' end)"
        redis.command("FUNCTION", "LOAD", "REPLACE", f"#!lua name={name}\n{function}")


def known(redis: RedisProcess) -> set[str]:
    return {each[b"library_name"].decode() for each in redis.command("FUNCTION", "LIST")}


def mark(keyspace: Keyspace, name: str, seconds: float) -> None:
    """Let its last use be so long ago."""
    keyspace.command("HSET", keys.LIBRARIES, name, keyspace.now() - round(seconds * 1_000_000))


@pytest.fixture(autouse=True)
def alone(redis: RedisProcess, runner: Runner) -> None:
    for name in known(redis) - {runner.library.name}:
        redis.command("FUNCTION", "DELETE", name)


async def test_a_library_that_nobody_used_for_a_day_is_removed(
    libraries: Libraries, runner: Runner, redis: RedisProcess, keyspace: Keyspace
) -> None:
    load(redis, OLD, FOREIGN)
    mark(keyspace, OLD, IDLE + 1)
    assert await libraries.remove_unused() == [OLD]
    assert known(redis) == {runner.library.name, FOREIGN}
    assert keyspace.command("HKEYS", keys.LIBRARIES) == [runner.library.name.encode()]


async def test_a_library_that_somebody_used_within_a_day_stays(
    libraries: Libraries, runner: Runner, redis: RedisProcess, keyspace: Keyspace
) -> None:
    load(redis, OLD)
    mark(keyspace, OLD, IDLE - 60)
    assert await libraries.remove_unused() == []
    assert known(redis) == {runner.library.name, OLD}


async def test_the_day_of_an_unmarked_library_begins_when_it_is_found(
    libraries: Libraries, runner: Runner, redis: RedisProcess, keyspace: Keyspace
) -> None:
    """The worker of an unmarked library may be starting at this moment."""
    load(redis, OLD)
    before = keyspace.now()
    assert await libraries.remove_unused() == []
    assert before <= int(keyspace.command("HGET", keys.LIBRARIES, OLD)) <= keyspace.now()
    mark(keyspace, OLD, IDLE + 1)
    assert await libraries.remove_unused() == [OLD]


async def test_a_worker_never_removes_its_own_library(
    libraries: Libraries, runner: Runner, redis: RedisProcess, keyspace: Keyspace
) -> None:
    mark(keyspace, runner.library.name, 10 * IDLE)
    assert await libraries.remove_unused() == []
    assert known(redis) == {runner.library.name}


async def test_the_mark_of_a_missing_library_is_removed_too(
    libraries: Libraries, runner: Runner, keyspace: Keyspace
) -> None:
    mark(keyspace, OLD, IDLE + 1)
    assert await libraries.remove_unused() == [OLD]
    assert keyspace.command("HKEYS", keys.LIBRARIES) == [runner.library.name.encode()]


async def test_a_worker_whose_library_was_removed_loads_it_again(
    storage: Storage, runner: Runner, redis: RedisProcess
) -> None:
    """The worker was stopped for more than a day, for example, and another version removed its library."""
    await storage.records.put(Write(COLLECTION, "a", ME), b"[]")
    redis.command("FUNCTION", "DELETE", runner.library.name)
    assert (await storage.records.put(Write(COLLECTION, "a", ME), b"[]")).version == 2
    assert runner.library.name in known(redis)


async def test_a_library_is_marked_also_when_memory_is_full(
    libraries: Libraries, redis: RedisProcess, keyspace: Keyspace
) -> None:
    redis.command("CONFIG", "SET", "maxmemory", 1)
    try:
        assert await libraries.remove_unused() == []
    finally:
        redis.command("CONFIG", "SET", "maxmemory", 0)
    assert keyspace.names() == {keys.LIBRARIES}


async def test_each_worker_marks_its_library_once_an_hour_and_one_removes_old_ones(
    runner: Runner, connect: Connect, redis: RedisProcess, keyspace: Keyspace
) -> None:
    leading, following = Libraries(runner), Libraries(await connect(redis))
    load(redis, OLD)
    mark(keyspace, OLD, IDLE + 1)
    await following.tend(remove=False)
    assert known(redis) == {runner.library.name, OLD}
    assert keyspace.command("HEXISTS", keys.LIBRARIES, runner.library.name)
    await leading.tend(remove=True)
    assert known(redis) == {runner.library.name}
    keyspace.command("DEL", keys.LIBRARIES)
    await asyncio.gather(leading.tend(remove=True), following.tend(remove=False))  # within the hour
    assert not keyspace.names()


async def test_the_sweeper_marks_and_removes_libraries(
    runner: Runner, storage: Storage, redis: RedisProcess, keyspace: Keyspace
) -> None:
    load(redis, OLD)
    mark(keyspace, OLD, IDLE + 1)
    sweeping = asyncio.create_task(Sweeper(runner, storage).run())

    async def removed() -> bool:
        return await asyncio.to_thread(lambda: OLD not in known(redis))

    await soon(removed)
    sweeping.cancel()


async def test_only_the_expected_keys_remain(libraries: Libraries, keyspace: Keyspace) -> None:
    await libraries.remove_unused()
    assert keyspace.names() == {keys.LIBRARIES}
