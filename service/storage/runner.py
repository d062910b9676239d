"""Runs commands and scripts on Redis, and says what went wrong in storage's own words.

The one place where `EVALSHA` is spelled, where a script that the server has forgotten (`NOSCRIPT`: a restart, a
failover, a flush) is repaired by resending that one command as `EVAL`, and where Redis's errors become refusals.
"""

from collections.abc import Sequence
from typing import Any

from msgspec import Struct

from service.redis.check import inspect
from service.redis.client import Redis
from service.redis.errors import Failed, Overloaded, Rejected, Unanswered
from service.redis.wire import END, Ask, counted, pack, run, sized
from service.storage import scripts
from service.storage.bulk import Bulk
from service.storage.errors import BY_WORD, Elsewhere, OutcomeUnknown, QuotaExceeded, Refusal, Unavailable
from service.storage.keys import once as remembering
from service.storage.once import Once, asked
from service.storage.scripts import ONCE, Script


class Command(Struct, gc=False):
    """What to send, the key that it goes by, and whether it must not run twice; None: its answer may be a little old
    (service/redis/client.py). `steady`: a script that is given the same again and again, short texts and numbers, but
    for the first key and the first two values, an id and perhaps a body."""

    args: tuple[Any, ...]
    key: str
    write: bool | None
    steady: bool = False

    def packed(self) -> bytes:
        """The command as it is sent. hiredis packs all of it, which is a fifth of a PUT with its 19 arguments. What is
        steady is packed once: 113,000 instructions a PUT for 121,000."""
        args = self.args
        if not self.steady:
            return pack(args)
        values = 3 + args[2]
        key, id, body = args[3].encode(), args[values].encode(), args[values + 1]
        if not isinstance(body, bytes):
            body = str(body).encode()
        return b"".join((
            counted(len(args)), run(args[:3]), sized(len(key)), key, END, run(args[4:values]),
            sized(len(id)), id, END, sized(len(body)), body, END, run(args[values + 2 :]),
        ))  # fmt: skip


class Runner:
    def __init__(self, redis: Redis) -> None:
        self.redis = redis
        self._execute = redis.execute
        self._bulk = Bulk(redis)
        self._scripts = scripts.load()
        self._sent: dict[str, tuple[Script, str, str]] = {}  # script, text and SHA-1 as the servers have them
        self._names: dict[str, str] = {}  # of scripts, by each SHA-1 that commands were made with
        self._oldest: tuple[int, ...] = (99,)  # version seen: what it understands, the other servers do as well

    async def load(self, ask: Ask) -> None:
        """Make one server know every script; `ask` is the means to reach it alone."""
        self._oldest = min(self._oldest, (await inspect(ask)).version)
        self._sent = {name: (script, *script.for_server(self._oldest)) for name, script in self._scripts.items()}
        for name, (_, text, sha) in self._sent.items():
            self._names[sha] = name
            await ask("SCRIPT", "LOAD", text)

    def script(self, name: str, keys: Sequence[str], arguments: dict[str, Any], *, steady: bool = False) -> Command:
        """The command that runs a script. Raises KeyError for a binding of the script that `arguments` lack."""
        script, _, sha = self._sent[name]
        return Command(("EVALSHA", sha, len(keys), *keys, *script.pick(arguments)), keys[0], script.writes, steady)

    async def run(self, name: str, keys: Sequence[str], /, **arguments: Any) -> Any:
        """Run a script; `arguments` are named as its bindings are. Raises Refusal, KeyError (a name is missing)."""
        return await self.send(self.script(name, keys, arguments))

    async def send(self, command: Command) -> Any:
        """Run a script's command, also where the server has forgotten the script. Raises Refusal."""
        if (once := asked()) is not None:
            command = self._once(command, once)
        args, key, write = command.args, command.key, command.write
        try:
            return await self._execute(*args, key=key, write=write)
        except Rejected as error:
            if error.word != "NOSCRIPT":
                raise refusal(error) from None
        except Failed as error:
            raise refusal(error) from None
        _, text, _ = self._sent[self._names[args[1]]]
        return await self.command("EVAL", text, *args[2:], key=key, write=write)

    def _once(self, command: Command, once: Once) -> Command:
        """The same command, in the script's second form where it has one: so it remembers what it did."""
        second = self._sent.get(self._names.get(command.args[1], "") + ONCE)
        if second is None:
            return command
        _, _, count, *rest = command.args
        names = (*rest[:count], remembering(command.key, once.digest))
        arguments = (*rest[count:], once.fingerprint, once.remark)
        return Command(("EVALSHA", second[2], count + 1, *names, *arguments), command.key, command.write)

    async def command(self, *command: str | bytes | int, key: str, write: bool | None = False) -> Any:
        """Run a plain command. Raises Refusal."""
        try:
            return await self._execute(*command, key=key, write=write)
        except Failed as error:
            raise refusal(error) from None

    async def bulk(self, *command: str | bytes | int, key: str, write: bool = False) -> Any:
        """The same for one that is long, or whose answer is: when it is its turn. Raises Refusal."""
        try:
            return await self._bulk.command(*command, key=key, write=write)
        except Failed as error:
            raise refusal(error) from None


def repairable(error: Exception) -> bool:
    """Was a script refused, before any effect, for what `Storage` knows how to put right, or is one command too few?"""
    return isinstance(error, Elsewhere) or (
        isinstance(error, Rejected)
        and (error.word == "NOSCRIPT" or (error.word in BY_WORD and BY_WORD[error.word].internal))
    )


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
