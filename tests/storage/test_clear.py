"""Tests clear: removes all variables in one step."""

import asyncio

import pytest

from service.storage.access.grants import Grants
from service.storage.errors import Denied, Undeclared
from service.storage.records.write import Write
from service.storage.scripts.runner import Runner
from tests.servers import RedisProcess
from tests.storage.variables import AGENT, DATA, EDITOR, GRANTED, NUMBERS, OTHER, SHORT, VIEWER, listed, names, opened


async def test_all_variables_are_removed_and_counted(runner: Runner) -> None:
    variables = await opened(runner)
    grants = Grants(runner)
    await grants.grant(OTHER, {EDITOR: "rw"}, await grants.revise())
    for collection in (AGENT, OTHER):
        await asyncio.gather(
            *(variables.assign(Write(collection, subject=EDITOR), n % 3, f"k{n}", "v") for n in range(50))
        )
    assert await variables.clear(Write(AGENT, subject=EDITOR)) == 50
    assert await variables.clear(Write(AGENT, subject=EDITOR)) == 0
    assert await listed(variables) == []
    assert await variables.clear(Write(OTHER, subject=EDITOR)) == 50


async def test_clearing_needs_the_write_permission(runner: Runner) -> None:
    variables = await opened(runner)
    await variables.assign(Write(AGENT, subject=EDITOR), 1, "k", "v")
    with pytest.raises(Denied):
        await variables.clear(Write(AGENT, subject=VIEWER))
    with pytest.raises(Undeclared):
        await variables.clear(Write(OTHER, subject=EDITOR))
    assert len(await listed(variables)) == 1


async def test_only_the_expected_keys_remain(runner: Runner, redis: RedisProcess) -> None:
    variables = await opened(runner)
    for n in range(SHORT + 1):
        await variables.assign(Write(AGENT, subject=EDITOR), 1, f"k{n}", "v")
    assert names(redis) == {*GRANTED, NUMBERS, *DATA}
    await variables.clear(Write(AGENT, subject=EDITOR))
    assert names(redis) == {*GRANTED, NUMBERS}
