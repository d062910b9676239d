"""Tests that writes that Redis may have acknowledged before it wrote its file are confirmed (redis/confirmation.py)."""

import asyncio
from collections import deque
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from service.redis.confirmation import CONFIRM, PIECE_BYTES, READ_BYTES, Backlog
from service.redis.errors import Rejected, Unanswered, rejected
from service.redis.pending import NOTHING, Command, Pending
from tests.lengths import examples
from tests.redis.conftest import Open
from tests.servers import RedisProcess

SOCKET_BYTES = 40_000  # buffer of the model's socket: a little more than the minimum that the code assumes
TURN_BYTES = 64 * 1024  # bytes that Redis writes to a connection in one turn of its event loop


class Queue:
    """A queue with futures as outcomes; all its commands are in flight."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self.pending = Pending(max_commands=100, max_bytes=1000)

    def send(self, *, write: bool, deadline: float = 5.0) -> asyncio.Future[Any]:
        future: asyncio.Future[Any] = self._loop.create_future()
        self.pending.add(Command(future, b"command", write, deadline))
        self.pending.take(1000)
        return future

    def answer(self, *replies: Any, doubtful: bool) -> None:
        self.pending.answer(iter([*replies, NOTHING]).__next__, 0.0, doubtful)


@pytest.fixture
def queue() -> Iterator[Queue]:
    loop = asyncio.new_event_loop()
    yield Queue(loop)
    loop.close()


def test_an_unconfirmed_write_is_answered_after_the_confirmation_and_a_read_at_once(queue: Queue) -> None:
    read, first, second = (queue.send(write=write) for write in (False, True, True))
    queue.answer("value", 1, 2, doubtful=True)
    assert read.result() == "value"
    assert not first.done()
    assert queue.pending.confirm() == CONFIRM
    assert queue.pending.confirm() == b"", "one confirmation for both"
    assert (queue.pending.depth, queue.pending.size) == (1, len(CONFIRM))
    queue.answer("PONG", doubtful=True)
    assert (first.result(), second.result()) == (1, 2)
    assert (queue.pending.depth, queue.pending.size) == (0, 0)


def test_refusals_are_not_held_because_they_changed_nothing(queue: Queue) -> None:
    write = queue.send(write=True)
    queue.answer(rejected("CHANGED it is another version"), doubtful=True)
    assert isinstance(write.exception(), Rejected)
    assert queue.pending.confirm() == b""


@pytest.mark.parametrize("confirming", [False, True], ids=["before", "behind"])
def test_if_the_connection_is_lost_before_the_confirmation_the_outcome_is_unknown(
    queue: Queue, confirming: bool
) -> None:
    write = queue.send(write=True)
    queue.answer(1, doubtful=True)
    if confirming:
        queue.pending.confirm()
    queue.pending.disconnect("gone")
    assert isinstance(write.exception(), Unanswered)
    assert queue.pending.depth == 0, "a confirmation is not sent on another connection"


def test_at_the_deadline_of_the_first_write_the_outcome_is_unknown(queue: Queue) -> None:
    later, earlier = queue.send(write=True, deadline=5.0), queue.send(write=True, deadline=3.0)
    queue.answer(1, 2, doubtful=True)
    queue.pending.confirm()
    behind = queue.send(write=False, deadline=9.0)
    assert queue.pending.next_event() == 3.0
    queue.pending.expire(3.0)
    assert isinstance(earlier.exception(), Unanswered)
    assert isinstance(later.exception(), Unanswered)
    queue.answer("PONG", "value", doubtful=False)
    assert behind.result() == "value"


@pytest.mark.parametrize("error", ["NOPERM no", "BUSY a script runs", "MASTERDOWN the link is down"])
def test_an_error_of_redis_confirms_as_well_and_nothing_is_repeated(queue: Queue, error: str) -> None:
    write = queue.send(write=True)
    queue.answer(1, doubtful=True)
    queue.pending.confirm()
    queue.answer(rejected(error), doubtful=False)
    assert write.result() == 1
    assert queue.pending.depth == 0


def test_a_cancelled_caller_gets_no_outcome(queue: Queue) -> None:
    write = queue.send(write=True)
    queue.answer(1, doubtful=True)
    write.cancel()
    queue.pending.confirm()
    queue.answer("PONG", doubtful=False)
    assert write.cancelled()


async def test_a_lane_confirms_only_a_write_behind_a_long_reply(redis: RedisProcess, lane_to: Open) -> None:
    lane = await lane_to(redis.url)
    await lane.execute("SET", "long", b"x" * 100_000, write=True)
    before = lane.commands
    for number in range(100):
        assert await lane.execute("SET", "k", number, write=True) == b"OK"
    assert lane.commands == before + 100
    long, write = lane.execute("GET", "long", write=False), lane.execute("INCR", "k", write=True)
    assert (len(await long), await write) == (100_000, 100)
    assert lane.commands == before + 103
    assert await lane.execute("INCR", "k", write=True) == 101
    assert lane.commands == before + 104


async def test_under_constant_load_of_short_replies_nothing_is_confirmed(redis: RedisProcess, lane_to: Open) -> None:
    lane = await lane_to(redis.url)
    before, calls = lane.commands, 0

    async def client(number: int) -> None:
        nonlocal calls
        for _ in range(100):
            await lane.execute("SETRANGE", f"k{number}", 0, "x" * 150, write=True)
            await lane.execute("GET", f"k{number}", write=False)
            calls += 2

    await asyncio.gather(*map(client, range(64)))
    assert (lane.commands - before, calls) == (calls, 12_800)


class Connection:
    """A model of Redis, its socket and a client that uses `Backlog`.

    `premature`: the commands whose replies were sent before the file was written. `noticed`: the commands that
    `Backlog` considers doubtful.
    """

    def __init__(self) -> None:
        self.backlog = Backlog()
        self.sizes: list[int] = []  # bytes of the reply to each command
        self.reads: deque[int] = deque()  # numbers of commands that Redis reads together
        self.executed = self.answered = 0  # numbers of commands
        self.made = self.written = self.received = 0  # bytes of replies
        self.ends: deque[int] = deque()  # ends of the replies that are not received, in bytes from the first reply
        self.pieces: deque[int] = deque()  # bytes of each piece in the socket
        self.waits = False  # True: Redis waits until the socket has space (a write handler is installed)
        self.premature: set[int] = set()
        self.noticed: set[int] = set()

    def flush(self, sizes: list[int], pieces: int = 1) -> None:
        """Flush these commands, which Redis reads in a number of pieces."""
        self.sizes += sizes
        self.reads += [len(sizes) // pieces] * (pieces - 1)
        self.reads.append(len(sizes) - len(sizes) // pieces * (pieces - 1))
        self.backlog.flushed(len(self.sizes), (pieces - 1) * READ_BYTES)

    def short(self, flushes: int) -> None:
        """Flush short commands that are executed, a number of times, while nothing is received."""
        for _ in range(flushes):
            self.flush([5])
            self.turn()

    def turn(self) -> None:
        first = self.executed
        for number in range(first, first + (self.reads.popleft() if self.reads else 0)):
            self.made += self.sizes[number]
            self.ends.append(self.made)
            self.executed += 1
        if self.waits:  # Redis handles the event that the socket has space before it writes the file
            self._write()
            unsent = sum(end > self.written for end in self.ends)
            self.premature |= set(range(first, self.executed - unsent))
        if not self.waits:  # after the file
            self._write()

    def _write(self) -> None:
        taken = sum(self.pieces) + PIECE_BYTES * len(self.pieces)
        room = min(TURN_BYTES, SOCKET_BYTES - PIECE_BYTES - taken)
        if (size := min(room, self.made - self.written)) > 0:
            self.written += size
            self.pieces.append(size)
        self.waits = self.written < self.made

    def receive(self, size: int) -> None:
        size = min(size, self.written - self.received)
        doubtful = self.backlog.received(size)
        self.received += size
        while size:
            piece = self.pieces.popleft()
            if piece > size:
                self.pieces.appendleft(piece - size)
            size -= min(piece, size)
        while self.ends and self.ends[0] <= self.received:
            self.ends.popleft()
            if doubtful:
                self.noticed.add(self.answered)
            self.answered += 1
        self.backlog.answered(self.answered)


SIZES = st.lists(st.sampled_from([5, 100, 4_000, 30_000, 70_000, 200_000]), min_size=1, max_size=6)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("flush"), SIZES, st.integers(1, 3)),
        st.tuples(st.just("short"), st.integers(1, 90)),
        st.tuples(st.just("turn")),
        st.tuples(st.just("turn")),
        st.tuples(st.just("receive"), st.sampled_from([100, 30_000, 65_536, 262_144])),
        st.tuples(st.just("receive"), st.sampled_from([100, 30_000, 65_536, 262_144])),
    ),
    max_size=50,
)
LITTLE_WAS_LEFT: list[tuple[str | int | list[int], ...]] = [
    ("flush", [SOCKET_BYTES - PIECE_BYTES + 100]),
    ("turn",),
    ("receive", 262_144),  # all but 100 bytes
    ("flush", [5]),
    ("turn",),
    ("receive", 100),
]
MANY_WERE_SHORT: list[tuple[str | int | list[int], ...]] = [
    ("short", SOCKET_BYTES // (PIECE_BYTES + 5) + 1),  # one more than there is room for
    ("receive", 262_144),  # all but the last
    ("flush", [5]),
    ("turn",),
    ("receive", 100),
]


@examples(300, 5_000)
@example(LITTLE_WAS_LEFT)
@example(MANY_WERE_SHORT)
@given(STEPS)
def test_every_write_that_was_acknowledged_too_early_is_noticed(steps: list[tuple[Any, ...]]) -> None:
    connection = Connection()
    for name, *arguments in steps:
        getattr(connection, name)(*arguments)
    while connection.answered < len(connection.sizes):
        connection.turn()
        connection.receive(262_144)
    assert connection.premature <= connection.noticed
    assert connection.premature or (steps != LITTLE_WAS_LEFT and steps != MANY_WERE_SHORT)
