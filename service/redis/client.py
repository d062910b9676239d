"""The client that storage uses: it sends each command to the node that holds its key, in any topology.

Invariant: callers name the key of every command, so they need not know the topology.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, TypeAlias

from service.redis import address
from service.redis.address import Address
from service.redis.cluster import Cluster
from service.redis.errors import NotSent
from service.redis.lane import START_SECONDS, BulkLane, Lane
from service.redis.pending import Command
from service.redis.sentinel import Watched
from service.redis.tracking import Tracker, Tracking
from service.redis.wire import Argument, Prepare, pack

Send: TypeAlias = Callable[[Command], None]  # see `Lane.send`
Nodes: TypeAlias = Lane | Watched | Cluster


class Redis:
    """A Redis of any topology. `nodes` has a lane for each primary and finds the lane of a key.

    `send_bulk` is for long commands. With `bulk` it uses separate lanes, so that short commands do not wait for them.
    """

    def __init__(
        self, nodes: Nodes, bulk: Nodes | None = None, tracking: Nodes | None = None, shared: Tracking | None = None
    ) -> None:
        self._nodes = nodes
        self._tracking = tracking
        self.tracking = shared or Tracking()
        self._all = tuple(each for each in (nodes, bulk, tracking) if each is not None)
        self.cluster = isinstance(nodes, Cluster)
        self.send: Send = nodes.send
        self.send_bulk: Send = (bulk or nodes).send

    @staticmethod
    def open(
        url: str,
        *,
        on_connect: Prepare | None = None,
        read_replicas: bool = False,
        bulk: bool = False,
        tracking: bool = False,
        **options: Any,
    ) -> "Redis":
        """Return the Redis at `url`. Nothing is sent before `connect`. The other parameters are those of Lane.

        `bulk` adds separate lanes to the primaries for long commands; `tracking` adds a Tracker for each primary.
        `on_connect` does not run on the connections of `bulk` and `tracking`.

        Must be called inside a running event loop. Raises ValueError, with a text for the operator, for a URL that
        cannot be used.
        """
        where, make = address.parse(url), partial(Lane, **options)
        nodes = _nodes(where, make, on_connect, read_replicas)
        shared = Tracking()
        track = partial(Tracker, shared=shared, cluster=where.topology == "cluster", **options)
        return Redis(
            nodes,
            _nodes(where, partial(BulkLane, **options), None, False) if bulk else None,
            _nodes(where, track, None, False) if tracking else None,
            shared,
        )

    def execute(self, *args: Argument, key: str | bytes, write: bool | None) -> asyncio.Future[Any]:
        """Send a command to the node of its key. The future gets the reply or one of the failures of `errors`."""
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self.send(Command(future, pack(args), write, key=key))
        return future

    @property
    def lanes(self) -> Sequence[Lane]:
        """The lanes to the primaries that are known now, without those for long commands."""
        return [self._nodes] if isinstance(self._nodes, Lane) else self._nodes.lanes

    @property
    def trackers(self) -> Sequence[Tracker]:
        """The trackers of the primaries that are known now; empty without `tracking`."""
        lanes = [self._tracking] if isinstance(self._tracking, Lane) else self._tracking.lanes if self._tracking else ()
        return [lane for lane in lanes if isinstance(lane, Tracker)]

    def tracker(self, key: str | bytes) -> Tracker | None:
        """Return the tracker of the primary that holds a key, or None if it cannot be used now."""
        nodes = self._tracking
        if isinstance(nodes, Cluster):
            nodes = nodes.of(key)
        elif isinstance(nodes, Watched):
            nodes = nodes.lane
        return nodes if isinstance(nodes, Tracker) and nodes.ready else None

    def total(self, name: str) -> float:
        """Return the sum of a counter over all lanes, closed ones included, or the depth of the open lanes."""
        return sum(float(getattr(each, name)) if isinstance(each, Lane) else each.total(name) for each in self._all)

    async def ping(self) -> None:
        """Wait until one primary has answered. In a cluster one is enough: it serves its slots while others are down.

        Raises NotSent if none answers.
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

    async def connect(self, within: float = START_SECONDS) -> None:
        """Wait until every lane is connected; in a cluster, until one is.

        Raises NotSent, with a text for the operator. The lanes go on trying to connect until `close`.
        """
        connecting = [each.connect(within) for each in self._all if each is not self._tracking]
        if self._tracking is not None:
            connecting.append(_ignoring_failure(self._tracking.connect(within)))
        await asyncio.gather(*connecting)

    async def close(self) -> None:
        await asyncio.gather(*(each.close() for each in self._all))


def _nodes(where: Address, make: Callable[..., Lane], on_connect: Prepare | None, read_replicas: bool) -> Nodes:
    if where.topology == "cluster":
        return Cluster(where, make, on_connect, read_replicas=read_replicas)
    if where.topology == "sentinel":
        return Watched(where, make, on_connect, read_replicas=read_replicas)
    return make(partial(address.connection, where), name=str(where), on_connect=on_connect)


async def _ignoring_failure(connecting: Awaitable[None]) -> None:
    """Wait for a connection that the service does not need; ignore its failure."""
    with suppress(NotSent):
        await connecting
