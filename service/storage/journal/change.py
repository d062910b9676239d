"""A change, as it is stored in a journal by lua/include/enter_change.lua.

An entry of the stream has one field: its name is the packed header, its value is the body. Entries of a former version
have three, `h`, `t` and `v`: a header without the total, the total, and the body. They are read as well.
"""

import re
from collections.abc import Sequence
from typing import Literal, TypeAlias

from msgpack import packb
from msgspec import Struct
from msgspec.msgpack import Decoder, Encoder

from service.storage.errors import Invalid

Operation = Literal["create", "put", "patch", "delete", "expire"]

BEGINNING = "0-0"  # the cursor before all changes
LAST_NUMBER = 10**15 - 1  # the largest second number of a cursor that an import accepts

_EIGHT = b"\x98"  # begins an array of eight values
_cursor = re.compile(r"(0|[1-9][0-9]{0,15})-(0|[1-9][0-9]{0,15})", re.ASCII).fullmatch


class Header(Struct, array_like=True, gc=False):
    """An entry's header in archives and in the entries of a former version.

    `version` is 0, and `etag` and `author` are "", if they are not known.
    """

    id: str
    operation: Operation
    version: int
    etag: str
    author: str
    at: int
    size: int


class Stored(Struct, array_like=True, gc=False):
    """An entry's header as it is stored. `total` are the bytes of all entries that were ever added, up to this one.

    The worker packs the first five values; the script appends the others. The id is the first one, because histories
    search for it.
    """

    id: str
    operation: Operation
    author: str
    size: int
    etag: str
    version: int
    at: int
    total: int


Entered: TypeAlias = tuple[Header, int, bytes]  # header, total and value of an entry


class Change(Struct, frozen=True):
    """One change. `cursor` is its position in the journal.

    `operation` is create, put, patch, delete or expire. `version` and `etag` are those of the record after the change;
    of a delete or expire, those it removed. Each is None if it is not known: the record was written before the journal
    was declared. `author` is the caller's id, None for an expire. `at` is in microseconds. `size` is that of the body
    in bytes, None of a delete or expire; `value` is the body, None if it was not kept or not asked for.
    """

    cursor: str
    operation: Operation
    id: str
    version: int | None
    etag: str | None
    author: str | None
    at: int
    size: int | None
    value: bytes | None = None


def packed_id(id: str) -> bytes:
    """Return the bytes that follow the first byte of the packed headers of a record's entries."""
    return bytes(packb(id))


def start(operation: str, id: str, author: str, size: int, etag: str) -> bytes:
    """Return the packed header of an entry up to its etag; lua/include/enter_change.lua appends the other three."""
    return _EIGHT + _encode((id, operation, author, size, etag))[1:]


def without_total(header: Header) -> bytes:
    """Return the packed header of an entry up to its total; lua/reenter.lua appends it."""
    return start(header.operation, header.id, header.author, header.size, header.etag) + b"".join(
        (_encode(header.version), _encode(header.at))
    )


def weight(id: str, author: str, value: bytes) -> int:
    """Return the size of an entry as lua/include/enter_change.lua counts it, in bytes."""
    return 64 + len(id.encode()) + len(author.encode()) + len(value)


def position(cursor: str) -> tuple[int, int]:
    """Return the two numbers of a cursor. Raises Invalid."""
    if (found := _cursor(cursor)) is None:
        raise Invalid("the cursor is not one that this service has answered")
    return int(found[1]), int(found[2])


def before(cursor: str) -> str:
    """Return the cursor directly before this one: no entry of a journal is between them. Raises Invalid."""
    ms, number = position(cursor)
    if number:
        return f"{ms}-{number - 1}"
    return f"{ms - 1}-{LAST_NUMBER}" if ms else BEGINNING


def decode(cursor: bytes, fields: Sequence[bytes]) -> Change:
    """Make a change of an entry of the stream: its id, and names and values of its fields in turn."""
    if len(fields) > 2:  # of a former version
        return change(cursor, fields[1], fields[5])
    return change(cursor, fields[0], fields[1])


def unpacked(fields: Sequence[bytes]) -> Entered:
    """Return an entry's header, total and value. Raises msgspec.DecodeError."""
    if len(fields) > 2:  # of a former version
        return decode_header(fields[1]), int(fields[3]), fields[5]
    found = _decode(fields[0])
    header = Header(found.id, found.operation, found.version, found.etag, found.author, found.at, found.size)
    return header, found.total, fields[1]


def change(cursor: bytes, packed: bytes, value: bytes = b"") -> Change:
    """Make a change of an entry's cursor, packed header and value."""
    header = _decode(packed) if packed.startswith(_EIGHT) else decode_header(packed)
    leaves = header.operation in ("delete", "expire")
    return Change(
        cursor.decode(),
        header.operation,
        header.id,
        header.version or None,
        header.etag or None,
        header.author or None,
        header.at,
        None if leaves else header.size,
        value or None,
    )


decode_header = Decoder(Header).decode
encode_header = Encoder().encode
_decode = Decoder(Stored).decode
_encode = Encoder().encode
