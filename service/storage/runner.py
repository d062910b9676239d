"""Runs commands and scripts on Redis, and says what went wrong in storage's own words.

Whatever storage asks of Redis is a `Reply`, or several of them at once: `Replies`. To await one sends it. Inside an
asyncio task that takes a future. Outside of a task the coroutine is stepped by hand, by whoever is given the `Reply`
that it yields: a connection does so with the handler of a request (service/driver.py), and pays for no task and no
future. An operation is written once, as a coroutine, and does not know which of the two it is.

The one place where `EVALSHA` is spelled, where a script that the server has forgotten (`NOSCRIPT`: a restart, a
failover, a flush) is sent again as `EVAL`, and where Redis's errors become refusals.
"""

from asyncio import current_task, get_running_loop
from collections.abc import Generator, Sequence
from typing import Any

from msgspec import Struct

from service.redis.check import inspect
from service.redis.client import Redis, Send
from service.redis.errors import Failed, Overloaded, Rejected, Unanswered
from service.redis.pending import NOBODY, Command, Outcome
from service.redis.wire import Ask, pack
from service.storage import scripts
from service.storage.bulk import Turns
from service.storage.errors import BY_WORD, OutcomeUnknown, QuotaExceeded, Refusal, Unavailable
from service.storage.keys import once as remembering
from service.storage.once import Once
from service.storage.scripts import ONCE, Script


class Reply(Command, kw_only=True):
    """The reply of one command, which is sent when it is awaited, once. Raises Refusal."""

    send: Send

    def begin(self, outcome: Outcome) -> None:
        """Send the command, and tell its outcome to somebody else than an awaiting task."""
        self.outcome = outcome
        self.send(self)

    def __await__(self) -> Generator[Any, Any, Any]:
        if current_task() is None:
            return (yield self)
        future = get_running_loop().create_future()
        self.begin(future)
        try:
            return (yield from future)
        except Failed as error:
            raise refusal(error) from None


class Replies:
    """The replies of several commands that are sent together, in their order; of one that failed, the refusal."""

    __slots__ = ("_commands", "_left", "_outcome", "_replies")

    def __init__(self, commands: Sequence[Reply]) -> None:
        self._commands = commands
        self._outcome: Outcome = NOBODY
        self._left = len(commands)
        self._replies: list[Any] = [None] * self._left

    def begin(self, outcome: Outcome) -> None:
        """See Reply.begin."""
        self._outcome = outcome
        for place, command in enumerate(self._commands):
            command.begin(_Place(self, place))

    def __await__(self) -> Generator[Any, Any, list[Any]]:
        if not self._commands:
            return []
        replies: list[Any]
        if current_task() is None:
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


class Runner:
    """`redis` has to be opened with `load` and `mend`, as `open` does."""

    redis: Redis

    @staticmethod
    def open(url: str, **options: Any) -> "Runner":
        """A runner on the Redis at `url`, which is not yet connected; see Redis.open."""
        runner = Runner()
        runner.redis = Redis.open(url, on_connect=runner.load, mend=runner.mend, **options)
        return runner

    def __init__(self) -> None:
        self._turns = Turns()
        self._scripts = scripts.load()
        self._sent: dict[str, tuple[Script, str, str]] = {}  # script, text and SHA-1 as the servers have them
        self._texts: dict[bytes, bytes] = {}  # how EVAL begins, by how EVALSHA does, of each script that was ever sent
        self._oldest: tuple[int, ...] = (99,)  # version seen: what it understands, the other servers do as well

    async def load(self, ask: Ask) -> None:
        """Make one server know every script; `ask` is the means to reach it alone."""
        self._oldest = min(self._oldest, (await inspect(ask)).version)
        self._sent = {name: (script, *script.for_server(self._oldest)) for name, script in self._scripts.items()}
        for _, text, sha in self._sent.values():
            self._texts[scripts.begun("EVALSHA", sha)] = scripts.begun("EVAL", text)
            await ask("SCRIPT", "LOAD", text)

    def mend(self, command: Command) -> bool:
        """Change a command whose script the server has forgotten, so that it brings the script along."""
        count, _, rest = command.packed.partition(b"\r\n")
        begun, rest = rest[: scripts.BEGUN], rest[scripts.BEGUN :]
        if (instead := self._texts.get(begun)) is None:
            return False
        command.packed = b"%b\r\n%b%b" % (count, instead, rest)
        return True

    def script(self, name: str, keys: Sequence[str], arguments: dict[str, Any], once: Once | None = None) -> Reply:
        """The reply of a script. `arguments` are named as its bindings are. Raises KeyError (a name is missing).

        `once`: of its second form, where it has one, which remembers what it did (lua/include/once.lua).
        """
        if once is not None and (second := self._sent.get(name + ONCE)) is not None:
            script, _, sha = second
            keys = (*keys, remembering(keys[0], once.digest))
            args = ("EVALSHA", sha, len(keys), *keys, *script.pick(arguments), once.fingerprint, once.remark)
            return Reply(NOBODY, pack(args), script.writes, 0.0, 0, keys[0], send=self.redis.send)
        script, _, sha = self._sent[name]
        packed = script.packed(sha, keys, arguments)
        return Reply(NOBODY, packed, script.writes, 0.0, 0, keys[0], send=self.redis.send)

    def run(self, name: str, keys: Sequence[str], /, once: Once | None = None, **arguments: Any) -> Reply:
        """See `script`."""
        return self.script(name, keys, arguments, once)

    def command(self, *command: str | bytes | int, key: str, write: bool | None = False) -> Reply:
        """The reply of a plain command; `write` is as in Command."""
        return Reply(NOBODY, pack(command), write, 0.0, 0, key, send=self.redis.send)

    async def bulk(self, *command: str | bytes | int, key: str, write: bool = False) -> Any:
        """The reply of a command that is long, or whose answer is, when it is its turn. Raises Refusal."""
        await self._turns.take()
        try:
            return await Reply(NOBODY, pack(command), write, 0.0, 0, key, send=self.redis.send_bulk)
        finally:
            self._turns.release()


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
