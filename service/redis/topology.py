"""The map from slots to nodes of a Redis Cluster, as a node reports it (see the Redis Cluster specification).

This module has no state; `cluster` keeps the map.
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
    """A range of slots, both ends included, with its primary and replicas."""

    first: int
    last: int
    primary: Node
    replicas: tuple[Node, ...]


class View(NamedTuple):
    """The slots and nodes as one node knows them. The view with the higher epoch is newer: each change of a slot's
    owner increments it."""

    epoch: int
    ranges: tuple[Range, ...]

    @property
    def rank(self) -> tuple[int, int]:
        """The order of views: the newer one, and then the one with more slots, is to be used."""
        return self.epoch, sum(each.last - each.first + 1 for each in self.ranges)

    @property
    def nodes(self) -> set[Node]:
        return {node for each in self.ranges for node in (each.primary, *each.replicas)}


def slot(key: str | bytes) -> int:
    """Return the slot of a key, or of its hash tag if it has one."""
    return int(key_slot(key if isinstance(key, bytes) else key.encode()))


async def look(ask: Callable[..., Awaitable[Any]], host: str) -> View:
    """Return the view of the node at `host`. Raises NotSent if the node is not in a cluster that serves slots."""
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
    """Return the slot and the node that a MOVED or ASK names; None for any other error.

    `host` is the node that sent the error. Redis 7 may leave the host out of the error, which stands for the sender.
    """
    if error.word not in ("MOVED", "ASK"):
        return None
    try:
        moved = MovedError(error.message.partition(" ")[2])
    except ValueError:
        return None
    return (moved.slot_id, (moved.host or host, moved.port)) if 0 <= moved.slot_id < SLOTS else None
