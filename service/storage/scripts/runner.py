"""Makes awaitable replies of commands and scripts (service/storage/scripts/reply.py).

Only this module sends `FCALL`, and loads the library of functions into servers: on each new connection, and again from
the queue of a lane if the server has lost it since then (a flush, a failover to an empty node).
"""

from collections.abc import Callable, Sequence
from typing import Any

from service.redis.client import Redis
from service.redis.errors import NotSent, Rejected
from service.redis.outcome import NOBODY
from service.redis.pending import Command
from service.redis.wire import Ask, pack
from service.storage.keys import remembered
from service.storage.scripts import library
from service.storage.scripts.identity import Idempotency
from service.storage.scripts.library import ONCE
from service.storage.scripts.reply import Reply
from service.storage.scripts.turns import Turns

BULK_AT_ONCE = 3  # long commands that a worker sends at the same time
BEGUN = 64  # the function's name ends within this many bytes of a packed script
MISSING = "ERR Function not found"


class Runner:
    """Maker of replies: it turns scripts and commands into `Reply` objects. Made with `open`."""

    redis: Redis

    @staticmethod
    def open(url: str, **options: Any) -> "Runner":
        """Return a runner for the Redis at `url`, which is not yet connected (see Redis.open)."""
        runner = Runner()
        runner.redis = Redis.open(url, on_connect=runner.load, mend=runner.mend, **options)
        return runner

    def __init__(self) -> None:
        self._turns = Turns(BULK_AT_ONCE)
        self.connected: list[Callable[[], None]] = []  # called when a connection to a server has been made
        self.library = library.installed()
        self._loading = pack(("FUNCTION", "LOAD", self.library.text))
        self._digest = self.library.digest.encode()

    async def load(self, ask: Ask) -> None:
        """Load the library of functions into one server, which `ask` reaches, if the server does not have it.

        A server that refuses writes at the moment is used without the library, for plain reads.
        """
        try:
            known = await ask("FUNCTION", "LIST", "LIBRARYNAME", self.library.name)
        except Rejected as error:
            if "unknown command" not in error.message:
                raise
            raise Rejected("ERR", "the server lacks FUNCTION; Redis 7.0 or newer, or Valkey, is needed") from None
        try:
            if not known:
                await ask("FUNCTION", "LOAD", self.library.text)
        except NotSent:  # a temporary refusal
            pass
        except Rejected as error:
            if error.word not in ("MISCONF", "OOM") and "already exists" not in error.message:  # another one was faster
                raise
        for each in self.connected:
            each()

    def mend(self, command: Command, error: Rejected) -> bytes | None:
        """Return the command that loads the library if `error` says that a function is missing; else None."""
        ours = error.message.startswith(MISSING) and self._digest in command.packed[:BEGUN]
        return self._loading if ours else None

    def script(
        self,
        name: str,
        keys: Sequence[str],
        arguments: dict[str, Any],
        idempotency: Idempotency | None = None,
        until: Callable[[Any], int] | None = None,
    ) -> Reply:
        """Return the reply of a script. `arguments` have the names of its bindings. Raises KeyError.

        With `idempotency`, the script's second function is called, if it has one, which remembers its reply
        (lua/include/once.lua).
        """
        scripts, send = self.library.scripts, self.redis.send
        if idempotency is not None and (second := scripts.get(name + ONCE)) is not None:
            keys = (*keys, remembered(keys[0], idempotency.digest))
            packed = second.packed(keys, arguments, (idempotency.fingerprint, idempotency.remark))
            return Reply(NOBODY, packed, second.writes, 0.0, 0, keys[0], send)
        script = scripts[name]
        packed = script.packed(keys, arguments)
        return Reply(NOBODY, packed, script.writes, 0.0, 0, keys[0], send, None, until, keys)

    def run(
        self,
        name: str,
        keys: Sequence[str],
        /,
        idempotency: Idempotency | None = None,
        until: Callable[[Any], int] | None = None,
        **arguments: Any,
    ) -> Reply:
        """Return the reply of a script (see `script`). `until` is that of Reply, for reading scripts."""
        return self.script(name, keys, arguments, idempotency, until)

    def get(self, key: str, decode: Callable[[bytes | None], Any], until: Callable[[bytes | None], int]) -> Reply:
        """Return the reply of a GET that replicas may answer. `key` is ASCII. Packing it here halves the time."""
        packed = f"*2\r\n$3\r\nGET\r\n${len(key)}\r\n{key}\r\n".encode()
        return Reply(NOBODY, packed, None, 0.0, 0, key, self.redis.send, decode, until)

    def command(
        self,
        *command: str | bytes | int,
        key: str,
        write: bool | None = False,
        until: Callable[[Any], int] | None = None,
        keys: Sequence[str] = (),
    ) -> Reply:
        """Return the reply of a plain command. `write` is that of Command, `until` and `keys` are those of Reply."""
        return Reply(NOBODY, pack(command), write, 0.0, 0, key, self.redis.send, None, until, keys)

    async def bulk(self, *command: str | bytes | int, key: str, write: bool = False) -> Any:
        """Send a command that is long or has a long reply, in its turn, and return the reply. Raises Refusal.

        Such commands have their own lanes, so that short commands of this worker do not wait for them. At most
        `BULK_AT_ONCE` are sent at a time, because Redis's other clients wait until it has read them all.
        """
        async with self._turns.turn():
            return await Reply(NOBODY, pack(command), write, 0.0, 0, key, self.redis.send_bulk)
