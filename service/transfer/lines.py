"""The types of the lines of an export. Each line is a JSON object; its member `type` names its type (docs/transfer.md).

Decoding a line checks its types, names and sizes, so an import need not trust the file. Times are microseconds since
the epoch; expiries are milliseconds, and 0 means never.
"""

from typing import Annotated, Any, Literal, TypeAlias

from msgspec import Meta, Struct
from msgspec.json import Decoder, Encoder

from service.storage.records.record import CALLER_ID_BYTES
from service.storage.variables.variables import KEY_BYTES, NUMBER, VALUE_BYTES

FORMAT = 1
PIECE_BYTES = 256 * 1024  # bytes of a body in one line; the rest of a longer body is in the lines that follow
LINE_BYTES = 16 * 1024 * 1024  # a longer line is refused, because a line is held in memory as a whole
EXACT = (1 << 53) - 1  # the largest integer that Lua and readers of JSON represent exactly
CURSOR = "^(?!0-0$)(0|[1-9][0-9]{0,14})-(0|[1-9][0-9]{0,14})$"  # as Redis writes the id of an entry of a stream
LAST = 253_402_300_799_999  # ms since the epoch: the end of the year 9999; later times cannot be shown in an answer

Number = Annotated[int, Meta(ge=0, le=EXACT)]
Bytes = Annotated[int, Meta(ge=0, le=1 << 52)]  # bytes of a journal; as many again can be added exactly
Positive = Annotated[int, Meta(ge=1, le=EXACT)]
Expiry = Annotated[int, Meta(ge=0, le=LAST)]
Word = Annotated[str, Meta(pattern="^[a-z][a-z0-9_]{0,39}$")]
Name = Annotated[str, Meta(min_length=1, max_length=1024)]
Text = Annotated[str, Meta(max_length=1024)]
Shown = Annotated[str, Meta(max_length=1024, pattern=r"^[^\x00-\x1f\x7f]*$")]  # sent in a header of an answer
Caller = Annotated[str, Meta(max_length=CALLER_ID_BYTES)]
Size = Annotated[int, Meta(ge=0, le=512 * 1024 * 1024)]  # bytes: the maximum of a string in Redis


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
    """A line about a part of a collection."""

    dialect: Word
    namespace: Text
    collection: Name


class Stored(InCollection):
    """The members that the lines of all records have, except the body."""

    id: Text
    version: Positive
    created: Number
    updated: Number
    expires: Expiry = 0
    creator: Caller = ""
    updater: Caller = ""


class Document(Stored, tag="document"):
    """A document or value.

    Its body is `text`, or `base64` if it is not UTF-8. A long body has `size` bytes in the pieces that follow.
    """

    text: str | None = None
    base64: bytes | None = None
    size: Size | None = None


class BlobLine(Struct, forbid_unknown_fields=True):
    """The id and size of a blob of a record; its bytes are in the pieces that follow."""

    id: Annotated[str, Meta(pattern="^[0-9a-f]{32}$")]
    size: Size


class Content(Struct, forbid_unknown_fields=True, omit_defaults=True):
    """The bytes of a file or value: `text`, `base64`, or the `size` bytes of a blob that begin at `start`."""

    text: str | None = None
    base64: bytes | None = None
    blob: str | None = None
    start: Size = 0
    size: Size = 0


class FileLine(Struct, forbid_unknown_fields=True, omit_defaults=True):
    """A file under a key. A file without `content` was initiated and not uploaded."""

    name: Shown
    size: Number
    md5: bytes
    media: Shown = ""
    content: Content | None = None


class ValueLine(Struct, forbid_unknown_fields=True, omit_defaults=True):
    """A value of a storage area. A value that is a file has a `media` type."""

    expires: Annotated[int, Meta(ge=1, le=LAST)]
    content: Content
    media: Shown = ""
    filename: Shown = ""
    md5: bytes = b""


class Files(Stored, tag="files"):
    """A record with files: one file under a key, or the values of a storage area. Its blobs follow it."""

    blobs: list[BlobLine] = []
    file: FileLine | None = None
    values: dict[Text, ValueLine] | None = None


class Withdrawn(Line, tag="withdrawn"):
    """The end of a record with files that was replaced while it was read: its lines so far do not count."""


class VariableLine(InCollection, tag="variable"):
    """A variable. `user` 0 means that it belongs to no user."""

    id: Annotated[int, Meta(ge=1, le=NUMBER)]
    user: Annotated[int, Meta(ge=0, le=NUMBER)]
    key: Annotated[str, Meta(min_length=1, max_length=KEY_BYTES)]
    value: Annotated[str, Meta(max_length=VALUE_BYTES)]
    created: Number
    updated: Number


class User(Line, tag="user"):
    """A user whose name is a text: its number, and its display name, "" for the default."""

    dialect: Word
    name: Name
    number: Annotated[int, Meta(ge=1, le=NUMBER)]
    display: Text = ""


class Counter(Line, tag="counter"):
    """The last number that was assigned to a user or a variable."""

    dialect: Word
    name: Literal["user", "variable"]
    last: Annotated[int, Meta(ge=0, le=NUMBER)]


class EntryLine(Line, tag="entry"):
    """An entry that the access document declares."""

    dialect: Word
    kind: Word
    id: Name
    value: dict[str, Any]


class LinksLine(Line, tag="links"):
    """The links of an id: the revision of each link, by member."""

    dialect: Word
    kind: Name
    id: Name
    members: dict[Name, Number]


class GrantsLine(InCollection, tag="grants"):
    """The grants of a collection: the verbs of each subject, as letters of `rwd`."""

    revision: Number
    verbs: dict[Name, Annotated[str, Meta(pattern="^[rwd]{1,3}$")]]


class JournalLine(InCollection, tag="journal"):
    """The state of a journal, before its entries: the bytes of all entries, and the fields beside the journal."""

    bytes: Bytes
    state: dict[Name, Text]


class ChangeLine(InCollection, tag="change"):
    """An entry of a journal: cursor, packed header, value, and the total bytes of all entries up to this one."""

    cursor: Annotated[str, Meta(pattern=CURSOR)]
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
    """Return the bytes of `text` or `base64`, or None if the line has neither."""
    return line.base64 if line.text is None else line.text.encode()


def text_or_base64(body: bytes) -> tuple[str | None, bytes | None]:
    """Return the members `text` and `base64` of a line for these bytes; one of them is None."""
    try:
        return body.decode(), None
    except UnicodeDecodeError:
        return None, body
