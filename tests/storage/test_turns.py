"""Tests turns: they are taken in order and in time, and none is lost if a waiter is cancelled or fails."""

import asyncio

import pytest

from service.storage.errors import Unavailable
from service.storage.scripts.turns import Turns


async def test_turns_are_given_in_order_and_up_to_the_limit() -> None:
    turns, order, here, most = Turns(2), list[int](), 0, 0

    async def one(number: int) -> None:
        nonlocal here, most
        async with turns.turn():
            order.append(number)
            here += 1
            most = max(most, here)
            await asyncio.sleep(0)
            here -= 1

    await asyncio.gather(*(one(number) for number in range(20)))
    assert (order, most) == ([*range(20)], 2)


async def test_a_caller_that_waits_too_long_is_refused_and_the_next_one_gets_the_turn() -> None:
    turns = Turns(1, seconds=0.01)
    async with turns.turn():
        with pytest.raises(Unavailable, match="nothing was done"):
            async with turns.turn():
                raise AssertionError("there is only one")
    async with turns.turn():
        pass


@pytest.mark.parametrize("late", [False, True], ids=["while it waits", "when its turn has just come"])
async def test_the_turn_of_a_cancelled_caller_goes_to_the_next(late: bool) -> None:
    turns, done = Turns(), list[int]()

    async def one(number: int) -> None:
        async with turns.turn():
            done.append(number)

    async with turns.turn():
        waiting = [asyncio.create_task(one(number)) for number in range(3)]
        await asyncio.sleep(0)
        if not late:
            waiting[0].cancel()
    if late:
        waiting[0].cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    assert done == [1, 2]
    async with turns.turn():
        pass


async def test_an_error_releases_the_turn() -> None:
    turns = Turns()
    for _ in range(2):
        with pytest.raises(ValueError, match="x"):
            async with turns.turn():
                raise ValueError("x")


async def test_turns_can_be_awaited_without_a_task() -> None:
    """An operation may be stepped by the reader of a connection, so it awaits only futures."""
    turns, done = Turns(), list[int]()

    async def one() -> None:
        async with turns.turn():
            done.append(1)

    async with turns.turn():
        operation = one()
        future = operation.send(None)
        assert isinstance(future, asyncio.Future)
    assert future.done()
    with pytest.raises(StopIteration):
        operation.send(None)
    assert done == [1]
