"""Numbers and display names of users whom a vendor names by a text. A number is declared, or allotted when the
user appears for the first time.

One slot holds all users of a dialect, so a user has the same number in every collection, and a number has one
owner.
"""

from collections.abc import Sequence

from service.storage import keys
from service.storage.errors import Unavailable
from service.storage.scripts.runner import Runner

ATTEMPTS = 1000  # attempts, each of which skips up to 100 declared numbers


class Users:
    """The users of one dialect."""

    def __init__(self, runner: Runner, dialect: str) -> None:
        self._run = runner.run
        self._command = runner.command
        self._keys = (keys.users(dialect), keys.declared(dialect), keys.user(dialect))

    async def allot(self, user: str) -> int:
        """Return the user's number; allot one if it has none. Raises Unavailable, OutcomeUnknown."""
        for _ in range(ATTEMPTS):
            if number := int(await self._run("allot", self._keys, user=user)):
                return number
        raise Unavailable("no number is free for this user")

    async def enroll(self, user: str, number: int | None, display: str) -> None:
        """Declare a user. `number` None removes the user; `display` "" means the default display name.
        Idempotent.

        Raises AlreadyExists if the number was allotted to another user; Unavailable, OutcomeUnknown.
        """
        await self._run("enroll", self._keys, user=user, number="" if number is None else number, display=display)

    async def displays(self, numbers: Sequence[int]) -> list[str]:
        """Return the declared display names of these numbers, "" where there is none."""
        key = self._keys[1]
        found = await self._command("HMGET", key, *numbers, key=key)
        return [(each or b"").decode() for each in found]
