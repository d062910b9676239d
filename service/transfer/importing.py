"""Writes the records of an export into a store. Repeating it, or going on after it was stopped, does no harm."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence
from typing import Any, TypeVar

from service.storage import keys
from service.storage.errors import OutcomeUnknown, Unavailable
from service.storage.records.record import Record
from service.storage.records.transfer import Outcome, RecordTransfer, Restored
from service.storage.root import Storage
from service.storage.scripts.runner import Runner
from service.transfer.lines import Document, Line, Namespace, body_of

PORTION = 32  # records that are written together: below 1 ms of Redis's time
PORTION_BYTES = 256 * 1024  # of bodies written together
AT_ONCE = 3  # portions in flight
PATIENCE = 10  # attempts at a portion while Redis cannot be reached
PAUSE = 1.0  # seconds between two attempts

T = TypeVar("T")


class Import:
    """One import. `say` tells what was not written, `progress` gets the number of records that are done."""

    def __init__(
        self, runner: Runner, *, replace: bool, say: Callable[[str], object], progress: Callable[[int], object]
    ) -> None:
        self._replace, self._say, self._progress = replace, say, progress
        self._records = RecordTransfer(runner, Storage(runner).records)
        self._kinds: dict[tuple[str, str], str] = {}  # the indexes of collections, by dialect and namespace
        self._waiting: list[Restored] = []
        self._size = 0  # bytes of their bodies
        self._flying: set[asyncio.Task[None]] = set()
        self.outcomes: Counter[Outcome] = Counter()
        self.faults = 0

    async def run(self, lines: Iterable[Line]) -> None:
        """Write everything. Raises what reading `lines` raises, after all that was read before is written."""
        try:
            for line in lines:
                if isinstance(line, Document):
                    self._take(line)
                    if len(self._waiting) >= PORTION or self._size > PORTION_BYTES:
                        await self._flush()
                elif isinstance(line, Namespace):
                    self._kinds[line.dialect, line.namespace] = line.indexes
        finally:
            await self._flush()
            await self._landed(0)

    def _take(self, line: Document) -> None:
        body = body_of(line) or b""
        kinds = self._kinds.get((line.dialect, line.namespace), "")
        collection = keys.collection(line.dialect, line.namespace, line.collection, kinds)
        times = line.version, line.created, line.updated, line.expires
        record = Record(*times, line.creator, line.updater, len(body), body)
        self._waiting.append(Restored(collection, line.id, record))
        self._size += len(body)

    async def _flush(self) -> None:
        """Begin to write what waits."""
        portion, self._waiting, self._size = self._waiting, [], 0
        if portion:
            await self._begin(self._write(portion))

    async def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        """Begin some work, when there is room for it. Raises what earlier work raised."""
        self._flying.add(asyncio.create_task(work))
        await self._landed(AT_ONCE - 1)

    async def _landed(self, left: int) -> None:
        """Wait until at most so many pieces of work are left."""
        while len(self._flying) > left:
            done, self._flying = await asyncio.wait(self._flying, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()

    async def _write(self, portion: Sequence[Restored]) -> None:
        """Write a portion, and check what was written."""
        outcomes = await _patiently(lambda: self._records.restore_many(portion, replace=self._replace))
        self.outcomes.update(outcomes)
        for one, outcome in zip(portion, outcomes, strict=True):
            if outcome is Outcome.DIFFERENT:
                place = one.collection
                self._say(f"{place.dialect} {place.namespace}/{place.name}/{one.id}: another one is there, which stays")
        ours = [one for one, outcome in zip(portion, outcomes, strict=True) if outcome is not Outcome.DIFFERENT]
        for fault in await _patiently(lambda: self._records.check(ours)):
            self.faults += 1
            self._say(fault)
        self._progress(len(portion))


async def _patiently(work: Callable[[], Awaitable[T]]) -> T:
    """Do some work that may be repeated; repeat it while Redis cannot be reached."""
    for _ in range(PATIENCE - 1):
        try:
            return await work()
        except (Unavailable, OutcomeUnknown):
            await asyncio.sleep(PAUSE)
    return await work()
