"""The access directory: who may call, and what the access document declared about projects, agents and the like.

Entries lie in Redis one by one; tokens are named by their SHA-256 and are nowhere in the clear. A worker keeps what it
looked up. Every change advances one number, the epoch, which each worker reads twice a second: while it is confirmed
unchanged, what is kept stays good; where it cannot be confirmed for a second, nothing that is kept is used. So a
revoked token stops working everywhere within one second, also when a message would have been lost.
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

FRESH = 1.0  # seconds for which what is kept may be used after the epoch was asked for
POLL = 0.4  # seconds between two readings of the epoch
SIZE = 20_000  # entries kept (also of unknown tokens); the cache starts afresh beyond that
BYTES = 64 * 1024 * 1024  # of what is kept, as it is stored in Redis; afresh beyond that too
LEARNED = 100_000  # ids kept of one kind: some 14 MB; afresh beyond that too

log = getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls. `claims` are the dialect's own; `rate` is requests per seconds; `expires` is a Unix time or None.

    `id` and whatever else gets into a record's header are bounded there (records.CALLER_ID_BYTES).
    """

    id: str
    claims: Mapping[str, Any]
    rate: tuple[int, float] | None = None
    expires: float | None = None


@dataclass(frozen=True, slots=True)
class Token:
    """A declared credential. `name` identifies it in the document where the dialect names its tokens; `token` None
    asks for one to be generated, unless the name has one."""

    caller: Caller
    token: str | None = None
    name: str | None = None
    remove: bool = False


@dataclass(frozen=True, slots=True)
class Entry:
    """A declared thing; `value` None removes it. `meters` names the namespace whose quota it may change: what that uses
    is counted afresh, for without a quota nobody kept count."""

    kind: str
    id: str
    value: dict[str, Any] | None
    meters: str | None = None


class Directory:
    def __init__(self, runner: Runner) -> None:
        self._run = runner.run
        self.command = self._command = runner.command
        self._entries: dict[tuple[str, str, str], tuple[Any]] = {}  # tokens by their digests
        self._entries_bytes = 0
        self._values: defaultdict[tuple[str, str], dict[str, Any]] = defaultdict(dict)  # by dialect and kind
        self._stored_generation: bytes | None = None
        # What was kept at this number is still good while it is this number; None: nothing is, for the epoch was not
        # confirmed within the last `FRESH` seconds.
        self.generation: int | None = None
        self._cache_generation = 0

    async def caller(self, dialect: str, token: str) -> Caller:
        """The caller with that token. Raises Unauthenticated."""
        caller: Caller | None = await self._look_up(dialect, "token", digest(token), _caller)
        if caller is None:
            raise Unauthenticated("the token is unknown")
        if caller.expires is not None and caller.expires <= time():
            raise Unauthenticated("the token has expired", expired=True)
        return caller

    async def find_entry(self, dialect: str, kind: str, id: str) -> dict[str, Any] | None:
        """What was declared of that kind under that id."""
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
        """What is kept under that kind and id, else what `look` finds, which is kept from then on."""
        if self.generation is not None and (kept := self._entries.get((dialect, kind, id))) is not None:
            return kept[0]
        generation = self._cache_generation
        found = await look()
        if generation == self._cache_generation:  # else the answer may be older than the change that cleared the cache
            if len(self._entries) >= SIZE or self._entries_bytes > BYTES:
                self._entries.clear()
                self._entries_bytes = 0
            self._entries[dialect, kind, id] = (found,)
        return found

    def cached_values(self, dialect: str, kind: str) -> Mapping[str, Any]:
        """All that `cached_many` replied and that is still good, by id."""
        return self._values[dialect, kind] if self.generation is not None else {}

    async def cached_many(
        self, dialect: str, kind: str, ids: Sequence[str], ask: Callable[[Sequence[str]], Awaitable[Sequence[Any]]]
    ) -> list[Any]:
        """What is known of each id by rules of the dialect's own, never None: `ask` is asked once for those that are
        not kept, and what it replies is kept as entries are. The ids are short: very many are kept."""
        cached = self.cached_values(dialect, kind)
        found = {id: cached.get(id) for id in ids}
        if unknown := [id for id, value in found.items() if value is None]:
            generation = self._cache_generation
            replied = dict(zip(unknown, await ask(unknown), strict=True))
            found |= replied
            if generation == self._cache_generation:
                cached_values = self._values[dialect, kind]
                if len(cached_values) + len(replied) > LEARNED:
                    cached_values.clear()
                cached_values |= replied
        return [found[id] for id in ids]

    async def watch(self) -> None:
        """Confirm the epoch again and again, for as long as the worker lives."""
        loop = asyncio.get_running_loop()
        end = loop.call_later(0, self._stale)
        while True:
            asked = loop.time()
            try:
                stored = await self._command("GET", keys.GENERATION, key=keys.GENERATION)
            except (Refusal, Failed) as error:  # not confirmed: what is kept goes out of use by itself
                log.debug("the epoch could not be read: %s", error)
            else:
                if stored != self._stored_generation:
                    self._entries.clear()
                    self._entries_bytes = 0
                    self._values.clear()
                    self._cache_generation += 1
                    self._stored_generation = stored
                end.cancel()
                end = loop.call_at(asked + FRESH, self._stale)
                self.generation = self._cache_generation if loop.time() < asked + FRESH else None
            await asyncio.sleep(POLL)

    def _stale(self) -> None:
        self.generation = None

    async def declare(self, dialect: str, entries: Iterable[Entry]) -> None:
        """Write entries; they count everywhere within a second after `invalidate`. Safe to repeat."""
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
        """Let every worker look up again what it kept."""
        await self._run("invalidate", (keys.GENERATION,))


def digest(token: str) -> str:
    """How a token is named at rest. Tokens are long and random, so a plain hash is as good as a slow one."""
    return sha256(token.encode("utf-8", "surrogateescape")).hexdigest()


def token_entry(digest: str, caller: Caller) -> Entry:
    """The entry of a token, under its digest."""
    value = {"id": caller.id, "claims": dict(caller.claims), "rate": caller.rate, "expires": caller.expires}
    return Entry("token", digest, value)


def _caller(packed: bytes) -> Caller:
    value = unpackb(packed)
    rate = value["rate"]
    return Caller(value["id"], value["claims"], tuple(rate) if rate else None, value["expires"])
