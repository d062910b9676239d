"""The access directory: the callers, and the projects, agents and so on that the access document declares.

Each entry is a key of its own in Redis. A token is named by its SHA-256 and is never stored in the clear. A
worker caches what it has looked up. Every change of the directory starts a new generation, a number in Redis,
which each worker reads every 0.4 s (`POLL`). If it has not changed, the worker may use its cache for one second after
the number was read. So a revoked token stops working everywhere within one second, even if Redis cannot be reached.

An earlier number comes back if Redis loses a change: in a failover, or when a backup is restored. A worker that has not
read the number of the lost change would keep what it had looked up since the change. So nothing is cached while the
number is not confirmed, and each new connection to Redis empties the cache.
"""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from logging import getLogger
from time import time
from typing import Any

from msgpack import packb, unpackb

from service.redis.errors import Failed
from service.storage import keys
from service.storage.errors import Refusal, Unauthenticated
from service.storage.scripts.fan_out import fan_out
from service.storage.scripts.runner import Runner

FRESH = 1.0  # seconds for which the cache may be used after the generation was read
POLL = 0.4  # seconds between two readings of the generation
SIZE = 20_000  # cached entries, unknown tokens included; a fuller cache is emptied
BYTES = 64 * 1024 * 1024  # size of the cached entries, as stored in Redis; a larger cache is emptied
CACHED_IDS = 100_000  # cached ids of one kind: some 14 MB; if there are more, all of the kind are dropped

log = getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Caller:
    """The author of a request. `claims` belong to the dialect; `rate` is requests per seconds; `expires` is a
    Unix time or None.

    Ids that are stored in a record's header have a bounded length (record.CALLER_ID_BYTES).
    """

    id: str
    claims: Mapping[str, Any]
    rate: tuple[int, float] | None = None
    expires: float | None = None


@dataclass(frozen=True, slots=True)
class Token:
    """A declared credential. `name` identifies it in the document, in dialects that name tokens.

    If `token` is None, one is generated, unless the name has one already.
    """

    caller: Caller
    token: str | None = None
    name: str | None = None
    remove: bool = False


@dataclass(frozen=True, slots=True)
class Entry:
    """A declared object; `value` None removes it.

    `meters` is the namespace whose quota the entry may change. Its usage is counted again then, because usage
    is not stored while there is no quota.
    """

    kind: str
    id: str
    value: dict[str, Any] | None
    meters: str | None = None


class Directory:
    """The access directory as one worker sees it.

    `generation` is the generation of the cache, or None if it is not confirmed: then nothing in the cache may
    be used. An object that depends on the directory is valid while `generation` stays the same number.
    """

    def __init__(self, runner: Runner) -> None:
        self._run = runner.run
        self.command = self._command = runner.command
        self._entries: dict[tuple[str, str, str], tuple[Any]] = {}  # by dialect, kind and id; tokens by their digests
        self._entries_bytes = 0
        self._values: defaultdict[tuple[str, str], dict[str, Any]] = defaultdict(dict)  # by dialect and kind
        self._stored_generation: bytes | None = None
        self.generation: int | None = None
        self._cache_generation = 0
        runner.connected.append(self._empty)

    async def caller(self, dialect: str, token: str) -> Caller:
        """Return the caller with that token. Raises Unauthenticated."""
        caller: Caller | None = await self._look_up(dialect, "token", digest(token), _caller)
        if caller is None:
            raise Unauthenticated("the token is unknown")
        if caller.expires is not None and caller.expires <= time():
            raise Unauthenticated("the token has expired", expired=True)
        return caller

    async def find_entry(self, dialect: str, kind: str, id: str) -> dict[str, Any] | None:
        """Return the declared value of that kind and id, or None."""
        if self.generation is not None and (kept := self._entries.get((dialect, kind, id))) is not None:
            found: dict[str, Any] | None = kept[0]
        else:
            found = await self._look_up(dialect, kind, id, unpackb)
        return found

    async def _look_up(self, dialect: str, kind: str, id: str, decode: Callable[[bytes], Any]) -> Any:
        key = keys.entry(dialect, kind, id)

        async def look() -> Any:
            packed = await self._command("GET", key, key=key)
            self._entries_bytes += len(key) + len(packed or b"")
            return None if packed is None else decode(packed)

        return await self.cached(dialect, kind, id, look)

    async def cached(self, dialect: str, kind: str, id: str, look: Callable[[], Awaitable[Any]]) -> Any:
        """Return the cached value of that kind and id; if there is none, cache and return the result of `look`."""
        if self.generation is not None and (kept := self._entries.get((dialect, kind, id))) is not None:
            return kept[0]
        generation = self.generation
        found = await look()
        if generation is not None and generation == self.generation:  # else it may belong to another generation
            if len(self._entries) >= SIZE or self._entries_bytes > BYTES:
                self._entries.clear()
                self._entries_bytes = 0
            self._entries[dialect, kind, id] = (found,)
        return found

    def cached_values(self, dialect: str, kind: str) -> Mapping[str, Any]:
        """Return all valid values that `cached_many` has cached, by id."""
        return self._values[dialect, kind] if self.generation is not None else {}

    async def cached_many(
        self, dialect: str, kind: str, ids: Sequence[str], ask: Callable[[Sequence[str]], Awaitable[Sequence[Any]]]
    ) -> list[Any]:
        """Return a value for each id, never None. `ask` is called once, with the ids that are not cached.

        Only the dialect knows the meaning of the values. The ids are short, so very many may be cached.
        """
        cached = self.cached_values(dialect, kind)
        found = {id: cached.get(id) for id in ids}
        if unknown := [id for id, value in found.items() if value is None]:
            generation = self.generation
            replied = dict(zip(unknown, await ask(unknown), strict=True))
            found |= replied
            if generation is not None and generation == self.generation:
                cached_values = self._values[dialect, kind]
                if len(cached_values) + len(replied) > CACHED_IDS:
                    cached_values.clear()
                cached_values |= replied
        return [found[id] for id in ids]

    async def watch(self) -> None:
        """Read the generation regularly, until the worker ends."""
        loop = asyncio.get_running_loop()
        end = loop.call_later(0, self._stale)
        while True:
            asked = loop.time()
            try:
                stored = await self._command("GET", keys.GENERATION, key=keys.GENERATION)
            except (Refusal, Failed) as error:  # not confirmed, so the cache is soon not used any more
                log.debug("the generation could not be read: %s", error)
            else:
                if stored != self._stored_generation:
                    self._empty()
                    self._stored_generation = stored
                end.cancel()
                end = loop.call_at(asked + FRESH, self._stale)
                self.generation = self._cache_generation if loop.time() < asked + FRESH else None
            await asyncio.sleep(POLL)

    def _empty(self) -> None:
        """Forget everything. Nothing is cached until the generation is read again."""
        self._entries.clear()
        self._entries_bytes = 0
        self._values.clear()
        self._cache_generation += 1
        self._stale()

    def _stale(self) -> None:
        self.generation = None

    async def declare(self, dialect: str, entries: Iterable[Entry]) -> None:
        """Write entries. All workers use them within a second after `invalidate`. Idempotent."""
        await fan_out(partial(self._declare, dialect), entries)

    async def _declare(self, dialect: str, entry: Entry) -> None:
        key = keys.entry(dialect, entry.kind, entry.id)
        if entry.value is None:
            await self._command("DEL", key, key=key, write=True)
        else:
            await self._command("SET", key, packb(entry.value), key=key, write=True)
        if entry.meters is not None:
            usage = keys.usage(dialect, entry.meters)
            await self._command("UNLINK", usage, key=usage, write=True)

    async def invalidate(self) -> None:
        """Start a new generation, so that every worker looks up its cached entries again."""
        await self._run("invalidate", (keys.GENERATION,))


def digest(token: str) -> str:
    """Return the name under which a token is stored. Tokens are long and random, so a fast hash is good enough."""
    return sha256(token.encode("utf-8", "surrogateescape")).hexdigest()


def token_entry(digest: str, caller: Caller) -> Entry:
    """Return the entry of a token with that digest."""
    value = {"id": caller.id, "claims": dict(caller.claims), "rate": caller.rate, "expires": caller.expires}
    return Entry("token", digest, value)


def _caller(packed: bytes) -> Caller:
    value = unpackb(packed)
    rate = value["rate"]
    return Caller(value["id"], value["claims"], tuple(rate) if rate else None, value["expires"])
