"""Tests recall: reads one variable by its user and key."""

import pytest

from service.storage.errors import Denied, Undeclared
from service.storage.records.write import Write
from service.storage.scripts.runner import Runner
from tests.servers import RedisProcess
from tests.storage.variables import AGENT, EDITOR, FEW, GRANTED, NUMBERS, OTHER, STRANGER, VIEWER, names, opened


async def test_a_variable_that_was_set_is_returned(runner: Runner) -> None:
    variables = await opened(runner)
    await variables.assign(Write(AGENT, subject=EDITOR), 0, "k", "everybodys")
    await variables.assign(Write(AGENT, subject=EDITOR), 1, "k", "ones")
    for user, value in ((0, "everybodys"), (1, "ones")):
        found = await variables.recall(AGENT, VIEWER, user, "k")
        assert found is not None
        assert found.value == value


async def test_a_variable_that_was_not_set_is_none(runner: Runner) -> None:
    variables = await opened(runner)
    await variables.assign(Write(AGENT, subject=EDITOR), 1, "k", "v")
    for user, key in ((0, "k"), (2, "k"), (1, "K")):
        assert await variables.recall(AGENT, VIEWER, user, key) is None


async def test_reading_needs_the_read_permission(runner: Runner) -> None:
    variables = await opened(runner)
    with pytest.raises(Denied):
        await variables.recall(AGENT, STRANGER, 1, "k")
    with pytest.raises(Undeclared):
        await variables.recall(OTHER, VIEWER, 1, "k")


async def test_only_the_expected_keys_remain(runner: Runner, redis: RedisProcess) -> None:
    variables = await opened(runner)
    await variables.assign(Write(AGENT, subject=EDITOR), 1, "k", "v")
    await variables.recall(AGENT, VIEWER, 1, "k")
    assert names(redis) == {*GRANTED, NUMBERS, *FEW}
