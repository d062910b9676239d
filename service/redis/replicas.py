"""Reads from replicas, for whoever asks for them: a bare read that may be a little old is spread over them.

A replica answers by what it has received so far. One that is away, silent, loading or out of touch with its primary
answers nothing: the read goes to a primary, which sends it on where it belongs.
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
    """`make` makes a lane to a node; `to_primary` takes a read that no replica has answered."""

    def __init__(self, make: Callable[..., Lane], to_primary: Callable[[Command], None], *, cluster: bool) -> None:
        self._to_primary = to_primary
        prepare = _read_only if cluster else None
        self.fleet = Fleet(lambda node: make(node, on_connect=prepare, redirect=self._refused), to_primary)

    def know(self, nodes: Collection[Node]) -> None:
        """These are all the replicas from now on."""
        for node in nodes:
            self.fleet.to(node)
        self.fleet.keep(nodes)

    def any_of(self, nodes: Collection[Node]) -> Lane | None:
        """A lane to one of these, if there is one that answers."""
        found = [lane for lane in map(self.fleet.to, nodes) if answers(lane)]
        return random.choice(found) if found else None

    def tend(self) -> None:
        """Let nobody wait for a replica that is away; to be called every now and then."""
        for lane in self.fleet.lanes:
            if not answers(lane):
                lane.abort("the replica is silent")
                self.fleet.empty(lane)

    def _refused(self, command: Command, error: Rejected) -> bool:
        if error.word not in TRANSIENT and error.word != "MOVED":
            return False
        self._to_primary(command)
        return True


async def _read_only(ask: Ask) -> None:
    """Let a replica of a cluster answer reads itself, where it would name its primary."""
    await ask("READONLY")
