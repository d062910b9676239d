"""The queue of one lane: commands without an outcome, and the rules by which each gets exactly one outcome.

The queue has no I/O, no clock and no event loop. `take` returns the bytes to write, `answer` receives the replies, and
the time is an argument (seconds of a monotonic clock). So every rule can be tested without a socket.

A command is in one of three collections:

    waiting   to be written, oldest first
    flight    written, oldest first; Redis answers in this order, so the next reply is for the first command
    resting   refused by the server for the moment; goes back to the front of `waiting` after a pause

Invariant: the n-th reply of a connection goes to the n-th command that was written on it. If the caller of a command
gives up (deadline, cancellation), the command stays in `flight` and its late reply is discarded.
"""

import heapq
from collections import deque
from collections.abc import Callable, Iterator
from itertools import count, islice
from typing import Any

from msgspec import Struct

from service.redis.confirmation import CONFIRM, Confirmation, Held
from service.redis.errors import Failed, NotSent, Overloaded, Rejected, Unanswered
from service.redis.outcome import NOBODY, Outcome

NOTHING = object()  # returned when no complete reply is left
NOT_YET = "not connected yet"  # the reason before the first attempt to connect has failed

# Errors with which Redis refuses a command before it has any effect, for a reason that is temporary.
TRANSIENT = frozenset({"ASK", "BUSY", "CLUSTERDOWN", "LOADING", "MASTERDOWN", "NOREPLICAS", "READONLY", "TRYAGAIN"})

PAUSE_SECONDS = 0.010  # before the first repetition; it doubles
MAX_PAUSE_SECONDS = 0.100
DIRECT = 2  # a command may be redirected this often without a pause

ASKING = b"*1\r\n$6\r\nASKING\r\n"  # permits the next command only to use a slot that is being imported


class Unexpected(Exception):
    """A reply arrived for which there is no command. The connection must be closed."""


class Command(Struct, eq=False):
    """One command, with its outcome.

    `write` is True if it must not run twice, or if its reply acknowledges a write; False for another read, which is
    sent again when the connection is lost; None for a read that a replica may answer, so that the answer may be
    slightly old. `deadline` is in seconds.
    `attempts` counts the temporary refusals. `key` determines the node.
    """

    outcome: Outcome
    packed: bytes
    write: bool | None
    deadline: float = 0.0
    attempts: int = 0
    key: str | bytes = b""


Mend = Callable[[Command, Rejected], bytes | None]  # a packed command to send before the refused one is sent again
Redirect = Callable[[Command, Rejected], bool]  # takes over a refused command and returns True, or returns False


class Remedy:
    """The outcome of a command from `Mend`, behind which refused commands are sent again.

    `failure` is the error of the last one. An ERR does not count, because another client may have done the same before.
    """

    def __init__(self) -> None:
        self.failure: Rejected | None = None
        self.on_its_way = False

    def done(self) -> bool:
        return not self.on_its_way

    def set_result(self, result: Any, /) -> None:
        self.on_its_way = False

    def set_exception(self, exception: Failed, /) -> None:
        self.on_its_way = False
        if isinstance(exception, Rejected) and exception.word != "ERR":
            self.failure = exception


class Pending:
    """The queue of one lane (see the module). `reason` says why commands wait; it is a part of their failures.

    Each refused command is offered to `redirect` first, while replies are being read, and then, if the refusal is not
    temporary, to `mend`.
    """

    def __init__(
        self, max_commands: int, max_bytes: int, redirect: Redirect | None = None, mend: Mend | None = None
    ) -> None:
        self.waiting: deque[Command] = deque()
        self.flight: deque[Command] = deque()
        self.resting: list[tuple[float, int, Command]] = []  # heap by the end of the pause
        self.size = 0  # bytes of all packed commands held
        self.retries = 0
        self.reason = NOT_YET
        self._redirect = redirect
        self._mend = mend
        self._remedy = Remedy()
        self._max_commands = max_commands
        self._max_bytes = max_bytes
        self._held: list[Held] = []  # writes with a reply that must be confirmed
        self._number = count()  # orders heap entries that have the same time
        # `waiting` and `flight` are in order of deadline, except for commands that have rested. Until the last deadline
        # of those (0.0: there are none) every command is checked, otherwise only the first.
        self._unordered_until = 0.0

    @property
    def depth(self) -> int:
        return len(self.waiting) + len(self.flight) + len(self.resting)

    def add(self, command: Command) -> None:
        """Queue a command, or refuse it with Overloaded. An empty queue accepts one command of any size."""
        size = self.size + len(command.packed)
        held = len(self.waiting) + len(self.flight) + len(self.resting)
        if held >= self._max_commands or (size > self._max_bytes and held):
            text = f"{held} commands ({self.size} bytes) already wait for Redis"
            command.outcome.set_exception(Overloaded(text))
            return
        self.size = size
        self.waiting.append(command)

    def take(self, limit: int) -> list[bytes]:
        """Move commands from `waiting` to `flight` and return their bytes: up to `limit`, but at least one command.

        A command whose caller has given up is dropped. A command longer than the limit is returned alone, so that it
        is never copied.
        """
        parts: list[bytes] = []
        size = gone = 0
        waiting, flight = self.waiting, self.flight
        for command in waiting:
            packed = command.packed
            if command.outcome.done():
                self.size -= len(packed)
                gone += 1
                continue
            size += len(packed)
            if size > limit and parts:
                break
            flight.append(command)
            parts.append(packed)
        gone += len(parts)
        if gone == len(waiting):
            waiting.clear()
        else:
            for _ in range(gone):
                waiting.popleft()
        return parts

    def answer(self, next_reply: Callable[[], Any], now: float, doubtful: bool = False) -> bool:
        """Give replies to the commands in flight, in order, until `next_reply` returns NOTHING.

        `doubtful`: the outcomes of writes are held until `confirm` (see confirmation.py). Return True if a reply tells
        that this server is not a primary any more. Raises Unexpected.
        """
        demoted = False
        flight = self.flight
        while (reply := next_reply()) is not NOTHING:
            if not flight:
                raise Unexpected(f"a reply without a command: {reply!r:.100}")
            command = flight.popleft()
            self.size -= len(command.packed)
            outcome = command.outcome
            if type(reply) is Rejected:
                demoted |= reply.word == "READONLY"
                self._refuse(command, reply, now)
            elif not outcome.done():
                if doubtful and command.write and not isinstance(outcome, Confirmation):
                    self._held.append(Held(outcome, reply, command.deadline))
                else:
                    outcome.set_result(reply)
        return demoted

    def confirm(self) -> bytes:
        """Return the command that confirms the writes held, to be written at once; empty if there are none."""
        if not self._held:
            return b""
        held, self._held = self._held, []
        self._put_in_flight(Command(Confirmation(held), CONFIRM, True, min(each.deadline for each in held)))
        return CONFIRM

    def _refuse(self, command: Command, error: Rejected, now: float) -> None:
        if isinstance(command.outcome, Confirmation):
            command.outcome.set_exception(error)
        elif command.outcome.done() or (self._redirect is not None and self._redirect(command, error)):
            return
        elif error.word in TRANSIENT:
            self._rest(command, now, error.message)
        elif self._mend is not None and (packed := self._mend(command, error)) is not None:
            self._repair(command, packed, error, now)
        else:
            command.outcome.set_exception(error)

    def _repair(self, command: Command, packed: bytes, error: Rejected, now: float) -> None:
        """Send a refused command again behind the command from `mend`, which is sent once for all refused commands."""
        remedy = self._remedy
        if command.attempts and remedy.failure is not None:
            command.outcome.set_exception(remedy.failure)
            return
        if not remedy.on_its_way:
            remedy.on_its_way, remedy.failure = True, None
            self._rest(Command(remedy, packed, True, command.deadline), now, error.message)
        self._rest(command, now, error.message)

    def _rest(self, command: Command, now: float, refusal: str) -> None:
        due = now + min(PAUSE_SECONDS * 2**command.attempts, MAX_PAUSE_SECONDS)
        if due >= command.deadline:
            command.outcome.set_exception(NotSent(f"refused until the deadline: {refusal}"))
            return
        command.attempts += 1
        self.retries += 1
        self.size += len(command.packed)
        self._unordered_until = max(self._unordered_until, command.deadline)
        heapq.heappush(self.resting, (due, next(self._number), command))

    def readmit(self, command: Command, now: float) -> None:
        """Queue a command that another node has refused. Its deadline stays. After `DIRECT` nodes it must pause."""
        if command.attempts >= DIRECT:
            self._rest(command, now, "no node serves its slot")
            return
        command.attempts += 1
        self.retries += 1
        self._unordered_until = max(self._unordered_until, command.deadline)
        self.add(command)

    def asking(self, command: Command) -> bytes:
        """Return ASKING and the command as bytes, to be written at once, for a slot that this node is importing."""
        self.flight.append(Command(NOBODY, b"", False, command.deadline))
        self._put_in_flight(command)
        self.retries += 1
        return ASKING + command.packed

    def _put_in_flight(self, command: Command) -> None:
        """Note that a command is written before those that wait."""
        self.flight.append(command)
        self.size += len(command.packed)
        self._unordered_until = max(self._unordered_until, command.deadline)

    def drain(self) -> list[Command]:
        """Remove and return the waiting and the resting commands. The commands in flight stay."""
        self._remedy.on_its_way = False  # the remedy is useful on this server only
        drained = [*(rest[2] for rest in sorted(self.resting)), *self.waiting]
        self.resting.clear()
        self.waiting.clear()
        self.size -= sum(len(command.packed) for command in drained)
        return [command for command in drained if not command.outcome.done()]

    def wake(self, now: float) -> None:
        """Move the commands whose pause is over to the front of `waiting`, in their order."""
        rested = []
        while self.resting and self.resting[0][0] <= now:
            rested.append(heapq.heappop(self.resting)[2])
        self.waiting.extendleft(reversed(rested))

    def expire(self, now: float) -> None:
        """Fail the commands whose deadline is over. Those in flight stay there until their reply comes."""
        for command in self._due(self.flight, now):
            if command.write:
                _give_up(command, Unanswered("sent, but no answer came before the deadline"))
            else:
                _give_up(command, NotSent("no answer came before the deadline"))
        for command in self._due(self.waiting, now):
            _give_up(command, NotSent(f"not sent before the deadline: {self.reason}"))
        if now >= self._unordered_until:
            self._unordered_until = 0.0
        while self.waiting and self.waiting[0].outcome.done():
            self.size -= len(self.waiting.popleft().packed)

    def _due(self, queue: deque[Command], now: float) -> Iterator[Command]:
        for command in queue:
            if command.deadline > now:
                if not self._unordered_until:
                    return
            elif not command.outcome.done():
                yield command

    def next_event(self) -> float | None:
        """Return the next time at which `wake` or `expire` has something to do; None if the queue is empty.

        The deadline of a resting command is ignored, because its pause ends before its deadline.
        """
        times = [self.resting[0][0]] if self.resting else []
        for queue in (self.flight, self.waiting):
            live = (command.deadline for command in queue if not command.outcome.done())
            times += live if self._unordered_until else islice(live, 1)
        return min(times, default=None)

    def disconnect(self, reason: str) -> None:
        """Handle the loss of the connection, on which no more replies will come.

        Reads in flight go back to the front of `waiting`, in order, to be sent again. Writes in flight fail with
        Unanswered. Commands that were not written stay.
        """
        self.reason = reason
        reads = []
        held, self._held = self._held, []
        Confirmation(held).set_exception(Unanswered(reason))
        for command in self.flight:
            if not command.outcome.done() and not command.write:
                reads.append(command)
                continue
            self.size -= len(command.packed)
            if not command.outcome.done():
                command.outcome.set_exception(Unanswered(f"sent, but the connection was lost: {reason}"))
        self.flight.clear()
        self.retries += len(reads)
        self.waiting.extendleft(reversed(reads))

    def close(self, reason: str) -> None:
        """Fail all commands now."""
        self.disconnect(reason)
        for command in [*self.waiting, *(rest[2] for rest in self.resting)]:
            if not command.outcome.done():
                command.outcome.set_exception(NotSent(reason))
        self.waiting.clear()
        self.resting.clear()
        self.size = 0


def _give_up(command: Command, failure: Failed) -> None:
    """Fail a command that stays in its queue.

    The outcome is replaced, because its owner may wait for another command when the late reply to this one comes.
    """
    outcome, command.outcome = command.outcome, NOBODY
    outcome.set_exception(failure)
