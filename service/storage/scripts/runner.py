"""Makes commands and scripts into replies to be awaited (service/storage/scripts/reply.py).

The one place where `EVALSHA` is spelled, and where a script that the server has forgotten (`NOSCRIPT`: a restart, a
failover, a flush) is sent again as `EVAL`.
"""

from collections.abc import Callable, Sequence
from typing import Any

from service.redis.check import inspect
from service.redis.client import Redis
from service.redis.pending import NOBODY, Command
from service.redis.wire import Ask, pack
from service.storage.keys import remembered
from service.storage.scripts import library as scripts
from service.storage.scripts.idempotency import Idempotency
from service.storage.scripts.library import ONCE, Script
from service.storage.scripts.reply import Reply
from service.storage.scripts.turns import Turns

BULK_AT_ONCE = 3  # long commands of a worker


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
        self._turns = Turns(BULK_AT_ONCE)
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

    def script(
        self, name: str, keys: Sequence[str], arguments: dict[str, Any], idempotency: Idempotency | None = None,
        until: Callable[[Any], int] | None = None,
    ) -> Reply:  # fmt: skip
        """The reply of a script. `arguments` are named as its bindings are. Raises KeyError (a name is missing).

        `idempotency`: of its second form, where it has one, which remembers what it did (lua/include/once.lua).
        """
        if idempotency is not None and (second := self._sent.get(name + ONCE)) is not None:
            script, _, sha = second
            keys = (*keys, remembered(keys[0], idempotency.digest))
            args = (
                "EVALSHA",
                sha,
                len(keys),
                *keys,
                *script.pick(arguments),
                idempotency.fingerprint,
                idempotency.remark,
            )
            return Reply(NOBODY, pack(args), script.writes, 0.0, 0, keys[0], self.redis.send)
        script, _, sha = self._sent[name]
        packed = script.packed(sha, keys, arguments)
        return Reply(NOBODY, packed, script.writes, 0.0, 0, keys[0], self.redis.send, None, until, keys)

    def run(
        self, name: str, keys: Sequence[str], /, idempotency: Idempotency | None = None,
        until: Callable[[Any], int] | None = None, **arguments: Any,
    ) -> Reply:  # fmt: skip
        """See `script`; `until` is as in Reply, for one that only reads, and only its keys."""
        return self.script(name, keys, arguments, idempotency, until)

    def get(self, key: str, decode: Callable[[bytes | None], Any], until: Callable[[bytes | None], int]) -> Reply:
        """The reply of a GET that replicas may answer; `key` is ASCII. Packed here, it takes half of the time."""
        packed = f"*2\r\n$3\r\nGET\r\n${len(key)}\r\n{key}\r\n".encode()
        return Reply(NOBODY, packed, None, 0.0, 0, key, self.redis.send, decode, until)

    def command(self, *command: str | bytes | int, key: str, write: bool | None = False) -> Reply:
        """The reply of a plain command; `write` is as in Command."""
        return Reply(NOBODY, pack(command), write, 0.0, 0, key, self.redis.send)

    async def bulk(self, *command: str | bytes | int, key: str, write: bool = False) -> Any:
        """The reply of a command that is long, or whose answer is, when it is its turn. Raises Refusal.

        Such commands go on lanes of their own: a short one of this worker stands behind none of them, and those of
        others behind few, for what Redis has received it serves in one go.
        """
        async with self._turns.turn():
            return await Reply(NOBODY, pack(command), write, 0.0, 0, key, self.redis.send_bulk)
