"""The lines of an export, as types: one JSON object a line, whose member `type` says what it is (docs/transfer.md).

Whatever decodes into these types has lawful types, names and sizes, so an import never has to trust a file. Times are
microseconds since the epoch, expiries milliseconds; 0 is never.
"""

from typing import Annotated, TypeAlias

from msgspec import Meta, Struct
from msgspec.json import Decoder, Encoder

from service.storage.records.record import CALLER_ID_BYTES

FORMAT = 1
PIECE_BYTES = 256 * 1024  # of a body in one line; a longer body is continued in the lines behind it
LINE_BYTES = 16 * 1024 * 1024  # a longer line is refused: it would have to be in memory as a whole
EXACT = (1 << 53) - 1  # the largest number that Lua and JSON readers hold exactly

Number = Annotated[int, Meta(ge=0, le=EXACT)]
Positive = Annotated[int, Meta(ge=1, le=EXACT)]
Word = Annotated[str, Meta(pattern="^[a-z][a-z0-9_]{0,39}$")]
Name = Annotated[str, Meta(min_length=1, max_length=1024)]
Text = Annotated[str, Meta(max_length=1024)]
Caller = Annotated[str, Meta(max_length=CALLER_ID_BYTES)]
Size = Annotated[int, Meta(ge=0, le=512 * 1024 * 1024)]  # bytes: what a string of Redis holds


class Line(Struct, forbid_unknown_fields=True, omit_defaults=True):
    """A line of an export."""


class Beginning(Line, tag="export"):
    """The first line: the format, and the version of the service that wrote it."""

    format: int
    service: str


class Ending(Line, tag="manifest"):
    """The last line: how many records of each type each dialect has, and the SHA-256 of all lines before it."""

    counts: dict[str, dict[str, int]]
    sha256: str


class Namespace(Line, tag="namespace"):
    """A namespace whose collections are listed: the letters of their indexes. It stands before its documents."""

    dialect: Word
    namespace: Text
    indexes: Annotated[str, Meta(pattern="^[cusn]{1,4}$")]


class Stored(Line):
    """The state of a record, whatever its body is."""

    dialect: Word
    namespace: Text
    collection: Name
    id: Text
    version: Positive
    created: Number
    updated: Number
    expires: Number = 0
    creator: Caller = ""
    updater: Caller = ""


class Document(Stored, tag="document"):
    """A document or value.

    Its body is `text`; or `base64` if it is not UTF-8; or `size` bytes in the pieces behind it if it is long.
    """

    text: str | None = None
    base64: bytes | None = None
    size: Size | None = None


class Piece(Line, tag="piece"):
    """The next piece of the body that an earlier line began."""

    text: str | None = None
    base64: bytes | None = None


AnyLine: TypeAlias = Beginning | Ending | Namespace | Document | Piece

encode = Encoder().encode_lines
decode = Decoder(AnyLine).decode_lines


def body_of(line: Document | Piece) -> bytes | None:
    """Return the bytes that a line holds, None if it holds none."""
    return line.base64 if line.text is None else line.text.encode()


def said(body: bytes) -> tuple[str | None, bytes | None]:
    """Return bytes as they stand in a line: `text` and `base64`, one of which is None."""
    try:
        return body.decode(), None
    except UnicodeDecodeError:
        return None, body
