"""Forms, read part by part as they arrive: multipart (RFC 7578) or URL-encoded (WHATWG URL, section 5).

Both kinds yield the same `Part`. If the whole form has arrived, each part has its content as bytes, which takes a third
of the time. Otherwise the content is an iterator of pieces: the reader reads them before it asks for the next part, the
pieces that it leaves are skipped, and only one piece is in memory, so a form may be larger than memory.
"""

import re
from base64 import b64decode
from binascii import a2b_qp
from codecs import getincrementaldecoder
from collections.abc import AsyncIterator, Iterator, Mapping
from itertools import chain
from typing import Protocol, TypeAlias, cast
from urllib.parse import unquote_to_bytes

from msgspec import Struct
from multipart import MultipartError, MultipartSegment, ParserLimitReached, PushMultipartParser, parse_options_header

from service.api.dialect import Unsupported
from service.storage.errors import Invalid, TooLarge

HEADER_BYTES = 8192  # the longest header of a part
HEADERS = 16  # most headers of a part
NAME_CHARACTERS = 256
PORTION = 65_536  # bytes that are decoded at a time
MALFORMED = "the multipart form is malformed or cut off"
BOUNDARY_BYTES = 200  # the longest boundary; RFC 2046, section 5.1.1, allows 70

# Charsets of texts. Python has other codecs, such as zip and rot13, that must not be reachable from a request.
_charset = re.compile(
    r"(utf-?(8|16(le|be)?)|us-ascii|ascii|latin-?1|iso-?8859-?[0-9]{1,2}|windows-?125[0-8]|cp125[0-8]|koi8-[ru]"
    r"|shift[-_]jis|euc-(jp|kr)|gbk|gb2312|gb18030|big5)",
    re.ASCII,
).fullmatch
_parameters = re.compile(r';\s*([A-Za-z0-9_*-]+)\s*=\s*("(?:\\.|[^"\\])*"|[^;]*)').findall
_extended = re.compile(r"([^']*)'[^']*'((?:[^%]|%[0-9A-Fa-f]{2})*)", re.ASCII | re.DOTALL).fullmatch  # RFC 5987
_between_words = re.compile(r"(?<=\?=)\s+(?==\?)")
_word = re.compile(r"=\?([^?\s]+)\?([BbQq])\?([^?\s]*)\?=")  # RFC 2047

# A line break inside a header. The multipart parser accepts it if the header arrives in one piece.
_broken = re.compile(r"[\r\n]").search

# A part begins (str: its name; MultipartSegment: its headers), a piece of its content (bytes), the part ends (None).
Event: TypeAlias = str | bytes | MultipartSegment | None
Content: TypeAlias = bytes | AsyncIterator[bytes]  # the whole content, or its pieces as they arrive


class Parser(Protocol):
    """Takes the pieces of a form and yields its events. Raises Invalid, TooLarge."""

    def parse(self, piece: bytes) -> Iterator[Event]: ...

    def close(self) -> Iterator[Event]: ...


class Limits(Struct, frozen=True):
    """Limits of a form: the number of parts, the bytes of one part, the bytes of the whole form."""

    parts: int
    part_bytes: int
    bytes: int


class Part(Struct):
    """One part of a form. A file has a `filename` (which may be empty), a text may have a `charset`."""

    name: str
    content: Content = b""
    filename: str | None = None
    type: str = ""
    charset: str = ""


async def parts(
    headers: Mapping[str, str], pieces: AsyncIterator[bytes], limits: Limits, *, complete: bool = False
) -> AsyncIterator[Part]:
    """Yield the parts of a form in their order. `complete`: the whole form has arrived, as one piece.

    Raises Unsupported if the body is not a form, Invalid if it is malformed or cut off, TooLarge.
    """
    type, options = parse_options_header(headers.get("Content-Type", ""))
    parser: Parser
    if type == "multipart/form-data":
        parser = _Multipart(options.get("boundary", ""), limits)
    elif type == "application/x-www-form-urlencoded":
        parser = _Urlencoded()
    else:
        raise Unsupported("the body must be multipart/form-data or application/x-www-form-urlencoded")
    charset = options.get("charset", "")
    if complete:
        parsed = chain(parser.parse(await anext(pieces, b"")), parser.close())
        for part in _complete(parsed, charset, limits):
            yield part
        async for _ in pieces:  # nothing is left, but the body counts as read only when its iterator has ended
            pass
        return
    count, events = 0, _events(pieces, parser)
    async for event in events:
        count += 1
        part = _part(event, count, charset, limits)
        part.content = content = _content(events, limits.part_bytes)
        yield part
        async for _ in content:
            pass


def _complete(events: Iterator[Event], charset: str, limits: Limits) -> Iterator[Part]:
    """Yield the parts of a form that has arrived whole, with their content."""
    for count, event in enumerate(events, 1):
        part = _part(event, count, charset, limits)
        part.content = b"".join(cast("Iterator[bytes]", iter(events.__next__, None)))
        if len(part.content) > limits.part_bytes:
            raise TooLarge(_long(limits.part_bytes))
        yield part


def _part(event: Event, number: int, charset: str, limits: Limits) -> Part:
    """Return the part that begins with this event, without its content. Raises Invalid, TooLarge."""
    if number > limits.parts:
        raise TooLarge(f"the form must have at most {limits.parts} parts")
    if isinstance(event, MultipartSegment):
        encoding = event.header("Content-Transfer-Encoding", "binary").lower()
        if encoding not in ("binary", "8bit", "7bit"):
            raise Invalid("a part must be sent without a Content-Transfer-Encoding")
        if any(map(_broken, (value for _, value in event.headerlist))):
            raise Invalid("a header of a part has a line break inside it")
        part = Part(event.name or "", b"", _filename(event), event.content_type or "", event.charset or charset)
    else:
        assert isinstance(event, str)
        part = Part(event, charset=charset)
    if not part.name:
        raise Invalid("every part of the form must have a name")
    if len(part.name) > NAME_CHARACTERS:
        raise TooLarge(f"the name of a part must have at most {NAME_CHARACTERS} characters")
    return part


def _filename(segment: MultipartSegment) -> str | None:
    """Return a part's file name: `filename*` (RFC 5987), else `filename`, which may have encoded words (RFC 2047)."""
    header = segment.header("Content-Disposition", "")
    extended = [value for name, value in _parameters(header) if name.lower() == "filename*"]
    if not extended:
        name = segment.filename
        return _word.sub(_decoded_word, _between_words.sub("", name)) if name and "=?" in name else name
    found = _extended(extended[0].strip(' \t"'))
    if found is None:
        raise Invalid("the filename* of a part must be CHARSET'LANGUAGE'NAME, with NAME percent-encoded")
    return _decoded_parameter(unquote_to_bytes(found[2]), found[1], "filename*")


def _decoded_word(found: re.Match[str]) -> str:
    charset, encoding, word = found.groups()
    try:
        if encoding in "Bb":
            text = b64decode(word + "=" * (-len(word) % 4), validate=True)
        elif re.search("=(?![0-9A-Fa-f]{2})", word):
            raise ValueError
        else:
            text = a2b_qp(word, header=True)
    except ValueError:
        raise Invalid("the filename of a part has an encoded word (RFC 2047) that cannot be decoded") from None
    return _decoded_parameter(text, charset.partition("*")[0], "filename")


def _decoded_parameter(text: bytes, charset: str, where: str) -> str:
    """Decode a parameter that names its own charset; `where` is its name. Raises Invalid."""
    if not _charset(charset.lower()):
        raise Invalid(f"the {where} of a part has a charset that is not supported; use UTF-8")
    try:
        return text.decode(charset)
    except (UnicodeError, LookupError):
        raise Invalid(f"the {where} of a part is not in the charset that it names") from None


async def _events(pieces: AsyncIterator[bytes], parser: Parser) -> AsyncIterator[Event]:
    async for piece in pieces:
        for event in parser.parse(piece):
            yield event
    for event in parser.close():
        yield event


async def _content(events: AsyncIterator[Event], limit: int) -> AsyncIterator[bytes]:
    """Yield the pieces of the part that has begun. Raises TooLarge."""
    size = 0
    async for event in events:
        if event is None:
            return
        assert isinstance(event, bytes)
        size += len(event)
        if size > limit:
            raise TooLarge(_long(limit))
        yield event


class _Multipart:
    """Parser of multipart/form-data."""

    def __init__(self, boundary: str, limits: Limits) -> None:
        if not 0 < len(boundary) <= BOUNDARY_BYTES or not boundary.isascii():
            raise Invalid(f"the Content-Type must name the form's boundary: 1 to {BOUNDARY_BYTES} ASCII characters")
        self._limits = limits
        self._parser = PushMultipartParser(
            boundary,
            max_header_size=HEADER_BYTES,
            max_header_count=HEADERS,
            max_segment_size=limits.part_bytes,
            max_segment_count=limits.parts,
        )

    def parse(self, piece: bytes) -> Iterator[Event]:
        try:
            yield from self._parser.parse(piece)
        except ParserLimitReached as error:
            raise TooLarge(_passed(str(error), self._limits)) from None
        except MultipartError:
            raise Invalid(MALFORMED) from None

    def close(self) -> Iterator[Event]:
        try:
            self._parser.close()
        except MultipartError:
            raise Invalid(MALFORMED) from None
        yield from ()


def _passed(said: str, limits: Limits) -> str:
    """Return the message for the limit that the multipart parser reported as exceeded."""
    if "header" in said:
        return f"a part of the form must have at most {HEADERS} headers of at most {HEADER_BYTES} bytes"
    return f"the form must have at most {limits.parts} parts" if "count" in said else _long(limits.part_bytes)


def _long(limit: int) -> str:
    return f"a part of the form must have at most {limit} bytes"


class _Urlencoded:
    """Parser of application/x-www-form-urlencoded.

    `_rest` is the incomplete end of the data: a name, or the first characters of an escape. `_inside`: the parser is
    inside a value, whose name it has yielded.
    """

    def __init__(self) -> None:
        self._rest, self._inside = b"", False

    def parse(self, piece: bytes) -> Iterator[Event]:
        *fields, last = (self._rest + piece).split(b"&")
        for field in fields:
            yield from _field(field, self._inside)
            self._inside = False
        name, equals, value = (b"", b"=", last) if self._inside else last.partition(b"=")
        if not equals:
            self._rest = name
            if len(name) > 12 * NAME_CHARACTERS:  # a character has at most four bytes, each escaped as %XX
                raise TooLarge(f"the name of a part must have at most {NAME_CHARACTERS} characters")
            return
        if not self._inside:
            yield _decoded(name)
            self._inside = True
        cut = _whole(value)
        self._rest = value[cut:]
        yield unescaped(value[:cut])

    def close(self) -> Iterator[Event]:
        yield from _field(self._rest, self._inside)


def _field(field: bytes, inside: bool) -> Iterator[Event]:
    """Yield the remaining events of a field that ends here."""
    if not inside:
        if not field:
            return
        name, _, field = field.partition(b"=")
        yield _decoded(name)
    yield unescaped(field)
    yield None


def unescaped(text: bytes) -> bytes:
    """Decode a name or value of a URL-encoded form, in portions: `unquote_to_bytes` takes 70 times the memory."""
    if b"%" not in text:
        return text.replace(b"+", b" ")
    pieces, start = [], 0
    while start < len(text):
        piece = text[start : start + PORTION]
        if start + PORTION < len(text):
            piece = piece[: _whole(piece)]
        pieces.append(unquote_to_bytes(piece.replace(b"+", b" ")))
        start += len(piece)
    return b"".join(pieces)


def _whole(field: bytes) -> int:
    """Return the length of the part of a value that does not end within an escape."""
    at = field.rfind(b"%", -2)
    return len(field) if at < 0 else at


def _decoded(name: bytes) -> str:
    try:
        return unescaped(name).decode()
    except UnicodeDecodeError:
        raise Invalid("the names of form fields must be UTF-8") from None


def text(part: Part) -> Content:
    """Return the content of a text part, converted to UTF-8. Raises Invalid if it is not in its charset."""
    charset = part.charset.lower() or "utf-8"
    if not _charset(charset):
        raise Invalid(f"the charset of the part {part.name!r} is not supported; use UTF-8")
    content = part.content
    if not isinstance(content, bytes):
        return _decoded_pieces(content, part.name, charset)
    try:
        return content.decode(charset).encode()
    except (UnicodeError, LookupError):
        raise _undecodable(part.name, charset) from None


async def _decoded_pieces(pieces: AsyncIterator[bytes], name: str, charset: str) -> AsyncIterator[bytes]:
    try:
        decode = getincrementaldecoder(charset)().decode
        async for piece in pieces:
            yield decode(piece).encode()
        if last := decode(b"", final=True):
            yield last.encode()
    except (UnicodeError, LookupError):
        raise _undecodable(name, charset) from None


def _undecodable(name: str, charset: str) -> Invalid:
    return Invalid(f"the text of the part {name!r} must be in its charset, {charset}")


async def pieces_of(content: Content) -> AsyncIterator[bytes]:
    """Yield a part's content piece by piece, also if it is complete already."""
    if isinstance(content, bytes):
        yield content
    else:
        async for piece in content:
            yield piece
