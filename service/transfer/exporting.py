"""The walk over a store that writes everything into an export.

It runs beside a serving instance: each record is read as it was at one moment, and what is written and removed during
the walk may be in the export or not.
"""

from collections.abc import Callable, Sequence

from msgspec import Struct

from service.storage import registry
from service.storage.keys import Collection
from service.storage.records.record import Record
from service.storage.records.transfer import RecordTransfer
from service.storage.root import Storage
from service.storage.scripts.runner import Runner
from service.transfer.lines import PIECE_BYTES, Document, Line, Namespace, Piece, said

Write = Callable[[str, Sequence[Line]], object]  # takes lines of one dialect


class Selection(Struct, frozen=True):
    """The part of a store that is exported; an empty set selects everything.

    `namespaces` and `collections` select listed collections, which the projects and categories of documents are: with
    one of them nothing else is exported. `access`: credentials and quotas too.
    """

    dialects: frozenset[str] = frozenset()
    namespaces: frozenset[str] = frozenset()
    collections: frozenset[str] = frozenset()
    access: bool = False

    @property
    def narrow(self) -> bool:
        """True if only listed collections are exported."""
        return bool(self.namespaces or self.collections)


class Export:
    """One walk. `write` gets the lines; `progress` the number of records whenever some were written."""

    def __init__(self, runner: Runner, selection: Selection, write: Write, progress: Callable[[int], object]) -> None:
        self._runner, self._selection, self._write, self._progress = runner, selection, write, progress
        self._records = RecordTransfer(runner, Storage(runner).records)

    async def run(self) -> None:
        """Export everything that is selected."""
        await self._documents()

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


def _within(selected: frozenset[str], name: str) -> bool:
    return not selected or name in selected


def document(collection: Collection, id: str, record: Record) -> list[Line]:
    """Return the lines of a record: one, and pieces behind it if its body is long."""
    body = record.body
    text, encoded = said(body) if len(body) <= PIECE_BYTES else (None, None)
    first = Document(
        collection.dialect,
        collection.namespace,
        collection.name,
        id,
        record.version,
        record.created,
        record.updated,
        record.expires,
        record.creator,
        record.updater,
        text,
        encoded,
        None if len(body) <= PIECE_BYTES else len(body),
    )
    return [first] if len(body) <= PIECE_BYTES else [first, *pieces(body)]


def pieces(body: bytes) -> list[Piece]:
    """Return the lines of a long body. Text is cut between two characters."""
    found, start = [], 0
    while start < len(body):
        end = start + PIECE_BYTES
        while end < len(body) and end > start + PIECE_BYTES - 4 and body[end] & 0xC0 == 0x80:
            end -= 1
        found.append(Piece(*said(body[start:end])))
        start = end
    return found
