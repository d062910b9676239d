"""Checks of an export that a single line cannot show: the order of lines, bodies in pieces, documents that are JSON.

An import runs these checks over the whole file before its first write.
"""

import re
import time
from collections.abc import Container, Iterable, Iterator
from itertools import chain

import msgspec

from service.api.parsing import validate
from service.storage.errors import Invalid
from service.storage.journal.change import BEGINNING, Header, decode_header, position, weight
from service.storage.journal.transfer import FREED, TRIMMED
from service.storage.records.record import CALLER_ID_BYTES
from service.storage.scripts.bounds import INLINE_BYTES
from service.storage.variables.variables import KEY_BYTES, VALUE_BYTES
from service.transfer.archive import Damaged
from service.transfer.lines import (
    CURSOR,
    EXACT,
    ChangeLine,
    Declared,
    Document,
    Files,
    JournalLine,
    Line,
    Namespace,
    Piece,
    Stored,
    VariableLine,
    Withdrawn,
    body_of,
)

AHEAD = (
    315_360_000  # seconds that a cursor may be ahead of the clock: ten years, the longest age of a journal's entries
)
LARGEST = 10**14  # the second number of a cursor: it rises by 1 for each change while the clock is behind the cursor
STATE_FIELDS = 10_000  # limit of a journal's fields in one line; an export writes about 500 into each
# Version and etag of a record that will expire. Numbers of 15 digits are exact in Lua.
_remembered = re.compile(r"[0-9]{1,15} [0-9a-f]{0,32}").fullmatch
_etag = re.compile(r"[0-9a-f]{0,32}").fullmatch
_STATE = {  # the fields beside a journal, which lua/include/enter_write.lua and trim_portion.lua write
    # Nine digits of seconds are 31 years. With ten, lua/include/trim_journal.lua could compute a negative cursor.
    "limits": re.compile(r"[0-9]{1,10} 0?[0-9]{1,9}").fullmatch,
    TRIMMED: re.compile(CURSOR).fullmatch,
    FREED: re.compile(r"[0-9]{1,16}").fullmatch,
}


class _Journals:
    """The byte counts and cursors of the journal that is being checked: first its state, then its entries."""

    def __init__(self) -> None:
        self._namespaces = set[tuple[str, str]]()  # dialect and namespace
        self._cursor = BEGINNING  # the cursor of the last entry that was removed or checked
        self._place = ("", "", "")  # dialect, namespace and collection
        self._bytes = self._freed = 0
        self._entered = False
        self._latest = (int(time.time()) + AHEAD) * 1000  # ms

    def namespace(self, line: Namespace) -> None:
        """Note a namespace whose collections are listed."""
        self._namespaces.add((line.dialect, line.namespace))

    def state(self, line: JournalLine) -> None:
        """Check a line of a journal's state; later lines must agree with the first one. Raises Damaged."""
        place = line.dialect, line.namespace, line.collection
        if place < self._place or (place == self._place and self._entered):
            raise Damaged("journals must be in the order of their names, and each state before its entries")
        if place > self._place:
            self._place, self._bytes, self._freed, self._entered = place, line.bytes, 0, False
            self._cursor = BEGINNING
        if line.bytes != self._bytes:
            raise Damaged(f"`bytes` must be {self._bytes}, as in the line of this journal before it")
        if FREED in line.state:
            self._freed = max(self._freed, int(line.state[FREED]))
        if self._freed > self._bytes:
            raise Damaged(f"`freed` must be at most the journal's `bytes`, {self._bytes}")
        if TRIMMED in line.state:
            self._bounded("trimmed", line.state[TRIMMED])
            self._cursor = max(self._cursor, line.state[TRIMMED], key=position)
        if place[:2] not in self._namespaces:  # otherwise neither exports nor checks would find the journal
            raise Damaged("it must come after the `namespace` of its collection")

    def entry(self, line: ChangeLine, header: Header, value: bytes) -> None:
        """Check one entry. Raises Damaged.

        Only the total of the first entry must be larger than the removed bytes (`freed`). The totals need not rise:
        they do not if the entries of one journal were imported after those of another one.
        """
        if (line.dialect, line.namespace, line.collection) != self._place:
            raise Damaged("it must come after the `journal` of its collection")
        least = weight(header.id, header.author, value) + (0 if self._entered else self._freed)
        if not least <= line.total <= self._bytes:
            raise Damaged(f"`total` must be from {least} (its bytes, after `freed`) to the journal's {self._bytes}")
        self._bounded("cursor", line.cursor)
        if position(line.cursor) <= position(self._cursor):
            raise Damaged(f"`cursor` must be higher than {self._cursor}, that of the entry before it")
        self._entered, self._cursor = True, line.cursor

    def _bounded(self, name: str, cursor: str) -> None:
        """Refuse a cursor far in the future, because all later changes would get higher ones. Raises Damaged."""
        ms, number = position(cursor)
        if ms > self._latest or number > LARGEST:
            most = f"{self._latest}-{LARGEST}, ten years from now"
            raise Damaged(f"`{name}` must be at most {most}: all later changes get larger cursors")


class Checked:
    """The checked lines of an export; a document has its whole body. Iterating raises Damaged."""

    def __init__(self, blocks: Iterable[list[Line]], dialects: Container[str]) -> None:
        self._lines = chain.from_iterable(blocks)
        self._dialects = dialects
        self._journals = _Journals()
        self._number = 1  # the number of the last line that was read

    def __iter__(self) -> Iterator[Line]:
        for line in self._lines:
            self._number += 1
            number = self._number
            try:
                if isinstance(line, Document):
                    yield self._document(line)
                    continue
                if isinstance(line, Piece):
                    raise Damaged("it continues a body, but no line before it begins one")
                if isinstance(line, Files):
                    self._stored(line)
                    yield from self._files(line)
                    continue
                if isinstance(line, Declared):
                    self._known(line.dialect)
                if isinstance(line, Namespace):
                    self._journals.namespace(line)
                if isinstance(line, ChangeLine | JournalLine):
                    self._journal(line)
                if isinstance(line, VariableLine):
                    self._variable(line)
            except (Damaged, Invalid) as error:
                raise Damaged(f"line {number}: {error}") from None
            yield line

    def _journal(self, line: ChangeLine | JournalLine) -> None:
        if isinstance(line, ChangeLine):
            try:
                header = decode_header(line.header)
            except msgspec.DecodeError:
                raise Damaged("`header` is not that of a change") from None
            if not _etag(header.etag):
                raise Damaged("`header` is not that of a change")
            if not (0 <= header.at <= EXACT and 0 <= header.version <= EXACT and 0 <= header.size <= EXACT):
                raise Damaged("`header` has a number that is too large or negative")
            document = body_of(line) or b""
            if document:
                if len(document) > INLINE_BYTES:  # reading 32 larger values would block Redis for too long
                    raise Damaged(f"its value must have at most {INLINE_BYTES} bytes")
                validate(document)
                if header.operation in ("delete", "expire"):
                    raise Damaged("a delete or expire must have no value")
                if header.size != len(document):
                    raise Damaged(f"`header` must have the size of the value, {len(document)}")
            self._journals.entry(line, header, document)
            return
        if len(line.state) > STATE_FIELDS:
            raise Damaged(f"`state` must have at most {STATE_FIELDS} fields in one line")
        for name, value in line.state.items():
            form = _remembered if name.startswith(":") else _STATE.get(name)
            if form is None or not form(value):
                raise Damaged("`state` is not that of a journal")
        self._journals.state(line)

    def _variable(self, line: VariableLine) -> None:
        if len(line.key.encode()) > KEY_BYTES or len(line.value.encode()) > VALUE_BYTES:
            raise Damaged(f"`key` must have at most {KEY_BYTES} bytes, and `value` at most {VALUE_BYTES}")

    def _files(self, line: Files) -> Iterator[Line]:
        """Check a record with files, and yield it and the pieces that follow it. Raises Damaged."""
        if (line.file is None) == (line.values is None) or (line.id == "") != (line.file is None):
            raise Damaged("it must have `file` and an `id`, or `values` and no `id`")
        sizes = {blob.id: blob.size for blob in line.blobs}
        contents = [value.content for value in (line.values or {}).values()]
        if line.file is not None and line.file.content is not None:
            contents.append(line.file.content)
        for content in contents:
            if (content.text is not None) + (content.base64 is not None) + (content.blob is not None) != 1:
                raise Damaged("a `content` must have one of `text`, `base64` and `blob`")
            if content.blob is not None and content.start + content.size > sizes.get(content.blob, -1):
                raise Damaged("a `content` is outside of its blob")
        yield line
        left = sum(sizes.values())
        while left > 0:
            piece = next(self._lines, None)
            self._number += 1
            if isinstance(piece, Withdrawn):
                yield piece
                return
            body = body_of(piece) if isinstance(piece, Piece) else None
            if not body or len(body) > left:
                raise Damaged("its files are incomplete: the pieces that follow it are too few, too long or empty")
            left -= len(body)
            assert piece is not None
            yield piece

    def _known(self, dialect: str) -> None:
        if dialect not in self._dialects:
            raise Damaged(f"this version knows no dialect {dialect!r}")

    def _stored(self, line: Stored) -> None:
        self._known(line.dialect)
        for caller in (line.creator, line.updater):
            if not caller.isascii() and len(caller.encode()) > CALLER_ID_BYTES:
                raise Damaged(f"the id of a caller must have at most {CALLER_ID_BYTES} bytes")

    def _document(self, line: Document) -> Document:
        """Check a document, after its body is joined from the pieces that follow it. Raises Damaged, Invalid."""
        self._stored(line)
        if (line.text is not None) + (line.base64 is not None) + (line.size is not None) != 1:
            raise Damaged("it must have one of `text`, `base64` and `size`")
        body = body_of(line)
        if body is None:
            body = line.base64 = b"".join(self.pieces(line.size or 0))
        validate(body)
        return line

    def pieces(self, size: int) -> Iterator[bytes]:
        """Read the next lines and yield the pieces of a body of `size` bytes. Raises Damaged."""
        while size > 0:
            line = next(self._lines, None)
            self._number += 1
            piece = body_of(line) if isinstance(line, Piece) else None
            if not piece or len(piece) > size:
                raise Damaged("its body is incomplete: the pieces that follow it are too few, too long or empty")
            size -= len(piece)
            yield piece
