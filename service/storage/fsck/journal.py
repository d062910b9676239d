"""The check of a journal: the bytes that count in the quota, the cursor of the last removed entry, and the states of
records that will expire.
"""

from collections.abc import Callable

from service.storage import registry
from service.storage.journal.change import BEGINNING, before, position, unpacked, weight
from service.storage.journal.transfer import JournalTransfer
from service.storage.keys import Collection
from service.storage.scripts.runner import Runner

LOOKS = 20  # attempts to check a journal that is written meanwhile

Found = list[tuple[bytes, list[bytes]]]  # cursor and fields of one entry, or an empty list


class JournalCheck:
    """The check of the journals of all collections. `fault` takes the text of each fault."""

    def __init__(self, runner: Runner, fault: Callable[[str], object], *, repair: bool) -> None:
        self._runner, self._command = runner, runner.command
        self._fault, self._repair = fault, repair

    async def run(self, collection: Collection) -> None:
        """Check the journal of one collection, if it has one."""
        key, state = collection.journaled
        for _ in range(LOOKS):
            known = await self._known(state)
            [*last] = await self._command("XREVRANGE", key, "+", "-", "COUNT", 1, key=key)
            [*first] = await self._command("XRANGE", key, "-", "+", "COUNT", 1, key=key)
            if known == await self._known(state):  # every write changes it
                *counted, trimmed = known
                freed = await self._compare(state, (counted[0], counted[1]), first, last)
                if trimmed and first:
                    await self._compare_trimmed(state, trimmed, first[0][0].decode(), freed)
                elif trimmed and not await self._command("EXISTS", key, key=key):
                    await self._begin(collection, trimmed)
                break
        async for field, _ in registry.scan(self._runner, "HSCAN", state):
            if field.startswith(":"):
                await self._expiring(collection, field)

    async def _known(self, state: str) -> tuple[int, int, str]:
        """Return the bytes added and removed, and the cursor of the last removed entry ("" = none)."""
        added, removed, trimmed = await self._command("HMGET", state, "bytes", "freed", "trimmed", key=state)
        return int(added or 0), int(removed or 0), (trimmed or b"").decode()

    async def _compare(self, state: str, counted: tuple[int, int], first: Found, last: Found) -> int:
        """Compare the counted bytes with those in the first and the last entry. Return the removed bytes."""
        right = (counted[0], counted[0])
        if first and last:
            oldest, total, value = unpacked(first[0][1])
            right = (unpacked(last[0][1])[1], total - weight(oldest.id, oldest.author, value))
        if counted != right:
            self._fault(f"{state}: counts {counted} bytes, added and removed; the entries say {right}")
            if self._repair:
                await self._command("HSET", state, "bytes", right[0], "freed", right[1], key=state, write=True)
        return right[1]

    async def _compare_trimmed(self, state: str, trimmed: str, first: str, freed: int) -> None:
        """Check that the last removed entry is before the first entry: readers of entries before it are refused."""
        if position(trimmed) < position(first):
            return
        self._fault(f"{state}: says that entries up to {trimmed} were removed; the first one is {first}")
        if self._repair:
            right = before(first) if freed else BEGINNING
            change = ("HDEL", state, "trimmed") if right == BEGINNING else ("HSET", state, "trimmed", right)
            await self._command(*change, key=state, write=True)

    async def _begin(self, collection: Collection, trimmed: str) -> None:
        """Repair a journal without a stream. Its first entry could get a cursor before that of a removed one."""
        self._fault(f"{collection.journal}: is missing; entries up to {trimmed} were removed from it")
        if self._repair:
            await JournalTransfer(self._runner).reenter(collection, trimmed=trimmed)

    async def _expiring(self, collection: Collection, field: str) -> None:
        """Check that a record with a stored state will expire. A write may have changed that since it was read."""
        expiry, state = collection.expiry, collection.journal_state
        for _ in range(2):
            if await self._command("ZSCORE", expiry, field[1:], key=expiry) is not None:
                return
            if not await self._command("HEXISTS", state, field, key=state):
                return
        self._fault(f"{state}: has the state of {field[1:]!r}, which does not expire")
        if self._repair:
            await self._command("HDEL", state, field, key=state, write=True)
