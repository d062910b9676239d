"""Tests enroll: declares a user with a number and a display name, or removes one."""

import pytest

from service.storage.errors import AlreadyExists
from service.storage.scripts.runner import Runner
from service.storage.variables.users import Users
from tests.servers import RedisProcess
from tests.storage.variables import names


@pytest.fixture
def users(runner: Runner) -> Users:
    return Users(runner, "avaamo")


async def test_a_declared_user_has_its_number_and_name(users: Users) -> None:
    for _ in range(2):
        await users.enroll("a", 50, "Ada")
        assert await users.allot("a") == 50
        assert await users.displays([50, 51]) == ["Ada", ""]


async def test_a_declaration_replaces_an_allotted_number(users: Users) -> None:
    assert await users.allot("a") == 1
    await users.enroll("a", 50, "")
    assert await users.allot("a") == 50


async def test_an_allotted_number_can_be_declared_for_its_owner_alone(users: Users) -> None:
    assert [await users.allot(user) for user in ("a", "b")] == [1, 2]
    with pytest.raises(AlreadyExists, match="1"):
        await users.enroll("b", 1, "")
    await users.enroll("a", 1, "Ada")
    assert [await users.allot(user) for user in ("a", "b")] == [1, 2]
    assert await users.displays([1]) == ["Ada"]


async def test_the_number_of_a_removed_user_is_not_given_again(users: Users) -> None:
    await users.enroll("a", 1, "Ada")
    for _ in range(2):
        await users.enroll("a", None, "")
        assert await users.displays([1]) == [""]
    assert await users.allot("b") == 2
    assert await users.allot("a") == 3
    await users.enroll("a", 1, "Ada")
    assert await users.allot("a") == 1


async def test_removing_an_undeclared_user_changes_nothing(users: Users) -> None:
    assert await users.allot("a") == 1
    for user in ("a", "stranger"):
        await users.enroll(user, None, "")
    assert await users.allot("a") == 1


async def test_only_the_expected_keys_remain(users: Users, redis: RedisProcess) -> None:
    await users.enroll("a", 50, "Ada")
    assert names(redis) == {"{avaamo}users", "{avaamo}declared"}
