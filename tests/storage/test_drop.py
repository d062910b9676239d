"""Tests drop: removes one variable."""

import pytest

from service.storage.errors import Denied, NotFound, Undeclared
from service.storage.records.write import Write
from service.storage.scripts.runner import Runner
from tests.servers import RedisProcess
from tests.storage.variables import (
    AGENT,
    DATA,
    EDITOR,
    GRANTED,
    NUMBERS,
    OTHER,
    SHORT,
    VIEWER,
    listed,
    members,
    names,
    opened,
)


async def test_a_removed_variable_is_gone_from_every_list_and_nothing_else_is(
    runner: Runner, redis: RedisProcess
) -> None:
    variables = await opened(runner)
    for user in (0, 1):
        await variables.assign(Write(AGENT, subject=EDITOR), user, "k", "v")
    await variables.drop(Write(AGENT, subject=EDITOR), 0, "k")
    assert members(redis) == 5
    assert [each.user for each in await listed(variables, key="k", value="v")] == [1]


async def test_a_missing_variable_is_not_found(runner: Runner) -> None:
    variables = await opened(runner)
    await variables.assign(Write(AGENT, subject=EDITOR), 1, "k", "v")
    for user in (1, 1, 2):
        if user == 1 and await variables.recall(AGENT, VIEWER, 1, "k"):
            await variables.drop(Write(AGENT, subject=EDITOR), 1, "k")
        else:
            with pytest.raises(NotFound):
                await variables.drop(Write(AGENT, subject=EDITOR), user, "k")


async def test_a_variable_that_is_set_again_has_another_id(runner: Runner) -> None:
    variables = await opened(runner)
    first = await variables.assign(Write(AGENT, subject=EDITOR), 1, "k", "v")
    await variables.drop(Write(AGENT, subject=EDITOR), 1, "k")
    assert await variables.assign(Write(AGENT, subject=EDITOR), 1, "k", "v") != first


async def test_removing_needs_the_write_permission(runner: Runner) -> None:
    variables = await opened(runner)
    with pytest.raises(Denied):
        await variables.drop(Write(AGENT, subject=VIEWER), 1, "k")
    with pytest.raises(Undeclared):
        await variables.drop(Write(OTHER, subject=EDITOR), 1, "k")


async def test_only_the_expected_keys_remain(runner: Runner, redis: RedisProcess) -> None:
    """Long lists leave no keys either."""
    variables = await opened(runner)
    for n in range(SHORT + 1):
        await variables.assign(Write(AGENT, subject=EDITOR), 1, f"k{n}", "v")
    assert names(redis) == {*GRANTED, NUMBERS, *DATA}
    for n in range(SHORT + 1):
        await variables.drop(Write(AGENT, subject=EDITOR), 1, f"k{n}")
    assert names(redis) == {*GRANTED, NUMBERS}
