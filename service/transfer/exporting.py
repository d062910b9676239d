"""Exports everything in a store.

The service may run meanwhile. Each record is exported as it was at one moment. Writes and deletions during the export
may or may not be included.
"""

from collections.abc import Callable

from service.storage import registry
from service.storage.journal.transfer import JournalTransfer
from service.storage.keys import Collection
from service.storage.records.transfer import RecordTransfer
from service.storage.root import Storage
from service.storage.scripts.runner import Runner
from service.transfer.journals import export_journal
from service.transfer.lines import Line, Namespace
from service.transfer.rendering import document
from service.transfer.unlisted import Selection, Unlisted, Write


class Export:
    """One export. `write` is called with lines of one dialect, `progress` with the number of records among them."""

    def __init__(self, runner: Runner, selection: Selection, write: Write, progress: Callable[[int], object]) -> None:
        self._runner, self._selection, self._write, self._progress = runner, selection, write, progress
        self._records = RecordTransfer(runner, Storage(runner).records)
        self._journals = JournalTransfer(runner)

    async def run(self) -> None:
        """Export everything that is selected."""
        await self._documents()
        if not self._selection.narrow:
            await Unlisted(self._runner, self._selection, self._write, self._progress).run()

    async def _documents(self) -> None:
        """Export the records of all listed collections."""
        selected = self._selection
        for (dialect, namespace), kinds in sorted((await registry.namespaces(self._runner)).items()):
            if _within(selected.dialects, dialect) and _within(selected.namespaces, namespace):
                self._write(dialect, [Namespace(dialect, namespace, kinds)])
                found = await registry.collections(self._runner, dialect, namespace, kinds)
                for collection in sorted(found, key=lambda each: each.name):
                    if _within(selected.collections, collection.name):
                        await self._collection(collection)

    async def _collection(self, collection: Collection) -> None:
        async for portion in self._records.walk(collection):
            found: list[Line] = []
            for id, record in portion:
                found += document(collection, id, record)
            self._write(collection.dialect, found)
            self._progress(len(portion))
        await export_journal(self._journals, collection, self._write)


def _within(selected: frozenset[str], name: str) -> bool:
    return not selected or name in selected
