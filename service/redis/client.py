"""The interface of Redis for storage: commands go to the node that holds their key, in any topology.

Invariant: callers name the key of every command, so that a topology of many nodes needs no change in them.
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
from service.redis.lane import BulkLane, Lane
from service.redis.pending import Command
from service.redis.sentinel import Watched
from service.redis.tracking import Tracker, Tracking
from service.redis.wire import Argument, Prepare, pack

Send: TypeAlias = Callable[[Command], None]  # see `Lane.send`
Nodes: TypeAlias = Lane | Watched | Cluster


class Redis:
    """A Redis, of any topology: its `nodes` have a lane per primary, and the ways from a key to one of them.

    `send_bulk` is for what is long: where there are lanes for it (`bulk`), no other command stands behind it.
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
        """The Redis at `url`; nothing is sent before `connect`. See Lane for the other parameters.

        `bulk`: with lanes of their own, to primaries, for what is long; `tracking`: with a Tracker of each primary. On
        neither `on_connect` runs.

        To be called inside a running event loop. Raises ValueError, in words, for a URL that cannot be used.
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
        """Send a command to the node of its key; its future gets the reply, or one of the failures of `errors`."""
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self.send(Command(future, pack(args), write, key=key))
        return future

    @property
    def lanes(self) -> Sequence[Lane]:
        """A lane per primary, as they are now; not those for what is long."""
        return [self._nodes] if isinstance(self._nodes, Lane) else self._nodes.lanes

    @property
    def trackers(self) -> Sequence[Tracker]:
        """One for each primary, as they are now; none where there is no tracking."""
        lanes = [self._tracking] if isinstance(self._tracking, Lane) else self._tracking.lanes if self._tracking else ()
        return [lane for lane in lanes if isinstance(lane, Tracker)]

    def tracker(self, key: str | bytes) -> Tracker | None:
        """That of the primary which has this key, if it can be used."""
        nodes = self._tracking
        if isinstance(nodes, Cluster):
            nodes = nodes.of(key)
        elif isinstance(nodes, Watched):
            nodes = nodes.lane
        return nodes if isinstance(nodes, Tracker) and nodes.ready else None

    def total(self, name: str) -> float:
        """A counter of all lanes that ever were, or the depth of those that are."""
        return sum(float(getattr(each, name)) if isinstance(each, Lane) else each.total(name) for each in self._all)

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
        connecting = [each.connect(within) for each in self._all if each is not self._tracking]
        if self._tracking is not None:
            connecting.append(_willingly(self._tracking.connect(within)))
        await asyncio.gather(*connecting)

    async def close(self) -> None:
        await asyncio.gather(*(each.close() for each in self._all))


def _nodes(where: Address, make: Callable[..., Lane], on_connect: Prepare | None, read_replicas: bool) -> Nodes:
    if where.topology == "cluster":
        return Cluster(where, make, on_connect, read_replicas=read_replicas)
    if where.topology == "sentinel":
        return Watched(where, make, on_connect, read_replicas=read_replicas)
    return make(partial(address.connection, where), name=str(where), on_connect=on_connect)


async def _willingly(connecting: Awaitable[None]) -> None:
    """Connect to what can be done without."""
    with suppress(NotSent):
        await connecting
