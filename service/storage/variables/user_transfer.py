"""Users with their numbers and display names, read for an export and restored.

An allotted number is restored as a declared one. Then no other user gets it, whatever this store has allotted.
"""

from collections.abc import AsyncIterator
from typing import Literal

from service.storage import keys, registry
from service.storage.errors import AlreadyExists
from service.storage.outcomes import Outcome
from service.storage.scripts.runner import Runner
from service.storage.variables.id_allocator import IdAllocator
from service.storage.variables.users import Users

STEP = 500  # users in one portion


class UserTransfer:
    """A dialect's users, read for an export and restored."""

    def __init__(self, runner: Runner, dialect: str) -> None:
        self._runner, self._dialect = runner, dialect
        self._users = Users(runner, dialect)

    async def walk(self) -> AsyncIterator[list[tuple[str, int, str]]]:
        """Read name, number and display name of all users, a portion at a time."""
        portion: list[tuple[str, int]] = []
        async for name, number in registry.scan(self._runner, "HSCAN", keys.users(self._dialect)):
            portion.append((name, int(number)))
            if len(portion) == STEP:
                yield await self._shown(portion)
                portion = []
        if portion:
            yield await self._shown(portion)

    async def _shown(self, portion: list[tuple[str, int]]) -> list[tuple[str, int, str]]:
        displays = await self._users.displays([number for _, number in portion])
        return [(*user, display) for user, display in zip(portion, displays, strict=True)]

    async def counters(self) -> dict[Literal["user", "variable"], int]:
        """Read the last numbers that were allotted: of users, `user`, and reserved for variables, `variable`."""
        found: dict[Literal["user", "variable"], int] = {}
        stored: tuple[tuple[Literal["user", "variable"], str], ...] = (
            ("user", keys.user(self._dialect)),
            ("variable", keys.variable(self._dialect)),
        )
        for name, key in stored:
            if (last := await self._runner.command("GET", key, key=key)) is not None:
                found[name] = int(last)
        return found

    async def restore(self, name: str, number: int, display: str, *, replace: bool) -> Outcome:
        """Restore a user. It is left out if another user may have its number."""
        key = keys.users(self._dialect)
        had = await self._runner.command("HGET", key, name, key=key)
        if had is not None:
            if int(had) == number and await self._users.displays([number]) == [display]:
                return Outcome.PRESENT
            if not replace:
                return Outcome.DIFFERENT
        try:
            await self._users.enroll(name, number, display)
        except AlreadyExists:
            return Outcome.DIFFERENT
        return Outcome.STORED

    async def advance(self, counter: str, last: int) -> None:
        """Let the numbers of users, or the ids of variables, continue after a number."""
        key = keys.user(self._dialect) if counter == "user" else keys.variable(self._dialect)
        await IdAllocator(self._runner).advance(key, last)
