"""What storage sees of Redis: commands go to the node that holds their key, in any topology.

Invariant: callers name the key of every command, so that a topology of many nodes needs no change in them.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any, Protocol

from service.redis import address
from service.redis.cluster import Cluster
from service.redis.errors import NotSent
from service.redis.lane import Lane
from service.redis.pending import Outcome
from service.redis.sentinel import Watched
from service.redis.wire import Argument, Ask


class Execute(Protocol):
    """Sends a command to the node of `key`; see `Lane.execute` for what the future gets.

    `write` says that the command must not run twice: without it, it is repeated when a connection is lost. None is a
    read whose answer may be a little old, so that a replica may give it where replicas are read.
    """

    def __call__(self, *args: Argument, key: str | bytes, write: bool | None) -> asyncio.Future[Any]: ...


class Send(Protocol):
    """The same for a packed command and a caller that takes the outcome itself; see `Lane.send`."""

    def __call__(self, outcome: Outcome, packed: bytes, *, key: str | bytes, write: bool | None) -> None: ...


class Redis:
    """A Redis, of any topology: its `nodes` have a lane per primary, and the ways from a key to one of them."""

    def __init__(self, nodes: Lane | Watched | Cluster) -> None:
        self._nodes = nodes
        self.cluster = isinstance(nodes, Cluster)
        self.execute: Execute = nodes.execute
        self.send: Send = nodes.send

    @staticmethod
    def open(
        url: str,
        *,
        timeout: float = 5.0,
        max_commands: int = 10_000,
        max_bytes: int = 256 * 1024 * 1024,
        on_connect: Callable[[Ask], Awaitable[None]] | None = None,
        read_replicas: bool = False,
    ) -> "Redis":
        """The Redis at `url`; nothing is sent before `connect`. See Lane and Execute for the parameters.

        To be called inside a running event loop. Raises ValueError, in words, for a URL that cannot be used.
        """
        where = address.parse(url)
        make = partial(Lane, timeout=timeout, max_commands=max_commands, max_bytes=max_bytes)
        if where.topology == "cluster":
            return Redis(Cluster(where, make, on_connect, read_replicas=read_replicas))
        if where.topology == "sentinel":
            return Redis(Watched(where, make, on_connect, read_replicas=read_replicas))
        return Redis(make(partial(address.connection, where), name=str(where), on_connect=on_connect))

    @property
    def lanes(self) -> Sequence[Lane]:
        """A lane per primary, as they are now."""
        return [self._nodes] if isinstance(self._nodes, Lane) else self._nodes.lanes

    def total(self, name: str) -> float:
        """A counter of all lanes that ever were, or the depth of those that are."""
        return float(getattr(self._nodes, name)) if isinstance(self._nodes, Lane) else self._nodes.total(name)

    async def ping(self) -> None:
        """Return when a primary has answered: where one of several is away, the others' slots are served all the same.

        Raises NotSent.
        """
        asked = {lane.execute("PING", write=False) for lane in self.lanes}
        failures: list[BaseException | None] = [NotSent("no primary is known")]
        try:
            while asked:
                done, asked = await asyncio.wait(asked, return_when=asyncio.FIRST_COMPLETED)
                failures = [ping.exception() for ping in done]
                if None in failures:
                    return
        finally:
            for ping in asked:
                ping.cancel()
        raise next(filter(None, failures))

    async def connect(self, within: float = 5.0) -> None:
        """Wait until every lane is connected; of a cluster, one at least. Raises NotSent, in words; they go on trying
        until `close`."""
        await self._nodes.connect(within)

    async def close(self) -> None:
        await self._nodes.close()
