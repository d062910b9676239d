"""Tests the queue of a lane with any order of writes, replies, refusals, cancellations, disconnects and deadlines.

A simulated server executes commands in order, and counts how often each was executed or refused. Replies may be
doubtful: the server has written its file only when it has answered the confirmation of them, in any way.
"""

import asyncio
from collections import Counter, deque
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from service.redis.confirmation import CONFIRM, Confirmation
from service.redis.errors import NotSent, Overloaded, Rejected, Unanswered, rejected
from service.redis.pending import NOTHING, Command, Pending, Unexpected
from tests.lengths import examples

TIMEOUT = 1.0

KINDS = st.lists(st.sampled_from(["ok", "ok", "BUSY no", "DENIED no"]), max_size=6)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("add"), st.booleans(), st.integers(1, 40)),
        st.tuples(st.just("add"), st.booleans(), st.integers(1, 40)),
        st.tuples(st.just("take"), st.integers(1, 60)),
        st.tuples(st.just("reply"), KINDS, st.booleans()),
        st.tuples(st.just("stray")),
        st.tuples(st.just("cancel"), st.integers(0, 30)),
        st.tuples(st.just("pass"), st.sampled_from([0.001, 0.02, 0.3, 0.9])),
        st.tuples(st.just("disconnect")),
    ),
    max_size=60,
)


class Called(Command, kw_only=True):
    """A command with its caller's future; a cancelled command has no caller."""

    told: asyncio.Future[Any]


class World:
    """The queue, its callers, one connection to the simulated server, and a clock."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.queue = Pending(max_commands=12, max_bytes=150)
        self.now = 0.0
        self.commands: list[Called] = []
        self.wire: deque[bytes] = deque()  # commands that were sent on this connection and are not answered
        self.sent: Counter[bytes] = Counter()
        self.refused: Counter[bytes] = Counter()
        self.doubted: list[bytes] = []  # executed on this connection, and not in a confirmation yet
        self.confirmations: deque[list[bytes]] = deque()  # sent on this connection, with the commands of each
        self.unproven: set[bytes] = set()  # answered with a doubtful reply, and not confirmed

    def add(self, write: bool, length: int) -> None:
        name = b"%d" % len(self.commands)
        told = self.loop.create_future()
        command = Called(told, name.ljust(length), write, self.now + TIMEOUT, told=told)
        self.commands.append(command)
        self.queue.add(command)

    def take(self, limit: int) -> None:
        for packed in self.queue.take(limit):
            self.wire.append(packed)
            self.sent[packed] += 1

    def reply(self, kinds: list[str], doubtful: bool) -> None:
        replies: list[Any] = []
        for kind in kinds[: len(self.wire)]:
            packed = self.wire.popleft()
            if packed == CONFIRM:
                self.unproven -= set(self.confirmations.popleft())
            elif doubtful and kind == "ok":
                self.doubted.append(packed)
            self.refused[packed] += kind.startswith("BUSY")
            replies.append(packed if kind == "ok" else rejected(kind))
        self.unproven |= set(self.doubted)
        self.queue.answer(iter([*replies, NOTHING]).__next__, self.now, doubtful)
        if confirming := self.queue.confirm():
            self.wire.append(confirming)
            self.confirmations.append(self.doubted)
        self.doubted = []

    def stray(self) -> None:
        """All commands are answered, doubtfully, and one more that was not sent: the connection is closed."""
        for packed in self.wire:
            if packed == CONFIRM:
                self.unproven -= set(self.confirmations.popleft())
            else:
                self.unproven.add(packed)
        with pytest.raises(Unexpected):
            self.queue.answer(iter([*self.wire, b"stray"]).__next__, self.now, True)
        self.disconnect()

    def cancel(self, number: int) -> None:
        if number < len(self.commands):
            self.commands[number].told.cancel()

    def disconnect(self) -> None:
        self.wire.clear()
        self.confirmations.clear()
        self.queue.disconnect("gone")

    def let_pass(self, seconds: float) -> None:
        self.now += seconds
        self.queue.wake(self.now)
        self.queue.expire(self.now)
        late = [c for c in self.commands if c.deadline <= self.now and not c.told.done()]
        assert not late

    def check(self) -> None:
        queue = self.queue
        assert [c.packed for c in queue.flight] == list(self.wire)
        held = [*queue.flight, *queue.waiting, *(rest[2] for rest in queue.resting)]
        assert queue.size == sum(len(c.packed) for c in held)
        assert queue.depth == len(held) <= 12 + len(self.confirmations)
        open_ones = [c for c in self.commands if not c.told.done()]
        outcomes = {id(c.outcome) for c in held}
        for command in queue.flight:
            if isinstance(command.outcome, Confirmation):
                outcomes |= {id(each.outcome) for each in command.outcome._held}
        assert {id(c.told) for c in open_ones} <= outcomes
        if open_ones:
            event = queue.next_event()
            assert event is not None
            assert event <= min(c.deadline for c in open_ones)
        for command in self.commands:
            self.check_outcome(command)

    def check_outcome(self, command: Called) -> None:
        executions = self.sent[command.packed] - self.refused[command.packed]  # at most
        if command.write:
            assert executions <= 1
        if not command.told.done() or command.told.cancelled():
            return
        error = command.told.exception()
        if error is None:
            assert command.told.result() == command.packed
            assert not command.write or command.packed not in self.unproven
        elif isinstance(error, Rejected):
            assert error.word == "DENIED"
        elif isinstance(error, Unanswered):
            # Not `executions == 1`: a refusal may arrive after the caller's deadline.
            assert command.write
            assert self.sent[command.packed] >= 1
        elif command.write:
            assert isinstance(error, NotSent | Overloaded)
            assert executions == 0


OVERTAKEN: list[tuple[Any, ...]] = [
    ("add", True, 1),
    ("take", 60),
    ("reply", ["BUSY no"], False),
    ("pass", 0.001),
    ("add", True, 1),
    ("take", 60),
    ("pass", 0.02),
    ("take", 60),
]

TWO_WRITES: list[tuple[Any, ...]] = [("add", True, 1), ("add", True, 1), ("take", 60)]
BOTH_DOUBTFUL = [*TWO_WRITES, ("reply", ["ok", "ok"], True)]
TWO_DEADLINES: list[tuple[Any, ...]] = [("add", True, 1), ("pass", 0.3), ("add", True, 1), ("take", 60)]
# The confirmation of a write, whose deadline is the earliest, is sent behind another command.
BEHIND_ANOTHER: list[tuple[Any, ...]] = [
    ("add", True, 1),
    ("pass", 0.3),
    ("add", False, 1),
    ("take", 60),
    ("reply", ["ok"], True),
]
CONFIRMED: dict[str, list[tuple[Any, ...]]] = {
    "with a refusal": [*BOTH_DOUBTFUL, ("reply", ["BUSY no"], True)],
    "for one caller": [*BOTH_DOUBTFUL, ("cancel", 0), ("reply", ["ok"], False)],
    "too late": [*BOTH_DOUBTFUL, ("pass", 0.9), ("pass", 0.3), ("reply", ["BUSY no"], True)],
    "too late for the first": [*TWO_DEADLINES, ("reply", ["ok", "ok"], True), ("pass", 0.75)],
    "behind another": [*BEHIND_ANOTHER, ("reply", ["ok", "ok"], False)],
    "never": [*BOTH_DOUBTFUL, ("disconnect",)],
    "never, for one caller": [*BOTH_DOUBTFUL, ("cancel", 0), ("disconnect",)],
    "never, because a reply is too many": [*TWO_WRITES, ("stray",)],
}


def interleavings(test: Callable[..., None]) -> Callable[..., None]:
    """Let Hypothesis try these interleavings first."""
    for steps in (OVERTAKEN, *CONFIRMED.values()):
        test = example(steps)(test)
    return test


@examples(100, 600)
@interleavings
@given(STEPS)
def test_each_caller_gets_exactly_one_outcome_and_never_the_reply_of_another(steps: list[tuple[Any, ...]]) -> None:
    loop = asyncio.new_event_loop()
    try:
        world = World(loop)
        for name, *arguments in steps:
            getattr(world, "let_pass" if name == "pass" else name)(*arguments)
            world.check()
        world.queue.close("closed")
        assert all(command.told.done() for command in world.commands)
        world.wire.clear()
        world.check()
        assert (world.queue.depth, world.queue.size) == (0, 0)
    finally:
        loop.close()
