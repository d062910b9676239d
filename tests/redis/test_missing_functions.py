"""Tests commands that were refused because their function was missing: they are sent again behind its library."""

from collections.abc import Callable
from typing import Any

import pytest

from service.redis.errors import NotSent, Rejected, rejected
from service.redis.pending import NOTHING, Command, Pending

ALL = 1 << 30
MISSING = "ERR Function not found"


class Told:
    """Records the outcome of a command."""

    def __init__(self) -> None:
        self.said: Any = None

    def done(self) -> bool:
        return self.said is not None

    def set_result(self, result: Any) -> None:
        self.said = result

    set_exception = set_result


class Queue(Pending):
    def call(self, name: str, *, write: bool = True, deadline: float = 5.0) -> Told:
        self.add(Command(told := Told(), name.encode(), write, deadline))
        return told


@pytest.fixture
def queue() -> Queue:
    return Queue(100, 1000, mend=mend)


def replies(*values: Any) -> Callable[[], Any]:
    return iter([*values, NOTHING]).__next__


def mend(command: Command, error: Rejected) -> bytes | None:
    return b"library" if command.packed.startswith(b"call") and error.message == MISSING else None


def later(queue: Queue) -> float:
    """Let the next pause end."""
    event = queue.next_event()
    assert event is not None
    queue.wake(event)
    return event


def test_a_refused_command_is_repeated_after_its_remedy(queue: Queue) -> None:
    write = queue.call("call 1")
    queue.take(ALL)
    queue.answer(replies(rejected(MISSING)), 1.0)
    assert not write.done()
    assert (queue.size, queue.take(ALL), queue.retries) == (len(b"library" + b"call 1"), [], 2)
    event = later(queue)
    assert queue.take(ALL) == [b"library", b"call 1"]
    queue.answer(replies("loaded", "done"), event)
    assert (write.said, queue.size, queue.depth) == ("done", 0, 0)


def test_many_refused_commands_have_one_remedy(queue: Queue) -> None:
    """Commands that were sent in the meantime are repeated too, also if another client has loaded the library."""
    writes = [queue.call(f"call {n}") for n in range(3)]
    queue.take(ALL)
    queue.answer(replies(rejected(MISSING), rejected(MISSING)), 1.0)
    event = later(queue)
    late = queue.call("call 3")
    assert queue.take(ALL) == [b"library", b"call 0", b"call 1", b"call 3"]
    queue.answer(replies(rejected(MISSING)), event)
    queue.answer(replies(rejected("ERR Library already exists"), "0", "1", "3"), event)
    event = later(queue)
    assert queue.take(ALL) == [b"call 2"]
    queue.answer(replies("2"), event)
    assert [each.said for each in (*writes, late)] == ["0", "1", "2", "3"]
    assert (queue.size, queue.depth) == (0, 0)


def test_a_command_without_a_remedy_stays_refused(queue: Queue) -> None:
    other, call = queue.call("other"), queue.call("call 1")
    queue.take(ALL)
    queue.answer(replies(rejected(MISSING), rejected("ERR else")), 1.0)
    assert [str(each.said) for each in (other, call)] == [MISSING, "ERR else"]
    assert (queue.size, queue.depth) == (0, 0)


def test_the_refusal_of_a_remedy_is_the_outcome_of_the_command(queue: Queue) -> None:
    call = queue.call("call 1")
    queue.take(ALL)
    queue.answer(replies(rejected(MISSING)), 1.0)
    event = later(queue)
    queue.take(ALL)
    queue.answer(replies(rejected("OOM no memory"), rejected(MISSING)), event)
    assert str(call.said) == "OOM no memory"
    again = queue.call("call 2")
    queue.take(ALL)
    queue.answer(replies(rejected(MISSING)), event)
    event = later(queue)
    assert queue.take(ALL) == [b"library", b"call 2"]
    queue.answer(replies("loaded", "done"), event)
    assert again.said == "done"


def test_a_remedy_whose_effect_is_lost_is_sent_again(queue: Queue) -> None:
    call = queue.call("call 1")
    queue.take(ALL)
    event = 1.0
    queue.answer(replies(rejected(MISSING)), event)
    for _ in range(3):
        event = later(queue)
        if queue.take(ALL) == [b"library"]:
            queue.answer(replies("loaded"), event)
            event = later(queue)
            queue.take(ALL)
            queue.answer(replies(rejected(MISSING)), event)
        else:
            queue.answer(replies("loaded", rejected(MISSING)), event)
    assert call.said is None
    assert queue.depth == 2


def test_a_command_repeated_near_its_deadline_was_not_carried_out(queue: Queue) -> None:
    call = queue.call("call 1", deadline=1.0)
    queue.take(ALL)
    queue.answer(replies(rejected(MISSING)), 0.999)
    assert type(call.said) is NotSent
    assert (queue.size, queue.depth) == (0, 0)


def test_a_remedy_is_sent_to_no_other_server(queue: Queue) -> None:
    call = queue.call("call 1")
    queue.take(ALL)
    queue.answer(replies(rejected(MISSING)), 1.0)
    assert [command.packed for command in queue.drain()] == [b"call 1"]
    assert (queue.size, queue.depth, call.said) == (0, 0, None)


def test_a_remedy_that_was_sent_when_the_connection_is_lost_is_not_sent_again(queue: Queue) -> None:
    """On the next connection the library exists, or the command is refused and repeated once more."""
    call = queue.call("call 1", write=False)
    queue.take(ALL)
    queue.answer(replies(rejected(MISSING)), 1.0)
    event = later(queue)
    queue.take(ALL)
    queue.disconnect("gone")
    assert queue.take(ALL) == [b"call 1"]
    queue.answer(replies(rejected(MISSING)), event)
    event = later(queue)
    assert queue.take(ALL)[:1] == [b"library"]
    assert call.said is None
