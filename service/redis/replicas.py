"""Reads from replicas: reads whose answer may be slightly old are spread over the replicas.

A replica answers with the data that it has received so far. If it is not connected, silent, loading or cut off from its
primary, the read goes to a primary instead.
"""

import random
from collections.abc import Callable, Collection

from service.redis.errors import Rejected
from service.redis.fleet import Fleet, answers
from service.redis.lane import Lane
from service.redis.pending import TRANSIENT, Command
from service.redis.topology import Node
from service.redis.wire import Ask


class Replicas:
    """The lanes to replicas. `make` makes a lane to a node; `to_primary` takes a read that a replica has refused."""

    def __init__(self, make: Callable[..., Lane], to_primary: Callable[[Command], None], *, cluster: bool) -> None:
        self._to_primary = to_primary
        prepare = _read_only if cluster else None
        self.fleet = Fleet(lambda node: make(node, on_connect=prepare, redirect=self._refused), to_primary)

    def know(self, nodes: Collection[Node]) -> None:
        """Set the replicas that are used from now on."""
        for node in nodes:
            self.fleet.to(node)
        self.fleet.keep(nodes)

    def any_of(self, nodes: Collection[Node]) -> Lane | None:
        """Return a lane to one of these replicas, or None if none answers."""
        found = [lane for lane in map(self.fleet.to, nodes) if answers(lane)]
        return random.choice(found) if found else None

    def leave_silent(self) -> None:
        """Close connections to silent replicas and pass on the reads that wait for them. Must be called regularly."""
        for lane in self.fleet.lanes:
            if not answers(lane):
                lane.abort("the replica does not answer")
                self.fleet.empty(lane)

    def _refused(self, command: Command, error: Rejected) -> bool:
        if error.word not in TRANSIENT and error.word != "MOVED":
            return False
        self._to_primary(command)
        return True


async def _read_only(ask: Ask) -> None:
    """Let a replica of a cluster answer reads; without READONLY it would answer MOVED."""
    await ask("READONLY")
