"""The turns of changes that a worker computes from records that it has read."""

from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from weakref import WeakValueDictionary

from service.storage.scripts.turns import Turns

AT_ONCE = 3  # changes at the same time; few, because each has its records in memory twice


class Rewriting:
    """The turns of a worker's changes: one at a time for each record, and `AT_ONCE` in all."""

    def __init__(self) -> None:
        self._all = Turns(AT_ONCE)
        self._turns: WeakValueDictionary[str, Turns] = WeakValueDictionary()  # by key of a record

    @asynccontextmanager
    async def turn(self, keys: Iterable[str]) -> AsyncIterator[None]:
        """Hold the turn of each of these records, and one of the `AT_ONCE` turns, for the length of the block.

        Raises Unavailable if one does not come in time.
        """
        async with AsyncExitStack() as held:
            for key in sorted(keys):  # in the order of keys, so that no two changes wait for each other
                await held.enter_async_context(self._turns.setdefault(key, Turns()).turn())
            async with self._all.turn():
                yield
