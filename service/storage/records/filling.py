"""Fills the indexes that a collection does not have from its first record on.

Lists in the order of updates or of keys are rare, and an index takes some 140 bytes of Redis's memory for each record.
So writes keep these two only if they exist, and the first list that needs one fills it. An index is complete if it
has as many members as the index of creations, which always has all records; lua/page.lua compares the two.
"""

from collections.abc import Sequence
from logging import getLogger
from time import monotonic
from weakref import WeakValueDictionary

from service.storage.errors import NoMemoryForIndex, OutcomeUnknown, QuotaExceeded, Unavailable
from service.storage.keys import Collection
from service.storage.records.walk import Page, walk
from service.storage.scripts.runner import Runner
from service.storage.scripts.turns import Turns

ON_REQUEST = frozenset("un")  # the kinds of index that a collection may lack
STEP = 100  # records in one `fill_index`: about 1 ms of Redis's time
WAIT_SECONDS = 30.0  # the longest wait of a list while another one fills the index; a million records take about 10 s
WORTH_A_LINE = 1.0  # seconds: a longer filling is logged

log = getLogger(__name__)


class IndexFilling:
    """Fills indexes in one worker; each index is filled by one request at a time."""

    def __init__(self, runner: Runner, page: Page) -> None:
        self._runner, self._page = runner, page
        self._turns: WeakValueDictionary[str, Turns] = WeakValueDictionary()  # by key of an index

    async def fill(self, collection: Collection, kind: str) -> None:
        """Enter all records of a collection in the index `kind`, unless another request has done it meanwhile.

        Raises Unavailable, and NoMemoryForIndex if Redis's memory is full. Entries that were added stay.
        """
        index = collection.index(kind)
        turns = self._turns.setdefault(index, Turns(seconds=WAIT_SECONDS))
        async with turns.turn():
            if await self._length(index) >= await self._length(collection.index("c")):
                return
            started, added = monotonic(), 0
            async for listed in walk(self._page, collection, "c", STEP):
                added += await self.fill_index(collection, kind, [one.id for one in listed])
            if (seconds := monotonic() - started) > WORTH_A_LINE:
                log.info("%s was filled for a list: %d records in %.1f s", index, added, seconds)

    async def _length(self, index: str) -> int:
        return int(await self._runner.command("ZCARD", index, key=index))

    async def fill_index(self, collection: Collection, kind: str, ids: Sequence[str]) -> int:
        """Enter 1 to `STEP` records in an index. Return the number of added entries.

        Raises what `fill` raises.
        """
        names = (collection.index(kind), collection.index("c"), *map(collection.record, ids))
        try:
            return int(await self._runner.run("fill_index", names, kind=kind, ids=ids))
        except QuotaExceeded:
            raise NoMemoryForIndex("the store's memory is full, so the index for this order cannot be made") from None
        except OutcomeUnknown:  # whether some entries were added does not matter to the client of a list
            raise Unavailable("the store did not answer in time while the index for this order was made") from None
