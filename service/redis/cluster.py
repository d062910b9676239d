"""A Redis Cluster: one lane for each primary. Commands are routed by the slot of their key with a map of the slots.

A node that does not hold a slot answers MOVED or ASK before the command has any effect. The command is then sent to the
node that the answer names, with the same deadline. A command that a node refuses for the moment (TRYAGAIN, CLUSTERDOWN,
LOADING) waits in the lane. If a node loses its slots, the commands that wait for it are given to any other node, whose
answer tells where they belong.

Invariant: `_slots` has an open lane for each slot. A slot that no node serves has the lane of a node that refuses it.
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
from service.redis.ending import end
from service.redis.errors import NotSent, Rejected
from service.redis.fleet import Fleet
from service.redis.lane import START_SECONDS, Lane, backoff, hopeless
from service.redis.pending import NOT_YET, Command
from service.redis.replicas import Replicas
from service.redis.topology import SLOTS, Node, View, look, redirection, slot
from service.redis.wire import CONNECT_SECONDS, Prepare, established, limit, next_limit

log = logging.getLogger(__name__)

REFRESH_SECONDS = 10.0  # between two refreshes of the map if no node has answered MOVED
CHECK_SECONDS = 0.25  # between two checks of the lanes
LOOK_SECONDS = 1.0  # time for a node to answer with its map; longer if making the connection has more time, too
ASKED = 3  # nodes that are asked at the same time


class Cluster:
    """A Redis Cluster (see the module). `make` makes a lane; `on_connect` prepares the connections to primaries.

    `read_replicas`: a replica may answer a command whose `write` is None.
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
        # Until the map is known, commands wait in a lane without a connection.
        self._nowhere = make(partial(address.connection, where), name=str(where))
        self._slots: list[Lane] = [self._nowhere] * SLOTS
        self._spread: list[tuple[Node, ...]] = [()] * SLOTS  # the replicas of each slot
        self._doubted = asyncio.Event()  # set when a node has answered MOVED
        self._attempted = asyncio.Event()
        self._reason = NOT_YET
        self._connecting = CONNECT_SECONDS  # for the connections that are made only to ask for the map
        self._hopeless = False
        self._keeper: asyncio.Task[None] | None = None

    @property
    def lanes(self) -> Sequence[Lane]:
        """The lanes to the known primaries."""
        return self._primaries.lanes

    def total(self, name: str) -> float:
        """Return the sum over primaries and replicas (see Fleet.total)."""
        replicas = self._replicas.fleet.total(name) if self._replicas else 0
        return self._primaries.total(name) + replicas + float(getattr(self._nowhere, name))

    def of(self, key: str | bytes) -> Lane:
        """Return the lane to the primary of a key, according to the map."""
        return self._slots[slot(key)]

    def send(self, command: Command) -> None:
        number = slot(command.key)
        lane = self._slots[number]
        if command.write is None and self._replicas is not None:
            lane = self._replicas.any_of(self._spread[number]) or lane
        lane.send(command)

    async def connect(self, within: float = START_SECONDS) -> None:
        """Wait at most `within` seconds until every primary is connected. One of them is enough.

        Raises NotSent, with a text for the operator; without waiting if the reason is a wrong configuration.
        """
        if self._keeper is None:
            self._keeper = asyncio.create_task(self._keep())
        with suppress(TimeoutError):
            async with asyncio.timeout(within):
                while not self.lanes and not self._hopeless:
                    self._attempted.clear()
                    await self._attempted.wait()
                await asyncio.gather(*(lane.connect(within) for lane in self.lanes), return_exceptions=True)
        if not any(lane.connected for lane in self.lanes):
            reasons = [f"{lane.name}: {lane.reason}" for lane in self.lanes if lane.reason != NOT_YET]
            raise NotSent(f"cannot connect to {self._where}: {[*reasons, self._reason][0]}")

    async def close(self) -> None:
        if self._keeper:
            await end(self._keeper)
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
        """Send a command to the node that a MOVED or ASK names. This is called while replies are being read."""
        target = redirection(error, node[0])
        if target is None:
            return False
        number, there = target
        lane = self._primaries.to(there)
        if error.word == "ASK":  # for this command only; if it cannot be sent now, it is tried here again
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
                self._connecting = CONNECT_SECONDS
            except Exception as error:  # for any failure: keep the present map
                self._connecting = next_limit(self._connecting, error)
                self._report(error)
            self._attempted.set()
            attempt = 1 if await self._until_doubted() else attempt + 1
            await asyncio.sleep(backoff(attempt))  # many MOVED come at the same time, and to all workers

    async def _until_doubted(self) -> bool:
        """Wait until the map should be refreshed. Return True if that took longer than `CHECK_SECONDS`."""
        loop = asyncio.get_running_loop()
        began, due = loop.time(), REFRESH_SECONDS * random.uniform(0.8, 1.2)
        while not self._doubted.is_set() and self._all_answer() and loop.time() - began < due:
            if self._replicas:
                self._replicas.leave_silent()
            with suppress(TimeoutError):
                async with asyncio.timeout(CHECK_SECONDS):
                    await self._doubted.wait()
        return loop.time() - began > CHECK_SECONDS

    def _all_answer(self) -> bool:
        lanes = self.lanes
        return len(self._primaries.answering) == len(lanes) > 0

    async def _look(self) -> View:
        """Return the newest map of up to `ASKED` connected primaries; if none answers, the map of any known node."""
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
        async with limit(LOOK_SECONDS, "the answer with the slots"):
            return await look(partial(lane.execute, write=False), node[0])

    async def _visit(self, node: Node) -> View:
        connecting = self._connecting
        wire = await established(address.connection(self._where.at(*node)), None, LOOK_SECONDS, connecting)
        try:
            async with limit(LOOK_SECONDS * connecting / CONNECT_SECONDS, "the answer with the slots"):
                return await look(wire.ask, node[0])
        finally:
            await wire.close()

    def _adopt(self, view: View) -> None:
        lanes = {each.primary: self._primaries.to(each.primary) for each in view.ranges}
        # A slot that no node serves gets the lane of any node: it answers CLUSTERDOWN, and the command waits.
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
        """Send a command to any primary. If it does not hold the slot, its MOVED names the node that does."""
        random.choice(self.lanes).readmit(command)

    def _report(self, error: Exception) -> None:
        reason = str(error) or type(error).__name__
        if reason != self._reason:
            log.warning("cannot get the slots of %s: %s", self._where, reason)
        self._reason = reason
        self._hopeless = hopeless(error)
