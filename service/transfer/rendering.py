"""Renders records as the lines of an export."""

from service.storage.files.areas import Value
from service.storage.files.blobs import Span
from service.storage.files.files import File
from service.storage.files.transfer import Content as Held
from service.storage.journal.transfer import Entry
from service.storage.keys import Collection
from service.storage.records.record import Record
from service.transfer.lines import (
    PIECE_BYTES,
    BlobLine,
    ChangeLine,
    Content,
    Document,
    FileLine,
    Files,
    Line,
    Piece,
    ValueLine,
    text_or_base64,
)


def names(collection: Collection) -> tuple[str, str, str]:
    """Return the members that a line of a collection begins with, in the order of `lines.InCollection`."""
    return collection.dialect, collection.namespace, collection.name


def document(collection: Collection, id: str, record: Record) -> list[Line]:
    """Return the lines of a record: one line, followed by pieces if its body is long."""
    body = record.body
    text, encoded = text_or_base64(body) if len(body) <= PIECE_BYTES else (None, None)
    size = None if len(body) <= PIECE_BYTES else len(body)
    first = Document(*_state(collection, id, record), text, encoded, size)
    return [first] if len(body) <= PIECE_BYTES else [first, *pieces(body)]


def pieces(body: bytes) -> list[Piece]:
    """Return the lines of a long body. Text is split between characters, never inside of one."""
    found, start = [], 0
    while start < len(body):
        end = start + PIECE_BYTES
        while end < len(body) and end > start + PIECE_BYTES - 4 and body[end] & 0xC0 == 0x80:
            end -= 1
        found.append(Piece(*text_or_base64(body[start:end])))
        start = end
    return found


def change(collection: Collection, entry: Entry) -> ChangeLine:
    """Return the line of an entry of a journal."""
    return ChangeLine(*names(collection), entry.cursor, entry.header, entry.total, *text_or_base64(entry.value))


def files(collection: Collection, id: str, record: Record, held: Held, sizes: dict[str, int]) -> Files:
    """Return the first line of a record with files. `sizes`: the size of each of its blobs."""
    return Files(
        *_state(collection, id, record),
        [BlobLine(blob, size) for blob, size in sizes.items()],
        _file(held) if isinstance(held, File) else None,
        None if isinstance(held, File) else {key: _value(value) for key, value in held.items()},
    )


def _state(collection: Collection, id: str, record: Record) -> tuple[str, str, str, str, int, int, int, int, str, str]:
    """Return the members that the lines of all records begin with, in the order of `lines.Stored`."""
    times = record.created, record.updated, record.expires
    return *names(collection), id, record.version, *times, record.creator, record.updater


def _file(file: File) -> FileLine:
    content = None if file.body is None else _content(file.body)
    return FileLine(file.name, file.size, file.md5, file.type, content)


def _value(value: Value) -> ValueLine:
    return ValueLine(value.expires, _content(value.body), value.type, value.filename, value.md5)


def _content(body: bytes | Span) -> Content:
    if isinstance(body, Span):
        return Content(None, None, body.blob, body.start, body.size)
    return Content(*text_or_base64(body))
