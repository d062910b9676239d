"""What storage awaits: the reply of one command, `Reply`, or of several at once, `Replies`. To await it sends it.

Inside an asyncio task that takes a future. A coroutine may as well be stepped by hand, by a `Driver`, which is given
the `Reply` that the coroutine yields, and is told its outcome: a connection does so with the handler of a request
(service/http/driver.py), and pays for no task and no future. An operation is written once, as a coroutine, and does not
know which of the two steps it.

The one place where Redis's errors become refusals.
"""

from asyncio import CancelledError, get_running_loop
from collections.abc import Callable, Coroutine, Generator, Sequence
from typing import Any

from msgspec import Struct

from service.redis.client import Send
from service.redis.errors import Failed, Overloaded, Rejected, Unanswered
from service.redis.pending import NOBODY, Command, Outcome
from service.storage.errors import BY_WORD, OutcomeUnknown, QuotaExceeded, Refusal, Unavailable

NO_TIME = -1  # see Reply.until

_by_hand = False  # is a coroutine being stepped by a Driver right now?


def _unsendable(command: Command) -> None:
    raise RuntimeError("the reply of a command that goes nowhere")


class Reply(Command):
    """The reply of one command, which is sent when it is awaited, once. Raises Refusal.

    `send` sends it; `decode` makes the result of Redis's reply, where that is another. `until` tells of Redis's reply
    up to which moment (ms) it stays what it is while nobody writes the `keys`, or the one `key` where there are none: 0
    for ever, `NO_TIME` not at all. Without it, nobody knows.
    """

    send: Send = _unsendable
    decode: Callable[[Any], Any] | None = None
    until: Callable[[Any], int] | None = None
    keys: Sequence[str] = ()

    def begin(self, outcome: Outcome) -> None:
        """Send the command, and tell its outcome to somebody else than an awaiting task."""
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
    """The replies of several commands that are sent together, in their order; of one that failed, the refusal."""

    __slots__ = ("_commands", "_left", "_outcome", "_replies")

    def __init__(self, commands: Sequence[Reply]) -> None:
        self._commands = commands
        self._outcome: Outcome = NOBODY
        self._left = len(commands)
        self._replies: list[Any] = [None] * self._left

    @property
    def commands(self) -> Sequence[Reply]:
        return self._commands

    def begin(self, outcome: Outcome) -> None:
        """See Reply.begin."""
        self._outcome = outcome
        for place, command in enumerate(self._commands):
            command.begin(_Place(self, place))

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

    def put(self, place: int, reply: Any) -> bool:
        """Keep the outcome of one command, and say whether it was the last."""
        self._replies[place] = reply
        self._left -= 1
        return not self._left

    def end(self) -> None:
        if not self._outcome.done():
            self._outcome.set_result(self._replies)


class _Place(Struct):
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
            get_running_loop().call_soon(self.replies.end)  # what follows may send, while queues are walked through


class Driver(Struct):
    """Steps a coroutine. It is the outcome of the command that the coroutine awaits, as a future would be; all else
    the coroutine awaits are futures: a lock, a timer, a task. `asyncio.timeout` and `current_task` need a task.

    Invariant: `ended` or `failed` is called exactly once.
    """

    coroutine: Coroutine[Any, Any, Any]

    def ended(self, result: Any) -> None:
        """Take what the coroutine returned. It must not raise."""

    def failed(self, error: BaseException) -> None:
        """Take what the coroutine raised. It must not raise."""

    def ask(self, awaited: Reply | Replies) -> None:
        """Send what the coroutine awaits."""
        awaited.begin(self)

    def done(self) -> bool:
        return False

    def set_exception(self, error: Failed) -> None:
        """Step on with a failure, once the queues are at rest: what comes of it may send again."""
        get_running_loop().call_soon(self.set_result, refusal(error), self.coroutine.throw)

    def set_result(self, value: Any, resume: Callable[[Any], Any] | None = None) -> None:
        """Step on with the reply that was awaited, None to begin with; or with `resume`, the coroutine's `throw`."""
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
    """What a failure of the Redis side means to a client; an error that no one foresaw stays what it is."""
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
