"""The commands of one lane that have no outcome yet, and the rules by which each gets exactly one.

No I/O, no clock, no event loop of its own: bytes to write come out of `take`, replies go in through `answer`,
time is an argument (seconds on any clock that only moves forward). So every rule is tested without a socket.

A command is in one of three places:

    waiting   to be written, oldest first
    flight    written, oldest first; Redis answers in this order, so the next reply belongs to the front
    resting   refused by the server for the moment; goes back to the front of `waiting` after a pause

Invariant: the n-th reply of a connection goes to the n-th command that was written on it, whatever happened
to its caller: who gave up (deadline, cancellation) leaves the slot in `flight`; its late reply is discarded.
"""

import heapq
from collections import deque
from collections.abc import Callable, Iterator
from itertools import count, islice
from typing import Any, Protocol

from msgspec import Struct

from service.redis.errors import Failed, NotSent, Overloaded, Rejected, Unanswered

NOTHING = object()  # what `answer` is given when no complete reply is left

# Words with which Redis refuses a command before it has any effect, for reasons that pass by themselves.
TRANSIENT = frozenset({"ASK", "BUSY", "CLUSTERDOWN", "LOADING", "MASTERDOWN", "NOREPLICAS", "READONLY", "TRYAGAIN"})

PAUSE_SECONDS = 0.010  # before the first repetition; doubles
MAX_PAUSE_SECONDS = 0.100
DIRECT = 2  # times that a command may go from node to node without a pause

ASKING = b"*1\r\n$6\r\nASKING\r\n"  # lets the next command, and no other, use a slot that is being imported


class Outcome(Protocol):
    """The receiver of a command's reply or failure, told exactly once: a future, or an object like one.

    Neither call may raise. `set_exception` may be called while the queues are walked through, so it must not send.
    """

    def done(self) -> bool: ...

    def set_result(self, result: Any, /) -> None: ...

    def set_exception(self, exception: Failed, /) -> None: ...


class Unexpected(Exception):
    """A reply came that no command waits for: the connection cannot be trusted any more."""


class Nobody:
    """The outcome of a command that nobody waits for."""

    def done(self) -> bool:
        return True

    def set_result(self, result: Any, /) -> None: ...

    def set_exception(self, exception: Failed, /) -> None: ...


NOBODY = Nobody()


class Command(Struct, eq=False):
    """One command on its way.

    `write` says that it must not run twice: without it, it is repeated when a connection is lost. None is a read
    whose answer may be a little old, so that a replica may give it where replicas are read. `deadline` is in seconds,
    `attempts` counts the server's passing refusals, and `key` is the key by which its node is found.
    """

    outcome: Outcome
    packed: bytes
    write: bool | None
    deadline: float = 0.0
    attempts: int = 0
    key: str | bytes = b""


Mend = Callable[[Command, Rejected], bytes | None]  # what to send before a refused command is repeated, packed, if any
Redirect = Callable[[Command, Rejected], bool]  # takes over a command that a server refused, or says that it does not


class Remedy:
    """The outcome of what is sent so that refused commands can be repeated behind it.

    `failure` is why the last one did no good. ERR is none: somebody else may have done the same before.
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
    """See the module; `reason` says in words why commands wait, for those that wait too long.

    `redirect` is offered each refused command first, in the midst of the reading of replies; then `mend`, for a reason
    that does not pass by itself.
    """

    def __init__(
        self, max_commands: int, max_bytes: int, redirect: Redirect | None = None, mend: Mend | None = None
    ) -> None:
        self.waiting: deque[Command] = deque()
        self.flight: deque[Command] = deque()
        self.resting: list[tuple[float, int, Command]] = []  # heap by the end of the pause
        self.size = 0  # bytes of all packed commands held
        self.retries = 0
        self.reason = "not connected yet"
        self._redirect = redirect
        self._mend = mend
        self._remedy = Remedy()
        self._max_commands = max_commands
        self._max_bytes = max_bytes
        self._number = count()  # makes heap entries comparable, first come first
        # `waiting` and `flight` are in order of deadline, but for commands that have rested. Until the last
        # deadline of those (0.0: there are none) every command is looked at, otherwise only the front.
        self._unordered_until = 0.0

    @property
    def depth(self) -> int:
        return len(self.waiting) + len(self.flight) + len(self.resting)

    def add(self, command: Command) -> None:
        """Queue a command, or refuse it with Overloaded. A single command of any size fits an empty queue."""
        size = self.size + len(command.packed)
        held = len(self.waiting) + len(self.flight) + len(self.resting)
        if held >= self._max_commands or (size > self._max_bytes and held):
            command.outcome.set_exception(Overloaded(f"{held} commands ({self.size} bytes) are pending"))
            return
        self.size = size
        self.waiting.append(command)

    def take(self, limit: int) -> list[bytes]:
        """Move commands from `waiting` to `flight`, up to `limit` bytes but at least one, to be written.

        One whose caller is gone is dropped instead. One longer than the limit comes alone: it is never copied.
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

    def answer(self, next_reply: Callable[[], Any], now: float) -> bool:
        """Give replies to the commands in flight, in order, until `next_reply` returns NOTHING.

        True when one of them says that this server is no primary any more. Raises: Unexpected.
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
                outcome.set_result(reply)
        return demoted

    def _refuse(self, command: Command, error: Rejected, now: float) -> None:
        if command.outcome.done() or (self._redirect is not None and self._redirect(command, error)):
            return
        if error.word in TRANSIENT:
            self._rest(command, now, error.message)
        elif self._mend is not None and (packed := self._mend(command, error)) is not None:
            self._repair(command, packed, error, now)
        else:
            command.outcome.set_exception(error)

    def _repair(self, command: Command, packed: bytes, error: Rejected, now: float) -> None:
        """Repeat a command behind what makes that possible, which is sent once for all that are refused meanwhile."""
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
        """Queue a command that another node did not serve. Its deadline stays; one that goes round must pause."""
        if command.attempts >= DIRECT:
            self._rest(command, now, "no node serves its slot")
            return
        command.attempts += 1
        self.retries += 1
        self._unordered_until = max(self._unordered_until, command.deadline)
        self.add(command)

    def asking(self, command: Command) -> bytes:
        """Return the bytes to write, at once and in one piece, so that this node serves a slot that it is importing."""
        self.flight += (Command(NOBODY, b"", False, command.deadline), command)
        self.retries += 1
        self.size += len(command.packed)
        self._unordered_until = max(self._unordered_until, command.deadline)
        return ASKING + command.packed

    def drain(self) -> list[Command]:
        """Give away what was not sent, and what was refused for the moment; what is in flight stays."""
        self._remedy.on_its_way = False  # it is for this server alone
        drained = [*(rest[2] for rest in sorted(self.resting)), *self.waiting]
        self.resting.clear()
        self.waiting.clear()
        self.size -= sum(len(command.packed) for command in drained)
        return [command for command in drained if not command.outcome.done()]

    def wake(self, now: float) -> None:
        """Put the commands whose pause is over back to the front, in their order."""
        rested = []
        while self.resting and self.resting[0][0] <= now:
            rested.append(heapq.heappop(self.resting)[2])
        self.waiting.extendleft(reversed(rested))

    def expire(self, now: float) -> None:
        """Tell the callers whose deadline is over; those in flight keep their slot."""
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
        """Return the next time at which `wake` or `expire` has something to do; None when nothing is pending.

        Resting commands need no look at their deadline: a pause never ends after it.
        """
        times = [self.resting[0][0]] if self.resting else []
        for queue in (self.flight, self.waiting):
            live = (command.deadline for command in queue if not command.outcome.done())
            times += live if self._unordered_until else islice(live, 1)
        return min(times, default=None)

    def disconnect(self, reason: str) -> None:
        """The connection is gone, and with it all replies that it owed.

        Reads go back to the front, in order, to be sent again; writes get Unanswered; what was never written stays.
        """
        self.reason = reason
        reads = []
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
        """Give each command that is left its outcome, now."""
        self.disconnect(reason)
        for command in [*self.waiting, *(rest[2] for rest in self.resting)]:
            if not command.outcome.done():
                command.outcome.set_exception(NotSent(reason))
        self.waiting.clear()
        self.resting.clear()
        self.size = 0


def _give_up(command: Command, failure: Failed) -> None:
    """Tell the caller of a command that stays in its queue. The caller may await another command by the time that a
    late reply to this one comes, so nobody waits for this one any more."""
    outcome, command.outcome = command.outcome, NOBODY
    outcome.set_exception(failure)
