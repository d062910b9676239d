"""Imports an export into a store. An import can be repeated, also after it was stopped before its end."""

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine, Iterable, Sequence
from typing import Any

from service.storage import keys
from service.storage.fsck.links import Readers
from service.storage.journal.transfer import JournalTransfer
from service.storage.outcomes import Outcome
from service.storage.records.record import Record
from service.storage.records.transfer import RecordTransfer, Restored
from service.storage.root import Storage
from service.storage.scripts.runner import Runner
from service.storage.variables.transfer import VariableTransfer
from service.storage.variables.variables import Variable
from service.transfer import lines
from service.transfer.declaring import Declaring
from service.transfer.files import FileImport
from service.transfer.journals import import_changes, import_state
from service.transfer.lines import (
    ChangeLine,
    Document,
    Files,
    JournalLine,
    Line,
    Namespace,
    VariableLine,
    body_of,
)
from service.transfer.rechecking import Rechecking
from service.transfer.repeating import until_reachable

PORTION = 20  # records that are written by one script: 0.5 ms of Redis's time
PORTION_BYTES = 256 * 1024  # bytes of the bodies in one portion
AT_ONCE = 3  # portions that are written concurrently


class Import:
    """One import. `say` prints which records were not written; `progress` is called with the number of records done."""

    def __init__(
        self,
        runner: Runner,
        readers: Readers,
        *,
        replace: bool,
        say: Callable[[str], object],
        progress: Callable[[int], object],
    ) -> None:
        self._replace, self._say, self._progress = replace, say, progress
        self._storage = Storage(runner)
        self._records, self._variables = RecordTransfer(runner, self._storage.records), VariableTransfer(runner)
        self._journals = JournalTransfer(runner)
        self._changes: list[ChangeLine] = []  # entries of one journal that are not written yet
        self._files_import, self._declaring = FileImport(runner, replace=replace), Declaring(runner, replace=replace)
        self._rechecking = Rechecking(runner, readers, self._fault)
        self._kinds: dict[tuple[str, str], str] = {}  # letters of the collections' indexes, by dialect and namespace
        self._documents: list[Restored] = []  # documents that are not written yet
        self._size = 0  # bytes of the bodies of `_documents`
        self._assigned: list[VariableLine] = []  # variables that are not written yet
        self._running: set[asyncio.Task[None]] = set()
        self.outcomes: Counter[Outcome] = Counter()
        self.faults = 0

    async def run(self, exported: Iterable[Line]) -> None:
        """Write all lines. If reading `exported` raises, first write what was read, then raise the same exception."""
        reading = iter(exported)
        try:
            for line in reading:
                self._rechecking.add(line)
                if isinstance(line, Document):
                    await self._document(line)
                elif isinstance(line, Namespace):
                    self._kinds[line.dialect, line.namespace] = line.indexes
                elif isinstance(line, VariableLine):
                    self._assigned.append(line)
                    if len(self._assigned) >= PORTION:
                        await self._flush()
                elif isinstance(line, Files):
                    await self._files(line, reading)
                elif isinstance(line, lines.Counter):
                    await self._flush()
                    await self._finish_down_to(0)  # users, who have lower numbers, must be written before
                    await until_reachable(lambda line=line: self._declaring.advance(line))  # type: ignore[misc]
                elif isinstance(line, lines.JournalLine | lines.ChangeLine):
                    await self._journal(line)
                elif isinstance(line, lines.Declared):
                    await self._begin(self._declare(line))
        finally:
            await self._flush_changes()
            await self._flush()
            await self._finish_down_to(0)
            await until_reachable(self._declaring.finish)
        await self._rechecking.rest()

    def _fault(self, fault: str) -> None:
        self.faults += 1
        self._say(fault)

    async def _document(self, line: Document) -> None:
        body = body_of(line) or b""
        collection = self._collection(line)
        times = line.version, line.created, line.updated, line.expires
        record = Record(*times, line.creator, line.updater, len(body), body)
        self._documents.append(Restored(collection, line.id, record))
        self._size += len(body)
        if len(self._documents) >= PORTION or self._size > PORTION_BYTES:
            await self._flush()

    def _collection(self, line: Document | JournalLine | ChangeLine) -> keys.Collection:
        kinds = self._kinds.get((line.dialect, line.namespace), "")
        return keys.collection(line.dialect, line.namespace, line.collection, kinds)

    async def _journal(self, line: JournalLine | ChangeLine) -> None:
        """Write a line of a journal. Entries must be written in order, so one portion is written at a time."""
        collection = self._collection(line)
        if self._changes and (isinstance(line, JournalLine) or self._collection(self._changes[0]) != collection):
            await self._flush_changes()
        if isinstance(line, ChangeLine):
            self._changes.append(line)
            if len(self._changes) >= PORTION:
                await self._flush_changes()
            return
        await self._flush()
        await self._finish_down_to(0)  # the records that will expire, which the state names, must be written before
        if collection.kinds:
            await until_reachable(lambda: self._storage.records.registered(collection))
        await until_reachable(lambda: import_state(self._journals, collection, line))

    async def _flush_changes(self) -> None:
        portion, self._changes = self._changes, []
        if portion:
            collection = self._collection(portion[0])
            outcomes = await until_reachable(lambda: import_changes(self._journals, collection, portion))
            name = f"{collection.dialect} journal of {_place(collection)}"
            self._done(outcomes, [f"{name} at {line.cursor}" for line in portion])

    async def _flush(self) -> None:
        """Begin to write the documents and variables that are not written yet."""
        documents, self._documents, self._size = self._documents, [], 0
        if documents:
            await self._begin(self._write(documents))
        variables, self._assigned = self._assigned, []
        if variables:
            await self._begin(self._assign(variables))

    async def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        """Start a task, and wait until fewer than AT_ONCE run. Raises what an earlier task raised."""
        self._running.add(asyncio.create_task(work))
        await self._finish_down_to(AT_ONCE - 1)

    async def _finish_down_to(self, left: int) -> None:
        """Wait until at most `left` tasks run. Raises what a task raised."""
        while len(self._running) > left:
            done, self._running = await asyncio.wait(self._running, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()

    async def _write(self, portion: Sequence[Restored]) -> None:
        """Write a portion of documents, then check them and their index entries."""
        outcomes = await until_reachable(lambda: self._records.restore_many(portion, replace=self._replace))
        self._done(outcomes, [f"{one.collection.dialect} {_place(one.collection)}/{one.id}" for one in portion])
        ours = [one for one, outcome in zip(portion, outcomes, strict=True) if outcome is not Outcome.DIFFERENT]
        for fault in await until_reachable(lambda: self._records.check(ours)):
            self._fault(fault)

    async def _assign(self, portion: Sequence[VariableLine]) -> None:
        """Write a portion of variables."""
        wanted = [
            (
                keys.collection(line.dialect, line.namespace, line.collection, ""),
                Variable(line.id, line.user, line.key, line.value, line.created, line.updated),
            )
            for line in portion
        ]
        outcomes = await until_reachable(lambda: self._variables.restore_many(wanted, replace=self._replace))
        self._done(outcomes, [f"{place.dialect} {_place(place)}/{one.user}/{one.key}" for place, one in wanted])

    async def _files(self, line: Files, reading: Iterable[Line]) -> None:
        """Write a record with files, whose pieces are the next lines, then check its blobs."""
        outcome = await self._files_import.restore(line, iter(reading))
        if outcome is not None:
            self._done([outcome], [f"{line.dialect} {line.namespace}/{line.collection}/{line.id}"])
        if outcome in (Outcome.STORED, Outcome.PRESENT):
            await self._rechecking.files(keys.collection(line.dialect, line.namespace, line.collection, ""), line.id)

    async def _declare(self, line: Line) -> None:
        self._done(*await until_reachable(lambda: self._declaring.restore(line)))

    def _done(self, outcomes: Sequence[Outcome], names: Sequence[str]) -> None:
        """Count the outcomes, and print the names of records that were not written because different ones exist."""
        self.outcomes.update(outcomes)
        for outcome, name in zip(outcomes, names, strict=True):
            if outcome is Outcome.DIFFERENT:
                self._say(f"{name}: a different one is stored and was kept")
        self._progress(len(outcomes))


def _place(collection: keys.Collection) -> str:
    return f"{collection.namespace}/{collection.name}"
