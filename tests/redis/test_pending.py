"""Tests the queue of a lane, without a socket."""

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from service.redis.errors import NotSent, Overloaded, Unanswered, rejected
from service.redis.pending import NOTHING, TRANSIENT, Command, Pending, Unexpected

ALL = 1 << 30


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    """An event loop that never runs; a future cannot be made without one."""
    loop = asyncio.new_event_loop()
    yield loop
    loop.close()


Add = Callable[..., "asyncio.Future[Any]"]


@pytest.fixture
def queue() -> Pending:
    return Pending(max_commands=100, max_bytes=1000)


@pytest.fixture
def add(queue: Pending, loop: asyncio.AbstractEventLoop) -> Add:
    def add(name: str, *, write: bool = False, deadline: float = 5.0) -> "asyncio.Future[Any]":
        future: asyncio.Future[Any] = loop.create_future()
        queue.add(Command(future, name.encode(), write, deadline))
        return future

    return add


def replies(*values: Any) -> Callable[[], Any]:
    return iter([*values, NOTHING]).__next__


def outcome(future: "asyncio.Future[Any]") -> Any:
    """Return the result of a future, the class of its failure, or None if it is not done."""
    if not future.done():
        return None
    return "cancelled" if future.cancelled() else type(future.exception()) if future.exception() else future.result()


def test_replies_go_to_their_commands_in_order(queue: Pending, add: Add) -> None:
    futures = [add(name) for name in "abc"]
    assert queue.take(ALL) == [b"a", b"b", b"c"]
    queue.answer(replies(1, 2), 0)
    queue.answer(replies(3), 0)
    assert [outcome(future) for future in futures] == [1, 2, 3]
    assert (queue.depth, queue.size) == (0, 0)


def test_an_error_reply_fails_only_its_own_command(queue: Pending, add: Add) -> None:
    first, second, third = add("a"), add("b", write=True), add("c")
    queue.take(ALL)
    queue.answer(replies(1, rejected("DENIED no"), 3), 0)
    assert (outcome(first), outcome(third)) == (1, 3)
    error = second.exception()
    assert str(error) == "DENIED no"


def test_take_stops_at_the_limit_and_returns_a_long_command_alone(queue: Pending, add: Add) -> None:
    for name in ("aa", "bb", "c" * 50, "d"):
        add(name)
    assert queue.take(4) == [b"aa", b"bb"]
    assert queue.take(4) == [b"c" * 50]
    assert queue.take(4) == [b"d"]
    assert queue.take(4) == []


def test_a_command_that_was_cancelled_before_it_was_written_is_never_sent(queue: Pending, add: Add) -> None:
    first, second = add("a", write=True), add("b")
    first.cancel()
    assert queue.take(ALL) == [b"b"]
    queue.answer(replies(2), 0)
    assert outcome(second) == 2
    assert queue.size == 0


def test_a_command_that_was_cancelled_in_flight_keeps_its_slot(queue: Pending, add: Add) -> None:
    first, second = add("a"), add("b")
    queue.take(ALL)
    first.cancel()
    queue.answer(replies("for a", "for b"), 0)
    assert outcome(second) == "for b"


def test_the_limit_on_commands_counts_waiting_and_sent_ones(queue: Pending, add: Add) -> None:
    for number in range(100):
        add("x")
        if number == 50:
            queue.take(ALL)
    assert outcome(add("one too many")) is Overloaded
    queue.take(ALL)
    queue.answer(replies(1), 0)
    assert outcome(add("fits again")) is None


def test_the_limit_on_bytes_counts_a_command_until_its_reply(queue: Pending, add: Add) -> None:
    add("x" * 900)
    queue.take(ALL)
    assert outcome(add("y" * 101)) is Overloaded
    queue.answer(replies(1), 0)
    assert outcome(add("y" * 101)) is None


def test_an_empty_queue_accepts_a_command_over_the_limit_on_bytes(queue: Pending, add: Add) -> None:
    assert outcome(add("x" * 5000)) is None
    assert outcome(add("y")) is Overloaded


def test_at_the_deadline_an_unwritten_command_was_not_carried_out(queue: Pending, add: Add) -> None:
    queue.reason = "connection refused"
    late, later = add("a", write=True, deadline=5), add("b", deadline=6)
    assert queue.next_event() == 5
    queue.expire(5)
    assert outcome(late) is NotSent
    assert "connection refused" in str(late.exception())
    assert outcome(later) is None
    assert queue.next_event() == 6
    assert queue.take(ALL) == [b"b"]


def test_at_the_deadline_a_sent_write_has_an_unknown_outcome_and_a_sent_read_changed_nothing(
    queue: Pending, add: Add
) -> None:
    write, read = add("w", write=True), add("r")
    queue.take(ALL)
    queue.expire(5)
    assert (outcome(write), outcome(read)) == (Unanswered, NotSent)


def test_late_replies_are_discarded_and_shift_nothing(queue: Pending, add: Add) -> None:
    add("w", write=True)
    add("r")
    queue.take(ALL)
    queue.expire(5)
    after = add("a", deadline=10)
    queue.take(ALL)
    assert queue.next_event() == 10
    queue.answer(replies("late", "late", "for a"), 6)
    assert outcome(after) == "for a"
    assert queue.depth == 0


def test_expired_commands_free_their_place_while_disconnected(queue: Pending, add: Add) -> None:
    for _ in range(100):
        add("x" * 10)
    queue.expire(5)
    assert (queue.depth, queue.size) == (0, 0)


def test_after_a_disconnect_reads_are_sent_again_in_order_and_writes_are_unknown(queue: Pending, add: Add) -> None:
    futures = {name: add(name, write=name.startswith("w")) for name in ("r1", "w1", "r2", "w2")}
    queue.take(ALL)
    unsent = {name: add(name, write=name.startswith("w")) for name in ("r3", "w3")}
    queue.disconnect("reset by peer")
    assert outcome(futures["w1"]) is outcome(futures["w2"]) is Unanswered
    assert "reset by peer" in str(futures["w1"].exception())
    assert queue.take(ALL) == [b"r1", b"r2", b"r3", b"w3"]
    assert queue.retries == 2
    queue.answer(replies(1, 2, 3, 4), 0)
    assert [outcome(f) for f in (futures["r1"], futures["r2"], *unsent.values())] == [1, 2, 3, 4]
    assert queue.size == 0


@pytest.mark.parametrize("word", sorted(TRANSIENT))
def test_a_temporarily_refused_command_is_sent_again_after_a_pause(queue: Pending, add: Add, word: str) -> None:
    write = add("w", write=True)
    queue.take(ALL)
    demoted = queue.answer(replies(rejected(f"{word} for now")), 0)
    assert demoted == (word == "READONLY")
    assert queue.take(ALL) == []
    assert queue.next_event() == pytest.approx(0.010)
    queue.wake(0.009)
    assert queue.take(ALL) == []
    queue.wake(0.010)
    assert queue.take(ALL) == [b"w"]
    queue.answer(replies("done"), 0.02)
    assert outcome(write) == "done"
    assert (queue.retries, queue.size, queue.depth) == (1, 0, 0)


def test_pauses_double_up_to_their_maximum_and_end_before_the_deadline(queue: Pending, add: Add) -> None:
    write = add("w", write=True, deadline=1.0)
    now, pauses = 0.0, []
    while queue.take(ALL):
        queue.answer(replies(rejected("LOADING Redis is loading")), now)
        if (due := queue.next_event()) is None:
            break
        pauses.append(due - now)
        now = due
        queue.wake(now)
    assert pauses[:6] == pytest.approx([0.01, 0.02, 0.04, 0.08, 0.1, 0.1])
    assert now < 1.0
    assert outcome(write) is NotSent
    assert "LOADING Redis is loading" in str(write.exception())
    assert (queue.size, queue.depth) == (0, 0)


def test_paused_commands_are_sent_before_younger_ones_in_order(queue: Pending, add: Add) -> None:
    for name in "ab":
        add(name)
    queue.take(ALL)
    queue.answer(replies(rejected("BUSY"), rejected("BUSY")), 0)
    add("c")
    queue.wake(1)
    assert queue.take(ALL) == [b"a", b"b", b"c"]


def test_a_paused_command_keeps_its_own_deadline(queue: Pending, add: Add) -> None:
    old = add("old", write=True, deadline=5)
    queue.take(ALL)
    queue.answer(replies(rejected("BUSY")), 0)
    young = add("young", deadline=9)
    queue.take(ALL)
    queue.wake(1)
    assert queue.take(ALL) == [b"old"]
    assert queue.next_event() == 5
    queue.expire(5)
    assert (outcome(old), outcome(young)) == (Unanswered, None)
    assert queue.next_event() == 9


def test_a_reply_without_a_command_is_an_error(queue: Pending, add: Add) -> None:
    add("a")
    queue.take(ALL)
    with pytest.raises(Unexpected):
        queue.answer(replies(1, 2), 0)


def test_closing_gives_every_command_its_outcome(queue: Pending, add: Add) -> None:
    resting, write, read = add("x"), add("w", write=True), add("r")
    queue.take(ALL)
    queue.answer(replies(rejected("BUSY")), 0)
    unsent = add("u", write=True)
    queue.close("closed")
    assert [outcome(f) for f in (resting, write, read, unsent)] == [NotSent, Unanswered, NotSent, NotSent]
    assert (queue.depth, queue.size, queue.next_event()) == (0, 0, None)


class Stepping:
    """An outcome that is never done and serves for one command after the other, like the exchange of a request."""

    def __init__(self) -> None:
        self.told: list[Any] = []

    def done(self) -> bool:
        return False

    def set_result(self, result: Any) -> None:
        self.told.append(result)

    def set_exception(self, error: Exception) -> None:
        self.told.append(type(error))


@pytest.mark.parametrize("write", [True, False])
def test_a_reply_after_the_deadline_is_not_given_to_a_later_command(queue: Pending, write: bool) -> None:
    outcome = Stepping()
    queue.add(Command(outcome, b"a", write, 5.0))
    queue.take(ALL)
    queue.expire(5.0)
    assert outcome.told == [Unanswered if write else NotSent]
    queue.add(Command(outcome, b"b", write, 9.0))
    queue.take(ALL)
    queue.expire(6.0)
    queue.answer(replies("late, for a"), 6.0)
    assert len(outcome.told) == 1
    queue.answer(replies("for b"), 6.0)
    assert outcome.told[1:] == ["for b"]
    assert (queue.depth, queue.size) == (0, 0)


@pytest.mark.parametrize("end", ["disconnect", "close", "refusal"])
def test_a_cancelled_command_has_no_second_outcome(queue: Pending, end: str) -> None:
    """The command is in flight or waits, and is answered, refused or lost afterwards."""
    flying, waiting = Stepping(), Stepping()
    queue.add(Command(flying, b"a", True, 5.0))
    queue.take(ALL)
    queue.add(Command(waiting, b"b", True, 5.0))
    queue.expire(5.0)
    assert (flying.told, waiting.told) == ([Unanswered], [NotSent])
    if end == "refusal":
        queue.answer(replies(rejected("BUSY no")), 5.0)
    else:
        getattr(queue, end)("gone")
    queue.expire(99.0)
    assert queue.take(ALL) == []
    assert (len(flying.told), len(waiting.told), queue.size) == (1, 1, 0)
