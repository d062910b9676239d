"""Registers collections, and remembers the registrations of this worker, so that a first record needs no extra
command.

A registration is known by its time (us, from Redis). Scripts accept it for ten minutes
(lua/include/admission_error.lua); it is remembered for five.

A failover may lose a registration that was answered. A first record that relies on it would be stored in a collection
that no registry lists. So remembered collections are registered again when a connection to a server has been made.
"""

import asyncio
from logging import getLogger
from time import monotonic

from service.storage import registry
from service.storage.errors import Refusal
from service.storage.keys import Collection
from service.storage.scripts.fan_out import fan_out
from service.storage.scripts.runner import Runner

LIFETIME = 300.0  # seconds
SIZE = 10_000  # registrations that are remembered; if there are more, all are dropped

log = getLogger(__name__)


class Registrations:
    """The registrations that this worker knows of."""

    def __init__(self, runner: Runner) -> None:
        self._runner = runner
        self._known: dict[str, tuple[Collection, str, float]] = {}  # by tag: a string caches its hash
        self._connected = False  # True if a connection was made since the last registering again
        self._repeating: asyncio.Task[None] | None = None
        runner.connected.append(self._repeat)

    def get(self, collection: Collection) -> str:
        """Return the time of a collection's registration, "" if no recent one is known."""
        known = self._known.get(collection.tag)
        return known[1] if known is not None and monotonic() < known[2] else ""

    async def register(self, collection: Collection) -> str:
        """Register a collection, and its namespace; return the time of the registration."""
        await registry.name(self._runner, collection.dialect, collection.namespace, collection.kinds)
        registered = str(await self._runner.run("register", (collection.registry,), name=collection.name))
        if len(self._known) >= SIZE:
            self._known.clear()
        self._known[collection.tag] = (collection, registered, monotonic() + LIFETIME)
        return registered

    def _repeat(self) -> None:
        """Register all remembered collections again, in the background."""
        if self._known:
            self._connected = True
            if self._repeating is None:
                self._repeating = asyncio.create_task(self._register_again())

    async def _register_again(self) -> None:
        try:
            while self._connected:
                self._connected = False
                now = monotonic()
                await fan_out(self.register, [known for known, _, until in self._known.values() if now < until])
        except Refusal as refusal:
            log.debug("collections are registered again with the next connection: %s", refusal)
        finally:
            self._repeating = None
