"""Links: relations between an id and members in many slots, such as the fields that a user may read.

Links are supersets. A link is written before its relation becomes true, and removed after the relation has ended.
So there may be stale links, never missing ones; the data itself decides. Each link has the revision at which it was
made, so removing links up to a revision keeps those that were made again meanwhile.
"""

from collections.abc import Sequence

from service.storage import keys, registry
from service.storage.scripts.runner import Runner

PORTION = 1000  # members in one command: below 1 ms of Redis's time


class Links:
    """The operations on links."""

    def __init__(self, runner: Runner) -> None:
        self._runner = runner

    async def link(self, dialect: str, kind: str, id: str, members: Sequence[str], revision: int = 0) -> None:
        """Link an id to these members."""
        key = keys.links(dialect, kind, id)
        for start in range(0, len(members), PORTION):
            pairs = [word for member in members[start : start + PORTION] for word in (revision, member)]
            await self._runner.command("ZADD", key, "GT", *pairs, key=key, write=True)

    async def withdraw(self, dialect: str, kind: str, id: str, members: Sequence[str], revision: int) -> None:
        """Remove links to these members that were not made again after `revision`."""
        for start in range(0, len(members), PORTION):
            portion = members[start : start + PORTION]
            await self._runner.run("withdraw", (keys.links(dialect, kind, id),), revision=revision, members=portion)

    async def linked(self, dialect: str, kind: str, id: str) -> list[str]:
        """Return all members of an id, sorted as texts; some may be stale."""
        key = keys.links(dialect, kind, id)
        return sorted({member async for member, _ in registry.scan(self._runner, "ZSCAN", key)})
