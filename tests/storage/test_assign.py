"""Tests assign: sets a variable, whether it exists or not."""

import asyncio

import pytest

from service.storage import keys
from service.storage.errors import Denied, Undeclared
from service.storage.records.write import Write
from service.storage.scripts.runner import Runner
from service.storage.variables.id_allocator import BLOCK
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
    members,
    names,
    opened,
)


async def test_a_new_variable_uses_an_id_and_has_equal_times(runner: Runner) -> None:
    variables = await opened(runner)
    id = await variables.assign(Write(AGENT, subject=EDITOR), 7, "role", "guest")
    (found,) = await listed(variables)
    assert (found.id, found.user, found.key, found.value) == (id, 7, "role", "guest")
    assert found.created == found.updated


async def test_an_existing_variable_keeps_id_and_creation_time_and_returns_the_unused_id(runner: Runner) -> None:
    variables = await opened(runner)
    ids = [
        await variables.assign(Write(AGENT, subject=EDITOR), 7, "role", value) for value in ("guest", "admin", "admin")
    ]
    assert len(set(ids)) == 1
    (found,) = await listed(variables)
    assert found.updated > found.created
    assert await variables.assign(Write(AGENT, subject=EDITOR), 8, "role", "guest") == ids[0] + 1


async def test_ids_reserved_for_imported_variables_are_not_given(runner: Runner) -> None:
    variables = await opened(runner)
    own = await variables.assign(Write(AGENT, subject=EDITOR), 7, "own", "1")
    first, last = await variables.reserve(AGENT.dialect, own + 5 * BLOCK)
    assert (first, last) == (BLOCK + 1, own + 5 * BLOCK)  # the block of `own` is this worker's
    assert await variables.reserve(AGENT.dialect, last) == (1, 0)  # none is left
    ids = [await variables.assign(Write(AGENT, subject=EDITOR), 7, f"k{n}", "1") for n in range(2 * BLOCK)]
    assert not set(ids) & {*range(first, last + 1)}
    assert len(set(ids)) == 2 * BLOCK


async def test_an_updated_variable_leaves_the_lists_of_its_old_value(runner: Runner, redis: RedisProcess) -> None:
    variables = await opened(runner)
    for value in ("old", "new", "new", "newer"):
        await variables.assign(Write(AGENT, subject=EDITOR), 7, "role", value)
        assert members(redis) == 5
    for by in ({}, {"user": 7}, {"key": "role"}, {"user": 7, "key": "role"}):
        assert await listed(variables, value="old", **by) == []
        assert len(await listed(variables, value="newer", **by)) == 1


async def test_a_global_variable_is_in_no_list_of_a_user(runner: Runner, redis: RedisProcess) -> None:
    variables = await opened(runner)
    await variables.assign(Write(AGENT, subject=EDITOR), 0, "role", "guest")
    assert members(redis) == 3
    (found,) = await listed(variables, key="role", value="guest")
    assert found.user == 0


async def test_a_list_becomes_long_and_stays_long_until_it_is_empty(runner: Runner, redis: RedisProcess) -> None:
    variables = await opened(runner)
    for n in range(SHORT + 1):
        assert redis.command("ZCARD", keys.listing(AGENT)) == 0
        await variables.assign(Write(AGENT, subject=EDITOR), 0, f"k{n}", "v")
    for n in range(SHORT + 1):
        assert redis.command("ZCARD", keys.listing(AGENT)) == SHORT + 1 - n
        assert len(await listed(variables, value="v")) == SHORT + 1 - n
        await variables.assign(Write(AGENT, subject=EDITOR), 0, f"k{n}", f"other {n}")
    assert redis.command("HLEN", keys.lists(AGENT)) == 3 * (SHORT + 1)


async def test_a_member_is_found_only_at_the_start_of_one(runner: Runner, redis: RedisProcess) -> None:
    """Here the end of one member and the beginning of the next one look like a member."""
    variables = await opened(runner)
    await variables.assign(Write(AGENT, subject=EDITOR), 1, "k", "v")
    list = selecting(Filter(user=1))
    member = redis.command("HGET", keys.lists(AGENT), list)
    before = bytes(12) + member + bytes(1)
    redis.command("HSET", keys.lists(AGENT), list, before + member)
    await variables.assign(Write(AGENT, subject=EDITOR), 1, "k", "v")
    assert redis.command("HGET", keys.lists(AGENT), list)[:26] == before


async def test_names_of_lists_cannot_be_forged(runner: Runner) -> None:
    """Pairs of texts that are the same when they are joined are different names."""
    variables = await opened(runner)
    pairs = [("a", "bc"), ("ab", "c"), ("", "abc"), ("1:a", "bc"), ("a1:b", "c"), ("a\0b", "c"), ("aa", "b\0c")]
    for key, value in pairs:
        await variables.assign(Write(AGENT, subject=EDITOR), 7, key, value)
    for key, value in pairs:
        assert [(each.key, each.value) for each in await listed(variables, key=key, value=value)] == [(key, value)]


@pytest.mark.parametrize("size", [0, 1, VALUE_BYTES])
async def test_a_value_of_any_size_comes_back(runner: Runner, size: int) -> None:
    variables = await opened(runner)
    value = "\0" * size
    await variables.assign(Write(AGENT, subject=EDITOR), 7, "k", value)
    assert [each.value for each in await listed(variables, value=value)] == [value]


async def test_writing_needs_the_write_permission(runner: Runner, redis: RedisProcess) -> None:
    variables = await opened(runner)
    for subject in (VIEWER, STRANGER):
        with pytest.raises(Denied):
            await variables.assign(Write(AGENT, subject=subject), 7, "k", "v")
    with pytest.raises(Undeclared):
        await variables.assign(Write(OTHER, subject=EDITOR), 7, "k", "v")
    assert names(redis) == {*GRANTED, NUMBERS}


async def test_numbers_are_reserved_in_blocks_and_never_given_twice(runner: Runner, redis: RedisProcess) -> None:
    workers = [await opened(runner) for _ in range(2)]
    sets = [
        each.assign(Write(AGENT, subject=EDITOR), user, f"k{n}", "v")
        for user, each in enumerate(workers, 1)
        for n in range(BLOCK)
    ]
    ids = await asyncio.gather(*sets)
    assert len(set(ids)) == 2 * BLOCK
    assert int(redis.command("GET", NUMBERS)) in (3 * BLOCK, 4 * BLOCK)


async def test_racing_sets_of_one_name_create_one_variable(runner: Runner) -> None:
    workers = [await opened(runner) for _ in range(4)]
    ids = await asyncio.gather(
        *(each.assign(Write(AGENT, subject=EDITOR), 7, "k", f"{n}") for each in workers for n in range(25))
    )
    assert len(set(ids)) == 1
    assert len(await listed(workers[0])) == 1


async def test_only_the_expected_keys_remain(runner: Runner, redis: RedisProcess) -> None:
    variables = await opened(runner)
    for value in ("old", "new"):
        await variables.assign(Write(AGENT, subject=EDITOR), 7, "k", value)
        assert names(redis) == {*GRANTED, NUMBERS, *FEW}
    assert [redis.command("HLEN", key) for key in (keys.variables(AGENT), keys.names(AGENT))] == [1, 1]
