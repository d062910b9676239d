"""Exports and imports the journals of collections."""

from collections.abc import Callable, Sequence

from service.storage.journal.transfer import Entry, JournalTransfer
from service.storage.keys import Collection
from service.storage.outcomes import Outcome
from service.transfer.lines import ChangeLine, JournalLine, Line, body_of
from service.transfer.rendering import change, names


async def export_journal(
    journals: JournalTransfer, collection: Collection, write: Callable[[str, Sequence[Line]], object]
) -> None:
    """Write the journal of a collection, if it has one. Entries that are added meanwhile are not included."""
    if (most := await journals.bytes(collection)) is None:
        return
    async for fields in journals.state(collection, most):
        write(collection.dialect, [JournalLine(*names(collection), most, fields)])
    async for entries in journals.walk(collection, most):
        write(collection.dialect, [change(collection, entry) for entry in entries])


async def import_state(journals: JournalTransfer, collection: Collection, line: JournalLine) -> None:
    """Write the fields beside a journal."""
    await journals.restore_state(collection, line.state, line.bytes)


async def import_changes(
    journals: JournalTransfer, collection: Collection, portion: Sequence[ChangeLine]
) -> list[Outcome]:
    """Write entries of one journal, and return the outcome of each."""
    entries = [Entry(line.cursor, line.header, line.total, body_of(line) or b"") for line in portion]
    return await journals.restore_many(collection, entries)
