"""Tests allot: gives a user a number, which the user keeps."""

import asyncio

from service.storage.scripts.runner import Runner
from service.storage.variables.users import Users
from tests.servers import RedisProcess
from tests.storage.variables import names

KEYS = {"{avaamo}users", "{avaamo}user"}


async def test_users_get_consecutive_numbers_and_keep_them(runner: Runner) -> None:
    users = Users(runner, "avaamo")
    assert [await users.allot(user) for user in ("a", "b", "a", "é", "b")] == [1, 2, 1, 3, 2]


async def test_declared_numbers_are_skipped_however_many_there_are(runner: Runner) -> None:
    users = Users(runner, "avaamo")
    await asyncio.gather(*(users.enroll(f"declared-{n}", n, "") for n in range(2, 352)))
    assert [await users.allot(user) for user in ("a", "b", "declared-7")] == [1, 352, 7]


async def test_racing_callers_all_get_the_same_number(runner: Runner) -> None:
    users = Users(runner, "avaamo")
    found = await asyncio.gather(*(users.allot(f"u{n % 5}") for n in range(100)))
    assert sorted(set(found)) == [1, 2, 3, 4, 5]
    assert found == found[:5] * 20


async def test_only_the_expected_keys_remain(runner: Runner, redis: RedisProcess) -> None:
    await Users(runner, "avaamo").allot("a")
    assert names(redis) == KEYS
