"""Tests audit, and fsck on variables: every kind of damage is found and repaired."""

import asyncio
from collections.abc import Callable

import pytest

from service.storage import keys
from service.storage.errors import Changed
from service.storage.fsck import check as fsck
from service.storage.records.write import Write
from service.storage.scripts.runner import Runner
from service.storage.variables.variables import Filter, Variables, fixed, name, selecting
from tests.servers import RedisProcess
from tests.storage.variables import AGENT, DATA, EDITOR, GRANTED, NUMBERS, VIEWER, names, opened

VARIABLES, NAMES, NEWEST = keys.variables(AGENT), keys.names(AGENT), keys.newest(AGENT)
LISTS, LISTING = keys.lists(AGENT), keys.listing(AGENT)
COUNT = 48  # variables; `v0` is the value of 40, which are too many for a short list, and a user has 12


async def check(redis: RedisProcess, *, repair: bool = False) -> tuple[int, list[str]]:
    out: list[str] = []
    status = await fsck.run(redis.url, repair=repair, out=out.append)
    return status, out


@pytest.fixture
async def filled(runner: Runner) -> Variables:
    variables = await opened(runner)
    for n in range(COUNT):
        await variables.assign(Write(AGENT, subject=EDITOR), n % 4, f"k{n}", f"v{n % 3 if n < 12 else 0}")
    await variables.assign(Write(AGENT, subject=EDITOR), 1, "k1", "changed")
    return variables


def first(redis: RedisProcess) -> bytes:
    """Return an id that exists."""
    return bytes(min(redis.command("HKEYS", VARIABLES)))


def packed(redis: RedisProcess) -> bytes:
    return bytes(redis.command("HGET", VARIABLES, first(redis)))


SHORT, LONG = fixed(0, "k0"), selecting(Filter(value="v0"))
MEMBER = bytes(7) + b"\xff" * 6  # a member that belongs to no variable


def text(redis: RedisProcess, list: bytes) -> bytes:
    return bytes(redis.command("HGET", LISTS, list))


Damage = Callable[[RedisProcess], object]
DAMAGE: dict[str, tuple[Damage, str]] = {
    "a long list lacks a variable": (lambda r: r.command("ZPOPMIN", LISTING), "list: wrong number"),
    "the listing is gone": (lambda r: r.command("DEL", LISTING), "list: missing"),
    "the lists are gone": (lambda r: r.command("DEL", LISTS), "listing: of no long list"),
    "lists and listing are gone": (lambda r: r.command("DEL", LISTS, LISTING), "list: missing"),
    "a short list is gone": (lambda r: r.command("HDEL", LISTS, SHORT), "list: missing"),
    "a long list has another number": (lambda r: r.command("HSET", LISTS, LONG, b"\0" * 6), "list: wrong number"),
    "a list that is not there has a number": (lambda r: r.command("HSET", LISTS, b"?" * 15, b"\0" * 6), "wrong number"),
    "a short list is empty": (lambda r: r.command("HSET", LISTS, b"?" * 15, b""), "list: wrong number"),
    "a short list is broken off": (
        lambda r: r.command("HSET", LISTS, SHORT, text(r, SHORT)[:-1]),
        "list: wrong number",
    ),
    "a short list has a variable twice": (
        lambda r: r.command("HSET", LISTS, SHORT, text(r, SHORT) * 2),
        "list: wrong number",
    ),
    "a short list names a variable that is gone": (
        lambda r: r.command("HSET", LISTS, SHORT, text(r, SHORT) + MEMBER),
        "list: of no variable",
    ),
    "a short list names a variable of another moment": (
        lambda r: r.command("HSET", LISTS, SHORT, bytes(7) + text(r, SHORT)[7:]),
        "list: of no variable",
    ),
    "a long list names a variable that is gone": (
        lambda r: r.command("ZADD", LISTING, 0, LONG + MEMBER),
        "list: of no variable",
    ),
    "a long list names a variable of another moment": (
        lambda r: r.command("ZADD", LISTING, 0, LONG + bytes(7) + first(r)),
        "list: of no variable",
    ),
    "a short list has members in the listing": (
        lambda r: r.command("ZADD", LISTING, 0, SHORT + text(r, SHORT)),
        "listing: of no long list",
    ),
    "the newest lack a variable": (lambda r: r.command("ZPOPMIN", NEWEST), "newest: not at its moment"),
    "the newest are gone": (lambda r: r.command("DEL", NEWEST), "newest: not at its moment"),
    "the newest have another moment": (lambda r: r.command("ZADD", NEWEST, 7, first(r)), "newest: not at its moment"),
    "the newest name a variable that is gone": (
        lambda r: r.command("ZADD", NEWEST, 7, b"\xff" * 6),
        "newest: of no variable",
    ),
    "a name is missing": (lambda r: r.command("HDEL", NAMES, name(1, "k1")), "name: missing"),
    "the names are gone": (lambda r: r.command("DEL", NAMES), "name: missing"),
    "a name leads to nothing": (lambda r: r.command("HSET", NAMES, b"x" * 16, b"\xff" * 6), "name: of no variable"),
    "a name leads to another variable": (
        lambda r: r.command("HSET", NAMES, b"x" * 16, first(r)),
        "name: of no variable",
    ),
    "a variable is gone": (lambda r: r.command("HDEL", VARIABLES, first(r)), "list: of no variable"),
    "the variables are gone": (lambda r: r.command("DEL", VARIABLES), "name: of no variable"),
    "a variable's lists are wrong": (
        lambda r: r.command("HSET", VARIABLES, first(r), packed(r)[:22] + b"?" + packed(r)[23:]),
        "variable: its lists are wrong",
    ),
}


@pytest.mark.parametrize("damage", DAMAGE)
async def test_damage_is_found_reported_and_repaired(filled: Variables, redis: RedisProcess, damage: str) -> None:
    do, fault = DAMAGE[damage]
    assert await check(redis) == (0, ["0 faults found"])
    do(redis)
    status, out = await check(redis)
    assert status == 1
    assert any(fault in line for line in out)
    assert await check(redis) == (1, out)  # the check changed nothing
    assert (await check(redis, repair=True))[0] == 1
    assert await check(redis) == (0, ["0 faults found"])


async def test_repaired_data_works_again(filled: Variables, redis: RedisProcess) -> None:
    before = [await filled.select(AGENT, VIEWER, by, 0, 100) for by in (Filter(), Filter(value="v0"), Filter(user=1))]
    redis.command("DEL", NEWEST, LISTS, LISTING, NAMES)
    await check(redis, repair=True)
    after = [await filled.select(AGENT, VIEWER, by, 0, 100) for by in (Filter(), Filter(value="v0"), Filter(user=1))]
    assert after == before
    found = await filled.recall(AGENT, VIEWER, 1, "k1")
    assert found is not None
    assert found.value == "changed"


async def test_a_list_with_an_invalid_name_is_reported_and_unchanged(filled: Variables, redis: RedisProcess) -> None:
    redis.command("HSET", LISTS, b"broken", MEMBER)
    for repair in (False, True):
        status, out = await check(redis, repair=repair)
        assert (status, any("cannot be read" in line for line in out)) == (1, True)
    assert text(redis, b"broken") == MEMBER


@pytest.mark.parametrize("value", [b"", b"\xff", b"x" * 30])
async def test_unreadable_data_is_reported_and_unchanged(filled: Variables, redis: RedisProcess, value: bytes) -> None:
    redis.command("HSET", VARIABLES, b"broken", value)
    for repair in (False, True):
        status, out = await check(redis, repair=repair)
        assert (status, any("cannot be read" in line for line in out)) == (1, True)
    assert redis.command("HGET", VARIABLES, b"broken") == value


async def test_a_key_of_another_type_is_reported_and_unchanged(redis: RedisProcess) -> None:
    redis.command("SET", LISTING, "x")
    status, out = await check(redis, repair=True)
    assert (status, any("WRONGTYPE" in line for line in out)) == (1, True)


async def test_a_variable_that_changed_is_checked_again(filled: Variables, redis: RedisProcess) -> None:
    id, seen = first(redis), packed(redis)
    with pytest.raises(Changed):
        await filled.audit(AGENT, id, seen + b"x", seen + b"x", [("not in list", b"a")], repair=True)


async def test_fsck_finds_no_damage_beside_writers(filled: Variables, redis: RedisProcess) -> None:
    working = True

    async def work(n: int) -> None:
        step = 0
        while working:
            step += 1
            await filled.assign(Write(AGENT, subject=EDITOR), n, f"k{step % 20}", f"v{step % 7}")
            if step % 50 == 0:
                await filled.clear(Write(AGENT, subject=EDITOR))

    workers = [asyncio.create_task(work(n)) for n in range(4)]
    for _ in range(3):
        assert await check(redis, repair=True) == (0, ["0 faults found"])
    working = False
    await asyncio.gather(*workers)
    assert await check(redis) == (0, ["0 faults found"])


async def test_only_the_expected_keys_remain(filled: Variables, redis: RedisProcess) -> None:
    assert await check(redis, repair=True) == (0, ["0 faults found"])
    assert names(redis) == {*GRANTED, NUMBERS, *DATA}
