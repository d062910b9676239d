"""Tests select: reads a page of the variables that a filter selects, and their number."""

import pytest

from service.storage import keys
from service.storage.errors import Denied, Undeclared
from service.storage.records.write import Write
from service.storage.scripts.runner import Runner
from service.storage.variables import variables as module
from service.storage.variables.variables import VALUE_BYTES, Filter, selecting
from tests.servers import RedisProcess
from tests.storage.variables import (
    AGENT,
    EDITOR,
    FEW,
    GRANTED,
    NUMBERS,
    OTHER,
    SHORT,
    STRANGER,
    VIEWER,
    listed,
    names,
    opened,
)


async def test_an_agent_without_variables_has_an_empty_list(runner: Runner) -> None:
    variables = await opened(runner)
    for by in (Filter(), Filter(user=1), Filter(user=1, key="k"), Filter(key="k", value="v")):
        assert await variables.select(AGENT, VIEWER, by, 0, 10) == (0, [])


async def test_pages_are_ordered_from_the_newest_to_the_oldest(runner: Runner) -> None:
    variables = await opened(runner)
    for n in range(23):
        await variables.assign(Write(AGENT, subject=EDITOR), 1 + n % 2, f"k{n}", "v")
    for by, expected in ((Filter(), range(22, -1, -1)), (Filter(user=1), range(22, -1, -2))):
        found: list[str] = []
        for offset in range(0, 40, 5):
            total, page = await variables.select(AGENT, VIEWER, by, offset, 5)
            assert total == len(expected)
            found += [each.key for each in page]
        assert found == [f"k{n}" for n in expected]


@pytest.mark.parametrize("older", [0, SHORT])
async def test_a_span_of_time_includes_its_start_and_not_its_end(runner: Runner, older: int) -> None:
    """In short lists and in long ones."""
    variables = await opened(runner)
    for n in range(-older, 5):
        await variables.assign(Write(AGENT, subject=EDITOR), 1, f"k{n}", "v")
    times = [each.updated for each in reversed(await listed(variables))][older:]
    for by in ({}, {"user": 1}, {"key": "k2"}, {"value": "v"}, {"user": 1, "value": "v"}, {"user": 1, "key": "k2"}):
        whole = {each.key for each in await listed(variables, **by)}
        for first in range(5):
            for end in range(5):  # also one before the start
                found = await listed(variables, since=times[first], until=times[end], **by)
                assert {each.key for each in found} == whole & {f"k{n}" for n in range(first, end)}


async def test_a_clock_that_was_set_back_does_not_change_the_order(runner: Runner, redis: RedisProcess) -> None:
    """Variables of one microsecond have an order, too: the larger id is the newer."""
    variables = await opened(runner)
    list, ids = (
        selecting(Filter(value="v")),
        [await variables.assign(Write(AGENT, subject=EDITOR), 1, f"k{n}", "v") for n in range(5)],
    )
    members = [(moment, ids[n]) for n, moment in enumerate((30, 10, 20, 20, 10))]
    text = b"".join(moment.to_bytes(7, "big") + id.to_bytes(6, "big") for moment, id in members)
    redis.command("HSET", keys.lists(AGENT), list, text)
    found = await listed(variables, value="v")
    assert [each.id for each in found] == [id for _, id in sorted(members, reverse=True)]


async def test_a_page_of_large_values_is_read_in_portions(runner: Runner, redis: RedisProcess) -> None:
    variables = await opened(runner)
    for n in range(40):
        await variables.assign(Write(AGENT, subject=EDITOR), 1, f"k{n}", f"{n:02}" + "x" * (VALUE_BYTES - 2))
    redis.command("CONFIG", "RESETSTAT")
    assert [each.value[:2] for each in await listed(variables)] == [f"{n:02}" for n in range(39, -1, -1)]
    calls = redis.command("INFO", "commandstats")["cmdstat_hmget"]["calls"]
    assert calls == -(-(40 - module.INLINE_BYTES // VALUE_BYTES - 1) // module.PORTION)


async def test_reading_needs_the_read_permission(runner: Runner) -> None:
    variables = await opened(runner)
    with pytest.raises(Denied):
        await variables.select(AGENT, STRANGER, Filter(), 0, 10)
    with pytest.raises(Undeclared):
        await variables.select(OTHER, VIEWER, Filter(), 0, 10)


async def test_only_the_expected_keys_remain(runner: Runner, redis: RedisProcess) -> None:
    variables = await opened(runner)
    await variables.assign(Write(AGENT, subject=EDITOR), 1, "k", "v")
    await listed(variables)
    assert names(redis) == {*GRANTED, NUMBERS, *FEW}
