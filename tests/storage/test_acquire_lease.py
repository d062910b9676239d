"""Tests acquire_lease: only one worker at a time has the lease. test_sweeper.py tests its use."""

from service.storage import keys
from service.storage.root import Storage
from service.storage.scripts.runner import Runner
from service.storage.sweeper import HELD_FOR, Sweeper
from tests.storage.keyspace import Keyspace


async def test_one_worker_gets_the_lease_and_renews_it(runner: Runner, storage: Storage, keyspace: Keyspace) -> None:
    one, other = Sweeper(runner, storage), Sweeper(runner, storage)
    assert await one.acquire_lease()
    assert not await other.acquire_lease()
    keyspace.command("PEXPIRE", keys.SWEEPER, 1000)
    assert await one.acquire_lease()
    assert HELD_FOR - 1000 < keyspace.command("PTTL", keys.SWEEPER) <= HELD_FOR
    assert not await other.acquire_lease()


async def test_another_worker_gets_the_lease_when_the_holder_is_gone(
    runner: Runner, storage: Storage, keyspace: Keyspace
) -> None:
    one, other = Sweeper(runner, storage), Sweeper(runner, storage)
    assert await one.acquire_lease()
    keyspace.command("PEXPIRE", keys.SWEEPER, 1)
    keyspace.wait_past(keyspace.now() // 1000 + 2)
    assert await other.acquire_lease()
    assert not await one.acquire_lease()


async def test_only_the_expected_keys_remain(runner: Runner, storage: Storage, keyspace: Keyspace) -> None:
    await Sweeper(runner, storage).acquire_lease()
    assert keyspace.names() == {keys.SWEEPER}
