"""Links: who is linked to what, where that lies in many slots: the fields that a user may read, the users that ever had
a public value.

They are supersets. What is linked is linked before it becomes true, and taken back only after it ceased to be, so that
nothing that stops half way hides anything; truth is checked where the data lies. Each link carries the revision at
which it was made, and whoever takes one back says up to which: a link that was made again meanwhile stays.
"""

from collections.abc import Sequence

from service.storage import keys, registry
from service.storage.scripts.runner import Runner

PORTION = 1000  # members in one command: below 1 ms of Redis's time


class Links:
    def __init__(self, runner: Runner) -> None:
        self._runner = runner

    async def link(self, dialect: str, kind: str, id: str, members: Sequence[str], revision: int = 0) -> None:
        """Link an id to these members."""
        key = keys.links(dialect, kind, id)
        for start in range(0, len(members), PORTION):
            pairs = [word for member in members[start : start + PORTION] for word in (revision, member)]
            await self._runner.command("ZADD", key, "GT", *pairs, key=key, write=True)

    async def withdraw(self, dialect: str, kind: str, id: str, members: Sequence[str], revision: int) -> None:
        """Take back what was not linked again after `revision`."""
        for start in range(0, len(members), PORTION):
            portion = members[start : start + PORTION]
            await self._runner.run("withdraw", (keys.links(dialect, kind, id),), revision=revision, members=portion)

    async def linked(self, dialect: str, kind: str, id: str) -> list[str]:
        """All members of an id, in the order of their text; perhaps some that are none any more."""
        key = keys.links(dialect, kind, id)
        return sorted({member async for member, _ in registry.scan(self._runner, "ZSCAN", key)})
