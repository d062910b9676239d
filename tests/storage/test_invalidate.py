"""Tests invalidate: makes every worker look up again what it has cached. test_directory.py tests the effect."""

from service.storage import keys
from service.storage.access.directory import Directory
from service.storage.scripts.runner import Runner
from tests.storage.keyspace import Keyspace


async def test_the_generation_grows_with_every_change(runner: Runner, keyspace: Keyspace) -> None:
    found = []
    for _ in range(3):
        await Directory(runner).invalidate()
        found.append(int(keyspace.command("GET", keys.GENERATION)))
    assert found == sorted(set(found))


async def test_no_generation_is_repeated_when_redis_has_lost_the_last_one(runner: Runner, keyspace: Keyspace) -> None:
    await Directory(runner).invalidate()
    before = int(keyspace.command("GET", keys.GENERATION))
    keyspace.command("DEL", keys.GENERATION)
    await Directory(runner).invalidate()
    assert int(keyspace.command("GET", keys.GENERATION)) > before


async def test_the_generation_grows_although_the_clock_was_set_back(runner: Runner, keyspace: Keyspace) -> None:
    keyspace.command("SET", keys.GENERATION, 1 << 52)
    await Directory(runner).invalidate()
    assert int(keyspace.command("GET", keys.GENERATION)) == (1 << 52) + 1


async def test_only_the_expected_keys_remain(runner: Runner, keyspace: Keyspace) -> None:
    await Directory(runner).invalidate()
    assert keyspace.names() == {keys.GENERATION}
    assert keyspace.command("TTL", keys.GENERATION) == -1
