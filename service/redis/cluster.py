"""A Redis Cluster: a lane per primary, commands routed by the slot of their key, and the map of slots kept up to date.

A node that is not the one says so before a command has any effect (MOVED, ASK), and the command goes on to the node
that it names, by the deadline that it has. What a node refuses for the moment (TRYAGAIN, CLUSTERDOWN, LOADING) waits in
its lane. What waits for a node that has lost its slots is given to any other, which knows where it belongs.

Invariant: `_slots` names a lane of `_lanes` for each slot; a slot that no node serves has one that says so.
"""

import asyncio
import logging
import random
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

from service.redis import address
from service.redis.address import Address
from service.redis.errors import NotSent, Rejected
from service.redis.lane import Lane, backoff, hopeless
from service.redis.pending import Command, Outcome
from service.redis.topology import SLOTS, Node, View, look, redirection, slot
from service.redis.wire import Argument, established

log = logging.getLogger(__name__)

CALM_SECONDS = 10.0  # between two looks at a map that nobody doubts
PULSE_SECONDS = 0.25  # between two looks at the lanes
SILENT_SECONDS = 1.0  # without an answer, after which a node's place may be another's
LOOK_SECONDS = 1.0  # that a node may take to tell the map
ASKED = 3  # nodes that are asked at a time
LEAVE_SECONDS = 1.0  # for the answers that a node still owes when it has lost its slots

COUNTED = ("commands", "round_trips", "retries", "reconnects")


class Cluster:
    """See the module. `make` makes a lane: Lane with the settings that all of them share."""

    def __init__(self, where: Address, make: Callable[..., Lane]) -> None:
        self._where = where
        self._make = make
        self._create_future = asyncio.get_running_loop().create_future
        self._lanes: dict[Node, Lane] = {}
        self._leaving: set[Lane] = set()
        self._former: Counter[str] = Counter()  # what lanes that are gone have counted
        self._nodes: set[Node] = set(where.seeds)
        # Before the first view, commands wait in a lane that leads nowhere.
        self._nowhere = make(partial(address.connection, where), name=str(where))
        self._slots: list[Lane] = [self._nowhere] * SLOTS
        self._doubted = asyncio.Event()  # a node said that a slot is elsewhere
        self._attempted = asyncio.Event()
        self._reason = "not connected yet"
        self._hopeless = False
        self._keeper: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def lanes(self) -> Sequence[Lane]:
        """One per primary, as far as is known."""
        return list(self._lanes.values())

    def total(self, name: str) -> float:
        """A count of the lanes, also of those that are gone; or their depth."""
        lanes = (*self._lanes.values(), *self._leaving, self._nowhere)
        return self._former[name] + float(sum(getattr(lane, name) for lane in lanes))

    def execute(self, *args: Argument, key: str | bytes, write: bool) -> asyncio.Future[Any]:
        future = self._create_future()
        self._slots[slot(key)].send(future, args, write=write)
        return future

    def send(self, outcome: Outcome, args: tuple[Argument, ...], *, key: str | bytes, write: bool) -> None:
        self._slots[slot(key)].send(outcome, args, write=write)

    async def connect(self, within: float = 5.0) -> None:
        """Wait, for `within` seconds at most, until every primary is connected; one of them is enough to go on.

        Raises NotSent, in words; at once where waiting cannot help.
        """
        if self._keeper is None:
            self._keeper = asyncio.create_task(self._keep())
        with suppress(TimeoutError):
            async with asyncio.timeout(within):
                while not self._lanes and not self._hopeless:
                    self._attempted.clear()
                    await self._attempted.wait()
                found = await asyncio.gather(*(lane.connect(within) for lane in self.lanes), return_exceptions=True)
                self._reason = next((str(error) for error in found if error), self._reason)
        if not any(lane.connected for lane in self.lanes):
            raise NotSent(f"cannot connect to {self._where}: {self._reason}")

    async def close(self) -> None:
        tasks = [self._keeper, *self._tasks] if self._keeper else []
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.gather(*(lane.close() for lane in (*self.lanes, *self._leaving, self._nowhere)))

    # What nodes say about single commands.

    def _lane(self, node: Node) -> Lane:
        if node not in self._lanes:
            there = self._where.at(*node)
            dial, name = partial(address.connection, there), str(there)
            self._lanes[node] = self._make(dial, name=name, redirect=partial(self._redirected, node))
            self._lanes[node].start()
        return self._lanes[node]

    def _redirected(self, node: Node, command: Command, error: Rejected) -> bool:
        """Send a command to the node that a refusal names; in the midst of the reading of replies."""
        told = redirection(error, node[0])
        if told is None:
            return False
        number, there = told
        lane = self._lane(there)
        if error.word == "ASK":  # of this command alone; where it cannot be sent at once, this node is asked again
            return lane.asking(command)
        self._slots[number] = lane
        self._doubted.set()
        lane.readmit(command)
        return True

    # The map.

    async def _keep(self) -> None:
        attempt = 0
        while True:
            self._doubted.clear()
            try:
                self._adopt(await self._look())
            except Exception as error:  # whatever it is: the map that is there stays
                self._report(error)
            self._attempted.set()
            attempt = 1 if await self._calm() else attempt + 1
            await asyncio.sleep(backoff(attempt))  # doubts come in crowds, and to all workers at once

    async def _calm(self) -> bool:
        """Wait until the map should be looked at again; whether that took a while."""
        loop = asyncio.get_running_loop()
        began, due = loop.time(), CALM_SECONDS * random.uniform(0.8, 1.2)
        while not self._doubted.is_set() and self._sound() and loop.time() - began < due:
            with suppress(TimeoutError):
                async with asyncio.timeout(PULSE_SECONDS):
                    await self._doubted.wait()
        return loop.time() - began > PULSE_SECONDS

    def _sound(self) -> bool:
        return bool(self._lanes) and all(map(_answers, self._lanes.values()))

    async def _look(self) -> View:
        """The map as some nodes see it that answer, else as anybody does who ever was a node."""
        lanes = [item for item in self._lanes.items() if _answers(item[1])]
        if lanes:
            asked = [self._ask(*item) for item in random.sample(lanes, min(ASKED, len(lanes)))]
        else:
            nodes = sorted(self._nodes)
            asked = [self._visit(node) for node in random.sample(nodes, min(2 * ASKED, len(nodes)))]
        found = await asyncio.gather(*asked, return_exceptions=True)
        views = [view for view in found if isinstance(view, View)]
        if not views:
            raise next(error for error in found if isinstance(error, BaseException))
        return max(views, key=lambda view: view.rank)

    async def _ask(self, node: Node, lane: Lane) -> View:
        async with asyncio.timeout(LOOK_SECONDS):
            return await look(partial(lane.execute, write=False), node[0])

    async def _visit(self, node: Node) -> View:
        wire = await established(address.connection(self._where.at(*node)), None, LOOK_SECONDS)
        try:
            async with asyncio.timeout(LOOK_SECONDS):
                return await look(wire.ask, node[0])
        finally:
            await wire.close()

    def _adopt(self, view: View) -> None:
        lanes = {each.primary: self._lane(each.primary) for each in view.ranges}
        # Slots that no node serves go to any of them: it says so, in a word that passes.
        slots = [next(iter(lanes.values()))] * SLOTS
        for each in view.ranges:
            slots[each.first : each.last + 1] = [lanes[each.primary]] * (each.last + 1 - each.first)
        self._slots = slots
        self._nodes = view.nodes | set(self._where.seeds)
        self._pass_on(self._nowhere)
        for node in self._lanes.keys() - lanes.keys():
            self._dismiss(self._lanes.pop(node))

    def _report(self, error: Exception) -> None:
        reason = str(error) or type(error).__name__
        if reason != self._reason:
            log.warning("cannot learn the slots of %s: %s", self._where, reason)
        self._reason = reason
        self._hopeless = hopeless(error)

    # Nodes that have lost their slots.

    def _dismiss(self, lane: Lane) -> None:
        self._leaving.add(lane)
        task = asyncio.create_task(self._leave(lane))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _leave(self, lane: Lane) -> None:
        """Close a lane, once what is in flight is answered; what is not goes on to another lane."""
        self._pass_on(lane)
        with suppress(TimeoutError):
            async with asyncio.timeout(LEAVE_SECONDS):
                while lane.depth and lane.connected:
                    await asyncio.sleep(0.01)
                    self._pass_on(lane)
        lane.abort("the node serves no slot any more")
        self._pass_on(lane)
        await lane.close()
        self._leaving.discard(lane)
        self._former.update({name: getattr(lane, name) for name in COUNTED})

    def _pass_on(self, lane: Lane) -> None:
        """Give what `lane` did not send to lanes that say where it belongs."""
        for command in lane.drain():
            random.choice(self.lanes).readmit(command)


def _answers(lane: Lane) -> bool:
    return lane.connected and lane.silence < SILENT_SECONDS
