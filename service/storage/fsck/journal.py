"""The check of a journal: the bytes that count in the quota, and the states of records that will expire."""

from collections.abc import Callable

from service.storage import registry
from service.storage.journal.change import unpacked, weight
from service.storage.keys import Collection
from service.storage.scripts.runner import Runner

LOOKS = 20  # at a journal that is written meanwhile


class JournalCheck:
    """The check of the journals of all collections. `fault` takes the text of each fault."""

    def __init__(self, runner: Runner, fault: Callable[[str], object], *, repair: bool) -> None:
        self._runner, self._command = runner, runner.command
        self._fault, self._repair = fault, repair

    async def run(self, collection: Collection) -> None:
        """Check the journal of one collection, if it has one."""
        key, state = collection.journaled
        for _ in range(LOOKS):
            before = await self._counted(state)
            [*last] = await self._command("XREVRANGE", key, "+", "-", "COUNT", 1, key=key)
            [*first] = await self._command("XRANGE", key, "-", "+", "COUNT", 1, key=key)
            if before == await self._counted(state):  # every write changes it
                await self._compare(state, before, first, last)
                break
        async for field, _ in registry.scan(self._runner, "HSCAN", state):
            if field.startswith(":"):
                await self._expiring(collection, field)

    async def _counted(self, state: str) -> tuple[int, int]:
        added, removed = await self._command("HMGET", state, "bytes", "freed", key=state)
        return int(added or 0), int(removed or 0)

    async def _compare(
        self,
        state: str,
        counted: tuple[int, int],
        first: list[tuple[bytes, list[bytes]]],
        last: list[tuple[bytes, list[bytes]]],
    ) -> None:
        """Compare the counted bytes with those that the first and the last entry tell."""
        right = (counted[0], counted[0])
        if first and last:
            oldest, total, value = unpacked(first[0][1])
            right = (unpacked(last[0][1])[1], total - weight(oldest.id, oldest.author, value))
        if counted == right:
            return
        self._fault(f"{state}: counts {counted} bytes, added and removed; the entries say {right}")
        if self._repair:
            await self._command("HSET", state, "bytes", right[0], "freed", right[1], key=state, write=True)

    async def _expiring(self, collection: Collection, field: str) -> None:
        """Check that a record whose state is kept will expire; a write may have changed that since it was read."""
        expiry, state = collection.expiry, collection.journal_state
        for _ in range(2):
            if await self._command("ZSCORE", expiry, field[1:], key=expiry) is not None:
                return
            if not await self._command("HEXISTS", state, field, key=state):
                return
        self._fault(f"{state}: has the state of {field[1:]!r}, which does not expire")
        if self._repair:
            await self._command("HDEL", state, field, key=state, write=True)
