"""The map from slots to nodes of a Redis Cluster, as its nodes tell it (the Redis Cluster specification).

No state: what is done with a view is decided in `cluster`.
"""

import re
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

from redis.cluster import parse_cluster_slots
from redis.crc import REDIS_CLUSTER_HASH_SLOTS, key_slot
from redis.exceptions import MovedError

from service.redis.errors import NotSent, Rejected

SLOTS = REDIS_CLUSTER_HASH_SLOTS

_epoch = re.compile(rb"^cluster_current_epoch:([0-9]+)", re.MULTILINE)

Node = tuple[str, int]  # host and port


class Range(NamedTuple):
    """Slots that follow each other, both ends included, and who has them."""

    first: int
    last: int
    primary: Node
    replicas: tuple[Node, ...]


class View(NamedTuple):
    """The slots and nodes as one node knows them. Of two views that of the later epoch is right: each change of owners
    begins one."""

    epoch: int
    ranges: tuple[Range, ...]

    @property
    def rank(self) -> tuple[int, int]:
        """Grows with how far a view can be believed."""
        return self.epoch, sum(each.last - each.first + 1 for each in self.ranges)

    @property
    def nodes(self) -> set[Node]:
        return {node for each in self.ranges for node in (each.primary, *each.replicas)}


def slot(key: str | bytes) -> int:
    """The slot of a key: that of its hash tag, if it has one."""
    return int(key_slot(key if isinstance(key, bytes) else key.encode()))


async def look(ask: Callable[..., Awaitable[Any]], host: str) -> View:
    """Ask one node, reached at `host`. Raises NotSent, in words, where it is of no cluster that serves."""
    try:
        info, slots = await ask("CLUSTER", "INFO"), await ask("CLUSTER", "SLOTS")
    except Rejected as error:
        raise NotSent(error.message) from None
    epoch = _epoch.search(info)
    parsed = parse_cluster_slots(slots, current_host=host)
    ranges = tuple(
        Range(first, last, nodes["primary"], tuple(nodes["replicas"])) for (first, last), nodes in parsed.items()
    )
    if not ranges:
        raise NotSent("the cluster has no node that serves a slot")
    return View(int(epoch[1]) if epoch else 0, ranges)


def redirection(error: Rejected, host: str) -> tuple[int, Node] | None:
    """Slot and node that a MOVED or ASK names; None for any other error. `host` is who said it: Redis 7 may leave
    the host out and mean itself."""
    if error.word not in ("MOVED", "ASK"):
        return None
    try:
        told = MovedError(error.message.partition(" ")[2])
    except ValueError:
        return None
    return (told.slot_id, (told.host or host, told.port)) if 0 <= told.slot_id < SLOTS else None
