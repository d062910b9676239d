"""The lines of an export, as types: one JSON object a line, whose member `type` says what it is (docs/transfer.md).

A line that decodes into one of these types has valid types, names and sizes, so an import never has to trust a file.
Times are microseconds since the epoch, expiries milliseconds; 0 is never.
"""

from typing import Annotated, Any, Literal, TypeAlias

from msgspec import Meta, Struct
from msgspec.json import Decoder, Encoder

from service.storage.records.record import CALLER_ID_BYTES
from service.storage.variables.variables import KEY_BYTES, NUMBER, VALUE_BYTES

FORMAT = 1
PIECE_BYTES = 256 * 1024  # of a body in one line; a longer body is continued in the lines behind it
LINE_BYTES = 16 * 1024 * 1024  # a longer line is refused: it would have to be in memory as a whole
EXACT = (1 << 53) - 1  # the largest number that Lua and JSON readers hold exactly
LAST = 253_402_300_799_999  # ms since the epoch: the last of the year 9999, after which no answer can tell a time

Number = Annotated[int, Meta(ge=0, le=EXACT)]
Bytes = Annotated[int, Meta(ge=0, le=1 << 52)]  # of a journal: as many can be added before they are not exact
Positive = Annotated[int, Meta(ge=1, le=EXACT)]
Expiry = Annotated[int, Meta(ge=0, le=LAST)]
Word = Annotated[str, Meta(pattern="^[a-z][a-z0-9_]{0,39}$")]
Name = Annotated[str, Meta(min_length=1, max_length=1024)]
Text = Annotated[str, Meta(max_length=1024)]
Shown = Annotated[str, Meta(max_length=1024, pattern=r"^[^\x00-\x1f\x7f]*$")]  # stands in a header of an answer
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
    """A namespace whose collections are listed, with the letters of their indexes. It comes before its documents."""

    dialect: Word
    namespace: Text
    indexes: Annotated[str, Meta(pattern="^[cusn]{1,4}$")]


class InCollection(Line):
    """A line about something in a collection."""

    dialect: Word
    namespace: Text
    collection: Name


class Stored(InCollection):
    """The state of a record, whatever its body is."""

    id: Text
    version: Positive
    created: Number
    updated: Number
    expires: Expiry = 0
    creator: Caller = ""
    updater: Caller = ""


class Document(Stored, tag="document"):
    """A document or value.

    Its body is `text`; or `base64` if it is not UTF-8; or `size` bytes in the pieces behind it if it is long.
    """

    text: str | None = None
    base64: bytes | None = None
    size: Size | None = None


class BlobLine(Struct, forbid_unknown_fields=True):
    """Bytes that are too many for their record, which stand in the pieces behind it."""

    id: Annotated[str, Meta(pattern="^[0-9a-f]{32}$")]
    size: Size


class Content(Struct, forbid_unknown_fields=True, omit_defaults=True):
    """The bytes of a file or value: `text`, or `base64`, or `size` bytes of a blob from `start` on."""

    text: str | None = None
    base64: bytes | None = None
    blob: str | None = None
    start: Size = 0
    size: Size = 0


class FileLine(Struct, forbid_unknown_fields=True, omit_defaults=True):
    """A file under a key; without `content` it was initiated and not uploaded."""

    name: Shown
    size: Number
    md5: bytes
    media: Shown = ""
    content: Content | None = None


class ValueLine(Struct, forbid_unknown_fields=True, omit_defaults=True):
    """A value of a storage area; a file has a `media` type."""

    expires: Annotated[int, Meta(ge=1, le=LAST)]
    content: Content
    media: Shown = ""
    filename: Shown = ""
    md5: bytes = b""


class Files(Stored, tag="files"):
    """A record with files: one file under a key, or the values of a storage area. Its blobs stand behind it."""

    blobs: list[BlobLine] = []
    file: FileLine | None = None
    values: dict[Text, ValueLine] | None = None


class Withdrawn(Line, tag="withdrawn"):
    """The record with files in the lines before was replaced while it was read: those lines do not count."""


class VariableLine(InCollection, tag="variable"):
    """A variable; `user` 0 is no user."""

    id: Annotated[int, Meta(ge=1, le=NUMBER)]
    user: Annotated[int, Meta(ge=0, le=NUMBER)]
    key: Annotated[str, Meta(min_length=1, max_length=KEY_BYTES)]
    value: Annotated[str, Meta(max_length=VALUE_BYTES)]
    created: Number
    updated: Number


class User(Line, tag="user"):
    """A user whom a vendor names by a text: its number and display name, "" for the usual one."""

    dialect: Word
    name: Name
    number: Annotated[int, Meta(ge=1, le=NUMBER)]
    display: Text = ""


class Counter(Line, tag="counter"):
    """The last number that was assigned to a user, or reserved for a variable."""

    dialect: Word
    name: Literal["user", "variable"]
    last: Annotated[int, Meta(ge=0, le=NUMBER)]


class EntryLine(Line, tag="entry"):
    """A declared entry of the access document."""

    dialect: Word
    kind: Word
    id: Name
    value: dict[str, Any]


class LinksLine(Line, tag="links"):
    """The members to which an id is linked, with the revisions of the links."""

    dialect: Word
    kind: Name
    id: Name
    members: dict[Name, Number]


class GrantsLine(InCollection, tag="grants"):
    """The grants of a collection: the verbs of each subject, letters of `rwd`."""

    revision: Number
    verbs: dict[Name, Annotated[str, Meta(pattern="^[rwd]{1,3}$")]]


class JournalLine(InCollection, tag="journal"):
    """The state of a collection's journal, before its entries: the bytes of all entries, and the fields beside them."""

    bytes: Bytes
    state: dict[Name, Text]


class ChangeLine(InCollection, tag="change"):
    """An entry of a journal: its cursor, packed header and value, and the bytes of all entries up to it."""

    cursor: Annotated[str, Meta(pattern="^[0-9]{1,15}-[0-9]{1,15}$")]
    header: Annotated[bytes, Meta(max_length=4096)]
    total: Bytes
    text: str | None = None
    base64: bytes | None = None


class PasswordLine(Line, tag="password"):
    """The salted digest of a user's password."""

    dialect: Word
    user: Name
    digest: Annotated[bytes, Meta(min_length=80, max_length=80)]


class Piece(Line, tag="piece"):
    """The next piece of the body that an earlier line began."""

    text: str | None = None
    base64: bytes | None = None


AnyLine: TypeAlias = (
    Beginning
    | Ending
    | Namespace
    | Document
    | Files
    | Withdrawn
    | VariableLine
    | User
    | Counter
    | EntryLine
    | LinksLine
    | GrantsLine
    | PasswordLine
    | JournalLine
    | ChangeLine
    | Piece
)
Declared: TypeAlias = (
    Namespace
    | VariableLine
    | User
    | Counter
    | EntryLine
    | LinksLine
    | GrantsLine
    | PasswordLine
    | JournalLine
    | ChangeLine
)

encode = Encoder().encode_lines
decode = Decoder(AnyLine).decode_lines


def body_of(line: Document | Piece | ChangeLine) -> bytes | None:
    """Return the bytes that a line holds, None if it holds none."""
    return line.base64 if line.text is None else line.text.encode()


def said(body: bytes) -> tuple[str | None, bytes | None]:
    """Return bytes as they stand in a line: `text` and `base64`, one of which is None."""
    try:
        return body.decode(), None
    except UnicodeDecodeError:
        return None, body
