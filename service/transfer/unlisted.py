"""Exports everything that no registry lists: values, files, areas, variables, users, declared entries.

It scans all keys of each server, because nothing else names them. A scan can return a key twice if Redis resizes its
hash table meanwhile; the key is exported once.
"""

from collections.abc import Callable, Sequence

from msgspec import Struct

from service.storage import keys, registry
from service.storage.access.transfer import AccessTransfer
from service.storage.errors import NotFound
from service.storage.files.blobs import Span
from service.storage.files.transfer import FileTransfer, spans
from service.storage.journal.transfer import JournalTransfer
from service.storage.keys import Collection
from service.storage.records.record import Record
from service.storage.records.records import READ_BYTES
from service.storage.scripts.fan_out import all_of
from service.storage.scripts.runner import Runner
from service.storage.variables.transfer import VariableTransfer
from service.storage.variables.user_transfer import UserTransfer
from service.transfer.journals import export_journal
from service.transfer.lines import (
    Counter,
    EntryLine,
    GrantsLine,
    Line,
    LinksLine,
    PasswordLine,
    Piece,
    User,
    VariableLine,
    Withdrawn,
    text_or_base64,
)
from service.transfer.rendering import document, files, names

Write = Callable[[str, Sequence[Line]], object]  # a function that writes lines of one dialect


class Selection(Struct, frozen=True):
    """The part of a store that is exported; an empty set selects everything.

    `namespaces` and `collections` select collections that a registry lists, such as categories of projects. If one of
    them is given, nothing else is exported. `access`: credentials and quotas are exported, too.
    """

    dialects: frozenset[str] = frozenset()
    namespaces: frozenset[str] = frozenset()
    collections: frozenset[str] = frozenset()
    access: bool = False

    @property
    def narrow(self) -> bool:
        """True if only collections that a registry lists are exported."""
        return bool(self.namespaces or self.collections)

    private: frozenset[tuple[str, str]] = frozenset()  # (dialect, kind) of entries that only `access` exports


class Unlisted:
    """The part of an export that no registry lists. `write` gets the lines, `progress` the number of records."""

    def __init__(self, runner: Runner, selection: Selection, write: Write, progress: Callable[[int], object]) -> None:
        self._runner, self._selection, self._write, self._progress = runner, selection, write, progress
        self._access, self._files = AccessTransfer(runner), FileTransfer(runner)
        self._variables, self._journals = VariableTransfer(runner), JournalTransfer(runner)
        self._seen: set[int] = set()  # hashes of the keys that were exported
        self._dialects: set[str] = set()  # dialects that have users or variables

    async def run(self) -> None:
        """Export everything that is selected. Counters follow the users and variables that they count."""
        listed = set(await registry.namespaces(self._runner))
        async for portion in registry.stored_keys(self._runner):
            values: list[tuple[Collection, str]] = []
            for key in portion:
                if (parsed := keys.parse(key)) is not None:
                    dialect, namespace, name, kind, id = parsed
                    if kind in ("r:", "j") and (dialect, namespace) in listed:
                        continue
                    if kind in ("r:", "f:", "a", "j") and self._first(dialect, key):
                        collection = keys.collection(dialect, namespace, name, "")
                        if kind == "f:":
                            await self._record_with_files(collection, id)
                        elif kind == "j":
                            await export_journal(self._journals, collection, self._write)
                        elif kind == "a":
                            await self._grants(collection)
                        else:
                            values.append((collection, id))
                elif (place := keys.parse_variables(key)) is not None:
                    if key == keys.variables(place) and self._first(place.dialect, key):
                        await self._collection_of_variables(place)
                elif (shared := keys.parse_shared(key)) is not None and self._first(shared[1], key):
                    await self._declared(*shared)
            await self._values(values)
        for dialect in sorted(self._dialects):
            await self._users(dialect)

    def _first(self, dialect: str, key: str) -> bool:
        """Return True if a key is selected and was not exported yet."""
        mark = hash(key)
        if (self._selection.dialects and dialect not in self._selection.dialects) or mark in self._seen:
            return False
        self._seen.add(mark)
        return True

    async def _values(self, found: Sequence[tuple[Collection, str]]) -> None:
        """Export records of collections without indexes."""
        names = [collection.record(id) for collection, id in found]
        sizes = await all_of(self._runner.command("STRLEN", name, key=name) for name in names)
        portion: list[str] = []
        places, size = list[tuple[Collection, str]](), 0
        for place, name, bytes in zip(found, names, sizes, strict=True):
            if portion and size + bytes > READ_BYTES:
                await self._read(places, portion)
                portion, places, size = [], [], 0
            portion.append(name)
            places.append(place)
            size += bytes
        await self._read(places, portion)

    async def _read(self, places: Sequence[tuple[Collection, str]], names: Sequence[str]) -> None:
        packed = await all_of(self._runner.command("GET", name, key=name) for name in names)
        for (collection, id), record in zip(places, packed, strict=True):
            if record is not None:
                self._write(collection.dialect, document(collection, id, Record.unpack(record)))
                self._progress(1)

    async def _record_with_files(self, collection: Collection, id: str) -> None:
        """Export a record with files. If it is replaced meanwhile, withdraw it and start again."""
        while (found := await self._files.find(collection, id)) is not None:
            attached, held = found
            sizes = {span.blob: attached.blobs[span.blob].size for span in spans(held)}
            self._write(collection.dialect, [files(collection, id, attached.record, held, sizes)])
            try:
                for blob, size in sizes.items():
                    async for piece in self._files.attachments.read(collection, attached, Span(blob, 0, size)):
                        self._write(collection.dialect, [Piece(*text_or_base64(piece))])
            except NotFound:
                self._write(collection.dialect, [Withdrawn()])
                continue
            self._progress(1)
            return

    async def _collection_of_variables(self, collection: Collection) -> None:
        self._dialects.add(collection.dialect)
        async for portion in self._variables.walk(collection):
            lines = [
                VariableLine(*names(collection), one.id, one.user, one.key, one.value, one.created, one.updated)
                for one in portion
            ]
            self._write(collection.dialect, lines)
            self._progress(len(lines))

    async def _grants(self, collection: Collection) -> None:
        if (found := await self._access.grants(collection)) is not None:
            self._write(collection.dialect, [GrantsLine(*names(collection), *found)])

    async def _declared(self, sort: str, dialect: str, kind: str, id: str) -> None:
        lines: list[Line] = []
        if sort == "entry" and (self._selection.access or (dialect, kind) not in self._selection.private):
            if (value := await self._access.entry(dialect, kind, id)) is not None:
                lines.append(EntryLine(dialect, kind, id, value))
        elif sort == "links":
            lines.append(LinksLine(dialect, kind, id, await self._access.links(dialect, kind, id)))
        elif sort == "passwords" and self._selection.access:
            found = await self._access.passwords(dialect)
            lines += [PasswordLine(dialect, user, digest) for user, digest in found.items()]
        elif sort in ("users", "user", "variable"):
            self._dialects.add(dialect)
        if lines:
            self._write(dialect, lines)

    async def _users(self, dialect: str) -> None:
        """Export the users of a dialect, then its counters."""
        users = UserTransfer(self._runner, dialect)
        async for portion in users.walk():
            self._write(dialect, [User(dialect, *user) for user in portion])
        counters: list[Line] = [Counter(dialect, *counter) for counter in (await users.counters()).items()]
        self._write(dialect, counters)
