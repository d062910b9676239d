"""Libraries of functions on the servers: the marks of those in use, and the removal of those of former versions.

Every version of the service has a library of its own (service/storage/scripts/library.py), which stays on a server
when the last worker of that version has ended. Each worker marks its library as used once an hour. A library that no
worker has marked for a day is removed. A worker may still need it: it was suspended for a day, or its version is used
again at that moment. Then the server answers that the function is missing, and the library is loaded again
(runner.py).
"""

import asyncio
import logging
from time import monotonic

from service.redis.errors import Failed
from service.redis.lane import Lane
from service.storage import keys
from service.storage.scripts.library import NAME
from service.storage.scripts.runner import Runner

PERIOD = 3600.0  # seconds between two marks
IDLE = 24 * 3600  # seconds without a mark after which a library is removed

log = logging.getLogger(__name__)


class Libraries:
    def __init__(self, runner: Runner) -> None:
        self._runner = runner
        self._due = 0.0

    async def tend(self, *, remove: bool) -> None:
        """Once a period, mark this worker's library as used; if `remove`, also remove the unused ones.

        Raises Refusal and Failed.
        """
        if monotonic() < self._due:
            return
        if remove:
            await self.remove_unused()
        else:
            await self.retain([])
        self._due = monotonic() + PERIOD

    async def retain(self, found: list[str]) -> set[str]:
        """Mark this worker's library as used, and return the unused ones. `found` are those that servers have."""
        own, idle = self._runner.library.name, IDLE * 1_000_000
        unused: list[bytes] = await self._runner.run("retain", (keys.LIBRARIES,), name=own, idle=idle, found=found)
        return {name.decode() for name in unused}

    async def remove_unused(self) -> list[str]:
        """Remove the unused libraries from all primaries, and return their names."""
        lanes = self._runner.redis.lanes
        listed = await asyncio.gather(*map(names_on, lanes), return_exceptions=True)
        there = [(lane, names) for lane, names in zip(lanes, listed, strict=True) if isinstance(names, set)]
        unused = await self.retain(sorted(set().union(*(names for _, names in there))))
        removing = [
            lane.execute("FUNCTION", "DELETE", name, write=True) for lane, names in there for name in names & unused
        ]
        for failure in await asyncio.gather(*removing, return_exceptions=True):
            if isinstance(failure, Failed) and "not found" not in str(failure):
                log.warning("an unused library of functions was not removed: %s", failure)
        if unused:
            log.info("removed the unused libraries of functions %s", ", ".join(sorted(unused)))
            await self._runner.command("HDEL", keys.LIBRARIES, *unused, key=keys.LIBRARIES, write=True)
        return sorted(unused)


async def names_on(lane: Lane) -> set[str]:
    """Return the libraries of any version of this service that one server has. Raises Failed."""
    listed = await lane.execute("FUNCTION", "LIST", "LIBRARYNAME", f"{NAME}*", write=False)
    return {library[1].decode() for library in listed}
