"""Lanes to several nodes, opened when they are needed and closed when they are not needed any more.

Invariant: the commands that a closed lane had not sent go to `pass_on`, and the counts of the lane are kept.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress

from service.redis.ending import end
from service.redis.lane import Lane
from service.redis.pending import Command
from service.redis.topology import Node

LEAVE_SECONDS = 1.0  # time for the missing replies when a lane is closed
SILENT_SECONDS = 1.0  # a node that sends no reply for this time counts as silent

COUNTED = ("commands", "round_trips", "retries", "reconnects")


class Fleet:
    """The lanes to a changing set of nodes. `make` makes the lane to a node, and the fleet starts it."""

    def __init__(self, make: Callable[[Node], Lane], pass_on: Callable[[Command], None]) -> None:
        self._make = make
        self._pass_on = pass_on
        self._lanes: dict[Node, Lane] = {}
        self._leaving: set[Lane] = set()
        self._former: Counter[str] = Counter()  # the counts of closed lanes
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def lanes(self) -> Sequence[Lane]:
        return list(self._lanes.values())

    @property
    def answering(self) -> list[tuple[Node, Lane]]:
        """The nodes and lanes that are connected and not silent."""
        return [item for item in self._lanes.items() if answers(item[1])]

    def total(self, name: str) -> float:
        """Return the sum of a counter over all lanes, closed ones included, or the depth of the open lanes."""
        return self._former[name] + float(sum(getattr(lane, name) for lane in (*self.lanes, *self._leaving)))

    def to(self, node: Node) -> Lane:
        """Return the lane to a node; open one if there is none."""
        lane = self._lanes.get(node)
        if lane is None:
            lane = self._lanes[node] = self._make(node)
            lane.start()
        return lane

    def keep(self, nodes: Collection[Node]) -> None:
        """Close the lanes to all other nodes."""
        for node in self._lanes.keys() - set(nodes):
            lane = self._lanes.pop(node)
            self._leaving.add(lane)
            task = asyncio.create_task(self._leave(lane))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def empty(self, lane: Lane) -> None:
        """Give the commands that a lane has not sent to `pass_on`."""
        for command in lane.drain():
            self._pass_on(command)

    async def _leave(self, lane: Lane) -> None:
        self.empty(lane)
        with suppress(TimeoutError):
            async with asyncio.timeout(LEAVE_SECONDS):
                while lane.depth and lane.connected:
                    await asyncio.sleep(0.01)
                    self.empty(lane)
        lane.abort("the node is not needed any more")
        self.empty(lane)
        await lane.close()
        self._leaving.discard(lane)
        self._former.update({name: getattr(lane, name) for name in COUNTED})

    async def close(self) -> None:
        await end(*self._tasks)
        await asyncio.gather(*(lane.close() for lane in (*self.lanes, *self._leaving)))


def answers(lane: Lane) -> bool:
    return lane.connected and lane.silence < SILENT_SECONDS
