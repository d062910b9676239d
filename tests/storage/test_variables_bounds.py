"""Tests that no script on variables blocks Redis for more than 5 ms, and that more variables do not cost more commands.

Redis counts the commands of each script.
"""

import asyncio

import pytest

from service.storage import keys
from service.storage.records.write import Write
from service.storage.scripts.runner import Runner
from service.storage.variables import variables as module
from service.storage.variables.variables import PAGE, VALUE_BYTES, Filter, Variables
from tests.servers import RedisProcess
from tests.slow_commands import slow_commands
from tests.storage.variables import AGENT, EDITOR, SHORT, VIEWER, opened

FILTERS = {
    "all": Filter(),
    "user": Filter(user=1),
    "key": Filter(key="k1"),
    "value": Filter(value="v1"),
    "key and value": Filter(key="k1", value="v1"),
    "user and value": Filter(user=1, value="v1"),
    "dates": Filter(since=1),
    "user and dates": Filter(user=1, since=1),
}
INSIDE = ("hget", "zcount", "zlexcount", "zrange")


async def filled(runner: Runner, count: int) -> Variables:
    variables = await opened(runner)
    await asyncio.gather(
        *(variables.assign(Write(AGENT, subject=EDITOR), n // 10 + 1, f"k{n % 10}", f"v{n % 7}") for n in range(count))
    )
    return variables


def calls(redis: RedisProcess) -> dict[str, int]:
    stats = redis.command("INFO", "commandstats")
    return {name: stats.get(f"cmdstat_{name}", {"calls": 0})["calls"] for name in INSIDE}


@pytest.mark.parametrize("filter", FILTERS)
async def test_a_page_costs_as_many_commands_in_a_large_collection_as_in_a_small_one(
    runner: Runner, redis: RedisProcess, filter: str
) -> None:
    for count in (100, 1000):
        variables = await filled(runner, count)
        total, _ = await variables.select(AGENT, VIEWER, FILTERS[filter], 0, 5)
        for offset in (0, total - 5):
            redis.command("CONFIG", "RESETSTAT")
            _, found = await variables.select(AGENT, VIEWER, FILTERS[filter], max(offset, 0), 5)
            asked = calls(redis)
            rows = asked["hget"] - len(found)  # what is left is the caller's grant, and the list
            ranks = asked["zcount"] + asked["zlexcount"]
            assert (rows, ranks, asked["zrange"]) in ((2, 0, 0), (1 + (asked["zcount"] == 0), 2, 1))


async def test_no_script_of_variables_takes_long(runner: Runner, redis: RedisProcess) -> None:
    variables = await filled(runner, 5_000)
    large = "x" * VALUE_BYTES

    async def pages() -> None:
        for by in FILTERS.values():
            await variables.select(AGENT, VIEWER, by, 0, PAGE)

    async def fill_with_large() -> None:
        await asyncio.gather(
            *(variables.assign(Write(AGENT, subject=EDITOR), 1, f"large{n}", large) for n in range(PAGE))
        )

    async def clear() -> None:
        await variables.clear(Write(AGENT, subject=EDITOR))

    assert await slow_commands(redis.command, pages) == []
    assert await slow_commands(redis.command, fill_with_large) == []
    assert await slow_commands(redis.command, lambda: variables.select(AGENT, VIEWER, Filter(), 0, PAGE)) == []
    assert await slow_commands(redis.command, lambda: variables.recall(AGENT, VIEWER, 1, "large1")) == []
    assert await slow_commands(redis.command, clear, lambda: filled(runner, 500)) == []


async def test_a_write_that_makes_four_lists_long_does_not_take_long(runner: Runner, redis: RedisProcess) -> None:
    """Those of key and of user, with the value and without: more cannot be at their last short length at once."""
    variables = await opened(runner)

    async def fill() -> None:
        await variables.clear(Write(AGENT, subject=EDITOR))
        for n in range(SHORT):
            await variables.assign(Write(AGENT, subject=EDITOR), 1, f"k{n}", "v")
            await variables.assign(Write(AGENT, subject=EDITOR), n + 2, "k", "v")
        assert redis.command("ZCARD", keys.listing(AGENT)) == 2 * SHORT  # the list of the value alone

    async def assign() -> None:
        await variables.assign(Write(AGENT, subject=EDITOR), 1, "k", "v")

    assert await slow_commands(redis.command, assign, fill) == []
    assert redis.command("ZCARD", keys.listing(AGENT)) == 2 * SHORT + 1 + 4 * (SHORT + 1)


async def test_a_page_of_large_values_includes_few_of_them(runner: Runner, redis: RedisProcess) -> None:
    variables = await opened(runner)
    for n in range(20):
        await variables.assign(Write(AGENT, subject=EDITOR), 1, f"k{n}", "x" * VALUE_BYTES)
    redis.command("CONFIG", "RESETSTAT")
    await variables.select(AGENT, VIEWER, Filter(), 0, PAGE)
    assert calls(redis)["hget"] - 1 <= module.INLINE_BYTES // VALUE_BYTES + 1
