"""A change, as it is stored in a journal by lua/include/enter_change.lua."""

import re
from collections.abc import Sequence
from typing import Literal

from msgpack import packb
from msgspec import Struct
from msgspec.msgpack import Decoder

from service.storage.errors import Invalid

Operation = Literal["create", "put", "patch", "delete", "expire"]

BEGINNING = "0-0"  # the cursor before all changes

_cursor = re.compile(r"(0|[1-9][0-9]{0,15})-(0|[1-9][0-9]{0,15})", re.ASCII).fullmatch


class Header(Struct, array_like=True, gc=False):
    """An entry's header. `version` is 0, `etag` and `author` are "" where they are not known."""

    id: str
    operation: Operation
    version: int
    etag: str
    author: str
    at: int
    size: int


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


def start(id: str) -> bytes:
    """Return the first bytes of the packed headers of a record's entries: an array of seven, and the id."""
    return b"\x97" + bytes(packb(id))


def weight(id: str, author: str, value: bytes) -> int:
    """Return the bytes that an entry counts, as lua/include/enter_change.lua adds them."""
    return 64 + len(id.encode()) + len(author.encode()) + len(value)


def position(cursor: str) -> tuple[int, int]:
    """Return the two numbers of a cursor. Raises Invalid."""
    if (found := _cursor(cursor)) is None:
        raise Invalid("the cursor is not one that this service has answered")
    return int(found[1]), int(found[2])


def decode(cursor: bytes, fields: Sequence[bytes]) -> Change:
    """Make a change of an entry of the stream: its id, and names and values of its fields in turn."""
    return change(cursor, fields[1], fields[5])


def change(cursor: bytes, packed: bytes, value: bytes = b"") -> Change:
    """Make a change of an entry's cursor, packed header and value."""
    header = decode_header(packed)
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
