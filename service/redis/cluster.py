"""A Redis Cluster: a lane per primary, commands routed by the slot of their key, and the map of slots kept up to date.

A node that is not the one says so before a command has any effect (MOVED, ASK), and the command goes on to the node
that it names, by the deadline that it has. What a node refuses for the moment (TRYAGAIN, CLUSTERDOWN, LOADING) waits in
its lane. What waits for a node that has lost its slots is given to any other, which knows where it belongs.

Invariant: `_slots` has an open lane for each slot; a slot that no node serves has one that says so.
"""

import asyncio
import logging
import random
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

from service.redis import address
from service.redis.address import Address
from service.redis.errors import NotSent, Rejected
from service.redis.fleet import Fleet
from service.redis.lane import Lane, backoff, hopeless
from service.redis.pending import Command
from service.redis.replicas import Replicas
from service.redis.topology import SLOTS, Node, View, look, redirection, slot
from service.redis.wire import Prepare, established

log = logging.getLogger(__name__)

CALM_SECONDS = 10.0  # between two looks at a map that nobody doubts
PULSE_SECONDS = 0.25  # between two looks at the lanes
LOOK_SECONDS = 1.0  # that a node may take to tell the map
ASKED = 3  # nodes that are asked at a time


class Cluster:
    """See the module. `make` makes a lane, `on_connect` prepares those to primaries.

    `read_replicas`: a read of which `write` is None may be answered by a replica.
    """

    def __init__(
        self, where: Address, make: Callable[..., Lane], on_connect: Prepare | None, *, read_replicas: bool
    ) -> None:
        self._where = where
        self._make = make
        self._on_connect = on_connect
        self._primaries = Fleet(self._primary, self._pass_on)
        self._replicas = Replicas(self._lane, self._pass_on, cluster=True) if read_replicas else None
        self._nodes: set[Node] = set(where.seeds)
        # Before the first view, commands wait in a lane that leads nowhere.
        self._nowhere = make(partial(address.connection, where), name=str(where))
        self._slots: list[Lane] = [self._nowhere] * SLOTS
        self._spread: list[tuple[Node, ...]] = [()] * SLOTS  # the replicas of each slot, where they are read
        self._doubted = asyncio.Event()  # a node said that a slot is elsewhere
        self._attempted = asyncio.Event()
        self._reason = "not connected yet"
        self._hopeless = False
        self._keeper: asyncio.Task[None] | None = None

    @property
    def lanes(self) -> Sequence[Lane]:
        """One per primary, as far as is known."""
        return self._primaries.lanes

    def total(self, name: str) -> float:
        """See Fleet.total; of primaries and replicas together."""
        replicas = self._replicas.fleet.total(name) if self._replicas else 0
        return self._primaries.total(name) + replicas + float(getattr(self._nowhere, name))

    def of(self, key: str | bytes) -> Lane:
        """The lane to the primary of a key, as far as is known."""
        return self._slots[slot(key)]

    def send(self, command: Command) -> None:
        number = slot(command.key)
        lane = self._slots[number]
        if command.write is None and self._replicas is not None:
            lane = self._replicas.any_of(self._spread[number]) or lane
        lane.send(command)

    async def connect(self, within: float = 5.0) -> None:
        """Wait, for `within` seconds at most, until every primary is connected; one of them is enough to go on.

        Raises NotSent, in words; at once where waiting cannot help.
        """
        if self._keeper is None:
            self._keeper = asyncio.create_task(self._keep())
        with suppress(TimeoutError):
            async with asyncio.timeout(within):
                while not self.lanes and not self._hopeless:
                    self._attempted.clear()
                    await self._attempted.wait()
                found = await asyncio.gather(*(lane.connect(within) for lane in self.lanes), return_exceptions=True)
                self._reason = next((str(error) for error in found if error), self._reason)
        if not any(lane.connected for lane in self.lanes):
            raise NotSent(f"cannot connect to {self._where}: {self._reason}")

    async def close(self) -> None:
        if self._keeper:
            self._keeper.cancel()
            await asyncio.gather(self._keeper, return_exceptions=True)
        if self._replicas:
            await self._replicas.fleet.close()
        await self._primaries.close()
        await self._nowhere.close()

    def _lane(self, node: Node, **options: Any) -> Lane:
        there = self._where.at(*node)
        return self._make(partial(address.connection, there), name=str(there), **options)

    def _primary(self, node: Node) -> Lane:
        return self._lane(node, on_connect=self._on_connect, redirect=partial(self._redirected, node))

    def _redirected(self, node: Node, command: Command, error: Rejected) -> bool:
        """Send a command to the node that a refusal names; in the midst of the reading of replies."""
        told = redirection(error, node[0])
        if told is None:
            return False
        number, there = told
        lane = self._primaries.to(there)
        if error.word == "ASK":  # of this command alone; where it cannot be sent at once, this node is asked again
            return lane.asking(command)
        self._slots[number] = lane
        self._doubted.set()
        lane.readmit(command)
        return True

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
            if self._replicas:
                self._replicas.tend()
            with suppress(TimeoutError):
                async with asyncio.timeout(PULSE_SECONDS):
                    await self._doubted.wait()
        return loop.time() - began > PULSE_SECONDS

    def _sound(self) -> bool:
        lanes = self.lanes
        return len(self._primaries.answering) == len(lanes) > 0

    async def _look(self) -> View:
        """The map as some nodes see it that answer, else as anybody does who ever was a node."""
        lanes = self._primaries.answering
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
        lanes = {each.primary: self._primaries.to(each.primary) for each in view.ranges}
        # Slots that no node serves go to any of them: it says so, in a word that passes.
        slots = [next(iter(lanes.values()))] * SLOTS
        spread: list[tuple[Node, ...]] = [()] * SLOTS
        for each in view.ranges:
            size = each.last + 1 - each.first
            slots[each.first : each.last + 1] = [lanes[each.primary]] * size
            spread[each.first : each.last + 1] = [each.replicas] * size
        self._slots, self._spread = slots, spread
        self._nodes = view.nodes | set(self._where.seeds)
        self._primaries.empty(self._nowhere)
        self._primaries.keep(lanes.keys())
        if self._replicas:
            self._replicas.know(view.nodes - lanes.keys())

    def _pass_on(self, command: Command) -> None:
        """Give a command to any primary: if it is not the one, it says which is."""
        random.choice(self.lanes).readmit(command)

    def _report(self, error: Exception) -> None:
        reason = str(error) or type(error).__name__
        if reason != self._reason:
            log.warning("cannot learn the slots of %s: %s", self._where, reason)
        self._reason = reason
        self._hopeless = hopeless(error)
