"""The checks that the lines of an export pass together: their order, bodies in pieces, documents that are JSON.

An import of a file runs them over the whole file before its first write.
"""

from collections.abc import Container, Iterable, Iterator
from itertools import chain

from service.api.parsing import validate
from service.storage.errors import Invalid
from service.storage.records.record import CALLER_ID_BYTES
from service.transfer.archive import Damaged
from service.transfer.lines import Document, Line, Namespace, Piece, Stored, body_of


class Checked:
    """The lines of an export, one after the other; documents whole. Iterating raises Damaged."""

    def __init__(self, blocks: Iterable[list[Line]], dialects: Container[str]) -> None:
        self._lines = chain.from_iterable(blocks)
        self._dialects = dialects
        self._number = 1  # of the line that was read last

    def __iter__(self) -> Iterator[Line]:
        for line in self._lines:
            self._number += 1
            number = self._number
            try:
                if isinstance(line, Document):
                    yield self._document(line)
                    continue
                if isinstance(line, Piece):
                    raise Damaged("it continues a body, and no line before it began one")
                if isinstance(line, Namespace):
                    self._known(line.dialect)
            except (Damaged, Invalid) as error:
                raise Damaged(f"line {number}: {error}") from None
            yield line

    def _known(self, dialect: str) -> None:
        if dialect not in self._dialects:
            raise Damaged(f"this version knows no dialect {dialect!r}")

    def _stored(self, line: Stored) -> None:
        self._known(line.dialect)
        for caller in (line.creator, line.updater):
            if not caller.isascii() and len(caller.encode()) > CALLER_ID_BYTES:
                raise Damaged(f"the id of a caller has at most {CALLER_ID_BYTES} bytes")

    def _document(self, line: Document) -> Document:
        """Check a document, and put it together if its body is in pieces. Raises Damaged, Invalid."""
        self._stored(line)
        if (line.text is not None) + (line.base64 is not None) + (line.size is not None) != 1:
            raise Damaged("it must have one of `text`, `base64` and `size`")
        body = body_of(line)
        if body is None:
            body = line.base64 = b"".join(self.pieces(line.size or 0))
        validate(body)
        return line

    def pieces(self, size: int) -> Iterator[bytes]:
        """Yield the pieces of a body of `size` bytes, which the next lines hold. Raises Damaged."""
        while size > 0:
            line = next(self._lines, None)
            self._number += 1
            piece = body_of(line) if isinstance(line, Piece) else None
            if not piece or len(piece) > size:
                raise Damaged("its body is not whole: the pieces behind it are too few, too long or empty")
            size -= len(piece)
            yield piece
