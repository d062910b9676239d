"""Redis with Sentinel: one lane to the primary that the sentinels name.

redis-py asks the sentinels before each connection (see Guidelines for Redis clients with support for Redis Sentinel).
They are also asked once a second, so that the connection to a primary that hangs is closed when it has been replaced.
"""

import asyncio
import logging
import random
import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

from redis.asyncio.sentinel import MasterNotFoundError, Sentinel, SentinelConnectionPool

from service.redis.address import Address, connection, connection_options
from service.redis.ending import end
from service.redis.errors import Rejected
from service.redis.lane import START_SECONDS, Lane
from service.redis.pending import Command
from service.redis.replicas import Replicas
from service.redis.topology import Node
from service.redis.wire import Ask, Prepare

log = logging.getLogger(__name__)

SENTINEL_SECONDS = 0.5  # time for one sentinel to answer; all of them together have the time for a connection
WATCH_SECONDS = 1.0  # between two questions for the primary


class Demoted(Exception):
    """The server that the sentinels named is not a primary."""


class Sentinels(Sentinel):
    """The Sentinel of redis-py with a shorter error; the original shows all options of every connection."""

    async def discover_master(self, service_name: str) -> Node:
        try:
            host, port = await super().discover_master(service_name)
        except MasterNotFoundError as error:
            reasons = ", ".join(sorted(set(re.findall(r"\)> - ([\w:]+)", str(error)))))
            text = f"no sentinel names a primary for {service_name!r}"
            raise MasterNotFoundError(f"{text} ({reasons})" if reasons else text) from None
        return str(host), int(port)


class Watched:
    """A primary that is found with Sentinel (see the module). `make` makes a lane."""

    def __init__(
        self, where: Address, make: Callable[..., Lane], on_connect: Prepare | None, *, read_replicas: bool
    ) -> None:
        options = where.sentinel | connection_options(SENTINEL_SECONDS)
        self._sentinel = Sentinels(where.seeds, sentinel_kwargs=options)  # type: ignore[no-untyped-call]
        place = {"host", "port"}
        settings = {name: value for name, value in where.settings.items() if name not in place}
        self._service = where.service
        self._pool = SentinelConnectionPool(  # type: ignore[no-untyped-call]
            where.service, self._sentinel, ssl=where.sentinel["ssl"], **settings, **connection_options()
        )
        self._on_connect = on_connect
        self._watcher: asyncio.Task[None] | None = None
        self.lane = make(self._pool.make_connection, name=str(where), on_connect=self._check_role)
        self.lanes: Sequence[Lane] = [self.lane]
        self._where = where
        self._make = make
        self._replicas = Replicas(self._replica, self.lane.readmit, cluster=False) if read_replicas else None
        self._known: tuple[Node, ...] = ()  # replicas
        self.send = self._send if read_replicas else self.lane.send

    def total(self, name: str) -> float:
        """Return the sum over primary and replicas (see Fleet.total)."""
        replicas = self._replicas.fleet.total(name) if self._replicas else 0.0
        return replicas + float(getattr(self.lane, name))

    def _send(self, command: Command) -> None:
        lane = self.lane
        if command.write is None and self._replicas is not None:
            lane = self._replicas.any_of(self._known) or lane
        lane.send(command)

    def _replica(self, node: Node, **options: Any) -> Lane:
        there = self._where.at(*node)
        return self._make(partial(connection, there), name=str(there), **options)

    async def connect(self, within: float = START_SECONDS) -> None:
        """Wait until the lane to the primary is connected (see Lane.connect)."""
        if self._watcher is None:
            self._watcher = asyncio.create_task(self._watch())
        await self.lane.connect(within)

    async def close(self) -> None:
        if self._watcher:
            await end(self._watcher)
        await self.lane.close()
        if self._replicas:
            await self._replicas.fleet.close()
        await self._sentinel.aclose()

    async def _check_role(self, ask: Ask) -> None:
        """Check that the server is a primary, because the sentinels may not know of a change yet; then prepare it."""
        with suppress(Rejected):  # an ACL may forbid ROLE; then the error READONLY shows that it is a replica
            if (await ask("ROLE"))[0] != b"master":
                raise Demoted("the server that the sentinels name is a replica")
        if self._on_connect is not None:
            await self._on_connect(ask)

    async def _watch(self) -> None:
        while True:
            try:
                await self._check()
            except Exception as error:  # the present connections may still work
                log.debug("the sentinels of %s do not name a primary: %s", self._service, error)
            if self._replicas:
                self._replicas.leave_silent()
            await asyncio.sleep(WATCH_SECONDS * random.uniform(0.8, 1.2))

    async def _check(self) -> None:
        host, port = await self._sentinel.discover_master(self._service)
        if self.lane.connected and (host, port) != self._pool.master_address:
            self.lane.abort(f"the sentinels name another primary now: {host}:{port}")
        if self._replicas:
            found = await self._sentinel.discover_replicas(self._service)
            self._known = tuple((str(host), int(port)) for host, port in found)
            self._replicas.know(self._known)
