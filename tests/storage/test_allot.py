"""allot: the number of a user, from now on."""

import asyncio

from service.storage.scripts.runner import Runner
from service.storage.variables.users import Users
from tests.servers import RedisProcess
from tests.storage.variables import names

KEYS = {"{avaamo}users", "{avaamo}user"}


async def test_users_get_one_number_after_the_other_and_keep_it(runner: Runner) -> None:
    users = Users(runner, "avaamo")
    assert [await users.allot(user) for user in ("a", "b", "a", "é", "b")] == [1, 2, 1, 3, 2]


async def test_declared_numbers_are_passed_over_however_many_they_are(runner: Runner) -> None:
    users = Users(runner, "avaamo")
    await asyncio.gather(*(users.enroll(f"declared-{n}", n, "") for n in range(2, 352)))
    assert [await users.allot(user) for user in ("a", "b", "declared-7")] == [1, 352, 7]


async def test_of_racing_callers_all_get_the_same(runner: Runner) -> None:
    users = Users(runner, "avaamo")
    found = await asyncio.gather(*(users.allot(f"u{n % 5}") for n in range(100)))
    assert sorted(set(found)) == [1, 2, 3, 4, 5]
    assert found == found[:5] * 20


async def test_the_keys_left(runner: Runner, redis: RedisProcess) -> None:
    await Users(runner, "avaamo").allot("a")
    assert names(redis) == KEYS
