"""audit, and fsck on variables: damage of every kind is found and repaired."""

import asyncio
from collections.abc import Callable

import pytest

from service.storage import fsck, keys
from service.storage.errors import Changed
from service.storage.runner import Runner
from service.storage.variables import Variables, name
from tests.servers import RedisProcess
from tests.storage.variables import AGENT, DATA, EDITOR, GRANTED, NUMBERS, VIEWER, listed, names, opened

VARIABLES, NAMES, LISTING = keys.variables(AGENT), keys.names(AGENT), keys.listing(AGENT)


async def check(redis: RedisProcess, *, repair: bool = False) -> tuple[int, list[str]]:
    out: list[str] = []
    status = await fsck.run(redis.url, repair=repair, out=out.append)
    return status, out


@pytest.fixture
async def filled(runner: Runner) -> Variables:
    variables = await opened(runner)
    for n in range(30):
        await variables.assign(AGENT, EDITOR, n % 4, f"k{n}", f"v{n % 3}")
    await variables.assign(AGENT, EDITOR, 1, "k1", "changed")
    return variables


def first(redis: RedisProcess) -> bytes:
    """An id that there is."""
    return bytes(min(redis.command("HKEYS", VARIABLES)))


def packed(redis: RedisProcess) -> bytes:
    return bytes(redis.command("HGET", VARIABLES, first(redis)))


Damage = Callable[[RedisProcess], object]
DAMAGE: dict[str, tuple[Damage, str]] = {
    "a list lacks a variable": (lambda r: r.command("ZPOPMIN", LISTING), "listing: missing"),
    "the listing is gone": (lambda r: r.command("DEL", LISTING), "listing: missing"),
    "a list names a variable that is gone": (
        lambda r: r.command("ZADD", LISTING, 0, b"a" + bytes(7) + b"\xff" * 6), "listing: of no variable"
    ),
    "a list names a variable of another moment": (
        lambda r: r.command("ZADD", LISTING, 0, b"a" + bytes(7) + first(r)), "listing: of no variable"
    ),
    "a name is missing": (lambda r: r.command("HDEL", NAMES, name(1, "k1")), "name: missing"),
    "the names are gone": (lambda r: r.command("DEL", NAMES), "name: missing"),
    "a name leads to nothing": (lambda r: r.command("HSET", NAMES, b"x" * 16, b"\xff" * 6), "name: of no variable"),
    "a name leads to another variable": (
        lambda r: r.command("HSET", NAMES, b"x" * 16, first(r)), "name: of no variable"
    ),
    "a variable is gone": (lambda r: r.command("HDEL", VARIABLES, first(r)), "listing: of no variable"),
    "the variables are gone": (lambda r: r.command("DEL", VARIABLES), "name: of no variable"),
    "a variable's lists are wrong": (
        lambda r: r.command("HSET", VARIABLES, first(r), packed(r)[:22] + b"?" + packed(r)[23:]),
        "variable: its lists are wrong",
    ),
}  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGE)
async def test_damage_is_found_told_and_repaired(filled: Variables, redis: RedisProcess, damage: str) -> None:
    do, fault = DAMAGE[damage]
    assert await check(redis) == (0, ["0 faults found"])
    do(redis)
    status, out = await check(redis)
    assert status == 1
    assert any(fault in line for line in out)
    assert await check(redis) == (1, out)  # looking changed nothing
    assert (await check(redis, repair=True))[0] == 1
    assert await check(redis) == (0, ["0 faults found"])


async def test_what_was_repaired_works_again(filled: Variables, redis: RedisProcess) -> None:
    before = await listed(filled)
    redis.command("DEL", LISTING, NAMES)
    await check(redis, repair=True)
    assert await listed(filled) == before
    found = await filled.recall(AGENT, VIEWER, 1, "k1")
    assert found is not None
    assert found.value == "changed"


@pytest.mark.parametrize("value", [b"", b"\xff", b"x" * 30])
async def test_what_cannot_be_read_is_told_and_left_alone(filled: Variables, redis: RedisProcess, value: bytes) -> None:
    redis.command("HSET", VARIABLES, b"broken", value)
    for repair in (False, True):
        status, out = await check(redis, repair=repair)
        assert (status, any("cannot be read" in line for line in out)) == (1, True)
    assert redis.command("HGET", VARIABLES, b"broken") == value


async def test_a_foreign_type_is_told_and_left_alone(redis: RedisProcess) -> None:
    redis.command("SET", LISTING, "x")
    status, out = await check(redis, repair=True)
    assert (status, any("WRONGTYPE" in line for line in out)) == (1, True)


async def test_a_variable_that_changed_is_looked_at_again(filled: Variables, redis: RedisProcess) -> None:
    id, seen = first(redis), packed(redis)
    with pytest.raises(Changed):
        await filled.audit(AGENT, id, seen + b"x", seen + b"x", [b"L" + b"a"], repair=True)


async def test_a_service_at_work_shows_no_damage(filled: Variables, redis: RedisProcess) -> None:
    working = True

    async def work(n: int) -> None:
        step = 0
        while working:
            step += 1
            await filled.assign(AGENT, EDITOR, n, f"k{step % 20}", f"v{step % 7}")
            if step % 50 == 0:
                await filled.clear(AGENT, EDITOR)

    workers = [asyncio.create_task(work(n)) for n in range(4)]
    for _ in range(3):
        assert await check(redis, repair=True) == (0, ["0 faults found"])
    working = False
    await asyncio.gather(*workers)
    assert await check(redis) == (0, ["0 faults found"])


async def test_the_keys_left(filled: Variables, redis: RedisProcess) -> None:
    assert await check(redis, repair=True) == (0, ["0 faults found"])
    assert names(redis) == {*GRANTED, NUMBERS, *DATA}
