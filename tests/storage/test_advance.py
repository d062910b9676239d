"""Tests advance: raises the counter of ids, so that later ids are higher than a number."""

import pytest

from service.storage import keys
from service.storage.root import Storage
from service.storage.scripts.runner import Runner
from service.storage.variables.id_allocator import IdAllocator
from service.storage.variables.user_transfer import UserTransfer
from tests.storage.keyspace import Keyspace

USER, VARIABLE = keys.user("avaamo"), keys.variable("avaamo")


@pytest.mark.parametrize(("before", "number", "after"), [(None, 7, b"7"), (b"6", 7, b"7"), (b"8", 7, b"8")])
async def test_a_counter_never_goes_back(
    runner: Runner, keyspace: Keyspace, before: bytes | None, number: int, after: bytes
) -> None:
    if before is not None:
        keyspace.command("SET", USER, before)
    await IdAllocator(runner).advance(USER, number)
    assert keyspace.command("GET", USER) == after


async def test_new_users_are_numbered_after_imported_ones(runner: Runner, storage: Storage) -> None:
    await UserTransfer(runner, "avaamo").advance("user", 41)
    assert await storage.users("avaamo").allot("new") == 42


async def test_only_the_expected_keys_remain(runner: Runner, keyspace: Keyspace) -> None:
    await IdAllocator(runner).advance(VARIABLE, (1 << 48) - 1)
    assert keyspace.names() == {VARIABLE}
    assert keyspace.command("GET", VARIABLE) == b"281474976710655"
