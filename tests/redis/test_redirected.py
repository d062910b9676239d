"""Tests commands that move from one queue to another, because the server says that another one has the slot."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from service.redis.errors import NotSent, Overloaded, Rejected, Unanswered, rejected
from service.redis.pending import ASKING, DIRECT, NOTHING, Command, Pending


def replies(*given: Any) -> Callable[[], Any]:
    """Return a parser that yields these replies, one after the other."""
    left = [rejected(reply) if isinstance(reply, str) else reply for reply in given]
    return lambda: left.pop(0) if left else NOTHING


def command(packed: bytes = b"x", *, write: bool = True, deadline: float = 5.0) -> Command:
    return Command(asyncio.get_running_loop().create_future(), packed, write, deadline)


def future(of: Command) -> asyncio.Future[Any]:
    assert isinstance(of.outcome, asyncio.Future)
    return of.outcome


async def test_a_redirected_command_has_no_outcome_and_other_refusals_have_one() -> None:
    taken: list[tuple[Command, str]] = []

    def take(offered: Command, error: Rejected) -> bool:
        taken.append((offered, error.message))
        return error.word == "MOVED"

    queue = Pending(10, 100, take)
    moved, denied, given_up = command(), command(), command()
    for each in (moved, denied, given_up):
        queue.add(each)
    queue.take(100)
    future(given_up).cancel()
    queue.answer(replies("MOVED 1 h:1", "DENIED no", "MOVED 1 h:1"), now=0.0)
    assert taken == [(moved, "MOVED 1 h:1"), (denied, "DENIED no")]
    assert not future(moved).done()
    assert future(denied).exception() is not None
    assert (queue.depth, queue.size) == (0, 0)


async def test_a_command_that_is_redirected_in_a_circle_pauses_and_ends_at_its_deadline() -> None:
    queue = Pending(10, 100)
    round_ = command(deadline=0.1)
    for number in range(DIRECT):
        queue.readmit(round_, now=0.0)
        assert queue.take(100) == [b"x"], number
        queue.answer(lambda: NOTHING, 0.0)
        queue.flight.clear()
        queue.size = 0
    queue.readmit(round_, now=0.0)
    assert queue.take(100) == []
    assert queue.next_event() == pytest.approx(0.04)
    queue.resting.clear()
    queue.readmit(round_, now=0.09)
    with pytest.raises(NotSent, match="no node serves its slot"):
        await future(round_)


async def test_a_full_queue_accepts_no_redirected_command() -> None:
    queue = Pending(1, 100)
    queue.add(command())
    late = command()
    queue.readmit(late, now=0.0)
    with pytest.raises(Overloaded):
        await future(late)


async def test_an_earlier_deadline_after_a_later_one_in_the_queue_is_kept() -> None:
    queue = Pending(10, 100)
    queue.add(command(deadline=9.0))
    early = command(deadline=1.0)
    told = future(early)
    queue.readmit(early, now=0.0)
    assert queue.next_event() == 1.0
    queue.expire(1.0)
    with pytest.raises(NotSent):
        await told


async def test_the_reply_of_asking_reaches_no_caller() -> None:
    queue = Pending(10, 100)
    before, asked, after = command(b"a"), command(b"b"), command(b"c")
    queue.add(before)
    queue.take(100)
    assert queue.asking(asked) == ASKING + b"b"
    queue.add(after)
    queue.take(100)
    queue.answer(replies(b"1", b"OK", b"2", b"3"), now=0.0)
    assert [future(each).result() for each in (before, asked, after)] == [b"1", b"2", b"3"]
    assert (queue.depth, queue.size) == (0, 0)


@pytest.mark.parametrize("write", [True, False])
async def test_a_lost_connection_leaves_no_asking_behind(write: bool) -> None:
    queue = Pending(10, 100)
    asked = command(b"b", write=write)
    queue.asking(asked)
    queue.disconnect("gone")
    if write:
        assert type(future(asked).exception()) is Unanswered
        assert queue.take(100) == []
    else:
        assert queue.take(100) == [b"b"]


async def test_a_redirected_command_is_neither_in_flight_nor_expired() -> None:
    queue = Pending(10, 100)
    flying, resting, waiting, gone = command(b"1"), command(b"22"), command(b"333"), command(b"4444")
    queue.add(resting)
    queue.take(100)
    queue.answer(replies("TRYAGAIN later"), now=0.0)
    queue.add(flying)
    queue.take(100)
    queue.add(waiting)
    queue.add(gone)
    future(gone).cancel()
    assert queue.drain() == [resting, waiting]
    assert (queue.depth, queue.size) == (1, 1)
