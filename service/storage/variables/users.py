"""Numbers and display names of users whom a vendor names by a text: declared, or allotted when first seen.

One slot of a dialect holds them all, so that a number is the same in every collection, and has one owner.
"""

from collections.abc import Sequence

from service.storage import keys
from service.storage.errors import Unavailable
from service.storage.scripts.runner import Runner

ATTEMPTS = 1000  # at 100 declared numbers each


class Users:
    def __init__(self, runner: Runner, dialect: str) -> None:
        self._run = runner.run
        self._command = runner.command
        self._keys = (keys.users(dialect), keys.declared(dialect), keys.user(dialect))

    async def allot(self, user: str) -> int:
        """The number of a user, from now on if there was none. Raises Unavailable, OutcomeUnknown."""
        for _ in range(ATTEMPTS):
            if number := int(await self._run("allot", self._keys, user=user)):
                return number
        raise Unavailable("no number is free for this user")

    async def enroll(self, user: str, number: int | None, display: str) -> None:
        """Declare a user; `number` None removes it, `display` "" is the usual name. Raises AlreadyExists where the
        number was allotted to somebody else, Unavailable, OutcomeUnknown. Safe to repeat."""
        await self._run("enroll", self._keys, user=user, number="" if number is None else number, display=display)

    async def displays(self, numbers: Sequence[int]) -> list[str]:
        """The declared display names of these, "" where there is none."""
        key = self._keys[1]
        found = await self._command("HMGET", key, *numbers, key=key)
        return [(each or b"").decode() for each in found]
