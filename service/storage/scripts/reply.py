"""The awaitable replies of commands: `Reply` for one command, `Replies` for several at once. Awaiting sends
them.

In an asyncio task, awaiting takes a future. A coroutine may also be stepped by a `Driver`, without a task and
without a future: the driver gets the `Reply` that the coroutine yields, and is its outcome. A connection does
so with the handler of a request (service/http/driver.py). An operation is written once, as a coroutine, and
does not know which of the two steps it.

Only this module makes refusals of Redis's errors.
"""

from asyncio import CancelledError, get_running_loop
from collections.abc import Callable, Coroutine, Generator, Sequence
from typing import Any

from msgspec import Struct

from service.redis.client import Send
from service.redis.errors import Failed, Overloaded, Rejected, Unanswered
from service.redis.outcome import NOBODY, Outcome
from service.redis.pending import Command
from service.storage.errors import BY_WORD, OutcomeUnknown, QuotaExceeded, Refusal, Unavailable

NO_TIME = -1  # see Reply.until


def for_ever(reply: Any) -> int:
    """Return 0, for Reply.until: the reply is about data that does not expire."""
    return 0


_by_hand = False  # True while a Driver is stepping a coroutine


def _unsendable(command: Command) -> None:
    raise RuntimeError("the reply has no `send`")


class Reply(Command):
    """The reply of one command, which is sent once, when it is awaited. Raises Refusal.

    `send` sends it; `decode`, if given, makes the result from Redis's reply. `until` returns the time (ms) up
    to which a reply stays valid if `keys` (or `key`, if there are none) are not written: 0 means for ever,
    `NO_TIME` means not at all. If `until` is None, the reply must not be reused.
    """

    send: Send = _unsendable
    decode: Callable[[Any], Any] | None = None
    until: Callable[[Any], int] | None = None
    keys: Sequence[str] = ()

    def begin(self, outcome: Outcome) -> None:
        """Send the command, and deliver its outcome to `outcome` instead of an awaiting task."""
        self.outcome = outcome
        self.send(self)

    def __await__(self) -> Generator[Any, Any, Any]:
        if _by_hand:
            reply = yield self
        else:
            future = get_running_loop().create_future()
            self.begin(future)
            try:
                reply = yield from future
            except Failed as error:
                raise refusal(error) from None
        return reply if self.decode is None else self.decode(reply)


class Replies:
    """The replies of several commands that are sent together, in order; the refusal in place of a failed one."""

    __slots__ = ("_commands", "_left", "_outcome", "_replies")

    def __init__(self, commands: Sequence[Reply]) -> None:
        self._commands = commands
        self._outcome: Outcome = NOBODY
        self._left = len(commands)
        self._replies: list[Any] = [None] * self._left

    @property
    def commands(self) -> Sequence[Reply]:
        """The commands, in their order."""
        return self._commands

    def begin(self, outcome: Outcome) -> None:
        """Send all commands; see Reply.begin."""
        self._outcome = outcome
        for number, command in enumerate(self._commands):
            command.begin(_OneOfSeveral(self, number))

    def __await__(self) -> Generator[Any, Any, list[Any]]:
        if not self._commands:
            return []
        replies: list[Any]
        if _by_hand:
            replies = yield self
            return replies
        future = get_running_loop().create_future()
        self.begin(future)
        replies = yield from future
        return replies

    def put(self, number: int, reply: Any) -> bool:
        """Store the outcome of one command. Return True if it was the last one."""
        self._replies[number] = reply
        self._left -= 1
        return not self._left

    def end(self) -> None:
        if not self._outcome.done():
            self._outcome.set_result(self._replies)


class _OneOfSeveral(Struct):
    """The outcome of one of several commands."""

    replies: Replies
    number: int

    def done(self) -> bool:
        return False

    def set_result(self, reply: Any) -> None:
        if self.replies.put(self.number, reply):
            self.replies.end()

    def set_exception(self, error: Failed) -> None:
        if self.replies.put(self.number, refusal(error)):
            get_running_loop().call_soon(self.replies.end)  # the coroutine may send; queues are being read now


class Driver(Struct):
    """Steps a coroutine, and is the outcome of the command that the coroutine awaits, as a future would be.

    Everything else that the coroutine awaits must be a future: a lock, a timer, a task. `asyncio.timeout` and
    `current_task` need a task and do not work. Invariant: `ended` or `failed` is called exactly once.
    """

    coroutine: Coroutine[Any, Any, Any]

    def ended(self, result: Any) -> None:
        """Take the coroutine's result. It must not raise."""

    def failed(self, error: BaseException) -> None:
        """Take the coroutine's exception. It must not raise."""

    def ask(self, awaited: Reply | Replies) -> None:
        """Send the awaited commands."""
        awaited.begin(self)

    def done(self) -> bool:
        return False

    def set_exception(self, error: Failed) -> None:
        """Continue with a failure, in a later tick: the coroutine may send commands, and queues are being iterated
        over now.
        """
        get_running_loop().call_soon(self.set_result, refusal(error), self.coroutine.throw)

    def set_result(self, value: Any, resume: Callable[[Any], Any] | None = None) -> None:
        """Continue with the awaited reply (None to begin), or with `resume`, the coroutine's `throw`."""
        global _by_hand
        _by_hand = True
        try:
            awaited = self.coroutine.send(value) if resume is None else resume(value)
            _by_hand = False
            if type(awaited) is Reply or type(awaited) is Replies:
                self.ask(awaited)
            elif awaited is None:  # asyncio.sleep(0)
                get_running_loop().call_soon(self.set_result, None)
            else:
                awaited._asyncio_future_blocking = False
                awaited.add_done_callback(self._go_on)
        except StopIteration as end:
            _by_hand = False
            self.ended(end.value)
        except (Exception, CancelledError) as error:
            _by_hand = False
            self.failed(error)

    def _go_on(self, future: Any) -> None:
        self.set_result(None)


def refusal(error: Failed) -> Refusal | Failed:
    """Return the refusal that a failure of the Redis layer means to a client; an unexpected error is returned
    unchanged.
    """
    if isinstance(error, Rejected):
        if kind := BY_WORD.get(error.word):
            return kind(error.message.removeprefix(error.word).strip())
        if error.word == "OOM":
            return QuotaExceeded("the store's memory is full")
        if error.word in ("MISCONF", "NOREPLICAS"):
            return Unavailable("the store does not accept writes at the moment")
        return error
    if isinstance(error, Unanswered):
        return OutcomeUnknown("the store did not answer in time: the write may or may not have been carried out")
    if isinstance(error, Overloaded):
        return Unavailable("the service is overloaded")
    return Unavailable("the store cannot be reached")
