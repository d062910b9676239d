"""The parser of a connection: aiohttp's, with the checks of RFC 9110 and RFC 9112 that aiohttp does not make.

A malformed message becomes a `Refused`. It is answered like every other message: in its turn after the messages before
it, in the dialect's format, and counted. This parser also avoids three defects of aiohttp's own: it drops valid
messages that arrive in one segment with a malformed one, and those after an `Upgrade` that it does not know, and it
adds the last trailer of a message to the headers of the next.
"""

import re
from collections.abc import Sequence
from http import HTTPMethod
from typing import Any, NamedTuple, cast

from aiohttp.http import HttpRequestParser, HttpVersion10, HttpVersion11, RawRequestMessage
from aiohttp.http_exceptions import BadHttpMessage, BadHttpMethod, HttpProcessingError, LineTooLong
from aiohttp.streams import EMPTY_PAYLOAD, StreamReader
from aiohttp.web_protocol import MAX_MSG_QUEUE_SIZE, RequestHandler, RequestPayloadError
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

# The longest request line. A name that is longer than its dialect's limit fits in, so that the dialect can refuse it.
LINE_BYTES = 65_536
FIELD_BYTES = 8_190  # the longest header line
FIELDS = 128  # most header lines of a message
HEAD_BYTES = LINE_BYTES + 32_768  # the longest head; it takes twice as much memory while it arrives
QUEUE = MAX_MSG_QUEUE_SIZE  # most messages of one connection that wait for their answers
END = b"\r\n\r\n"  # the end of a head, and of chunks with trailers
CHUNK_SIZE = 17  # bytes at the beginning of a chunk: at most 16 digits of its size, and one character after them
LAST_CHUNK = b"\r\n0\r\n\r\n"  # the end of chunks without trailers

# RFC 3986, section 3.2, without userinfo (RFC 9110, section 4.2.4) and without an empty host (section 4.2.1).
_authority = re.compile(
    r"(?:(?:[A-Za-z0-9._~!$&'()*+,;=-]|%[0-9A-Fa-f]{2}){1,255}|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{0,5})?"
).fullmatch
_absolute = re.compile(r"(?i:https?)://([^/?]*)(.*)", re.DOTALL).fullmatch
_request_line = re.compile(rb"([A-Za-z-]+) ([!-~]+)(?: (HTTP/[0-9]+\.[0-9]+)\r?\n)?").match
_chunk_size = re.compile(rb"([0-9A-Fa-f]{1,16})[;\r]").match
_breaks = re.compile(rb"[\r\n]*").match
_repeated = re.compile("Duplicate '([A-Za-z-]+)' header").match

_NO_HEADERS = CIMultiDictProxy(CIMultiDict[str]())

Message = tuple[RawRequestMessage, StreamReader]


class BrokenChunks(RequestPayloadError):
    """The chunks of a body are malformed (RFC 9112, section 7.1)."""


class HeadTooLong(BadHttpMessage):
    """The lines of a head are too long together."""


class Fault(NamedTuple):
    """The reason why a message is refused: the status and the text of the answer."""

    status: int
    message: str


class Refused(RawRequestMessage):
    """A message with a fault. It has the method and the target of its request line if that is readable."""

    fault: Fault


def refused(fault: Fault, method: str = "", target: str = "") -> Refused:
    absolute = _absolute(target)
    path = absolute[2] if absolute else target
    message = Refused(method, path, HttpVersion11, _NO_HEADERS, (), True, None, False, False, URL("/"))
    message.fault = fault
    return message


class Parser(HttpRequestParser):
    """aiohttp's parser, which gets the bytes of one message at a time, so that the end of each message is known.

    `_rest` are bytes that have arrived and are not parsed yet. `_begun` is the beginning of a head, or of a chunk's
    first line, that is still incomplete; `_head` counts the bytes of a head that have arrived. `_seen` are the last
    bytes that were parsed. `_body` is the body of the last message; `_remaining` bytes of it, or of its current chunk,
    have not arrived. `_chunked`: more chunks may follow; `_trailing`: the last chunk has arrived and trailers may
    follow. After `_broken`, nothing more is parsed.
    """

    def __init__(self, connection: RequestHandler, loop: Any, limit: int) -> None:
        super().__init__(
            connection,
            loop,
            limit,
            max_line_size=LINE_BYTES,
            max_field_size=FIELD_BYTES,
            max_headers=FIELDS,
            payload_exception=RequestPayloadError,
            auto_decompress=False,
        )
        self._waiting = connection._messages
        self._body: StreamReader = EMPTY_PAYLOAD
        self._rest = self._begun = self._seen = b""
        self._remaining = self._head = 0
        self._chunked = self._trailing = self._broken = False
        self.no_body = StreamReader(connection, limit, loop=loop)  # the body of a refused message: it never arrives

    def pause_reading(self) -> None:
        """Do nothing: the segment is parsed to its end, and no other segment arrives while the transport is paused."""

    def feed_data(self, data: bytes) -> tuple[Sequence[Message], bool, bytes]:  # type: ignore[override]
        """Return the messages whose heads end in this data; it never raises.

        While `QUEUE` messages wait for their answers, the rest of the data waits for the next call.
        """
        messages: list[Message] = []
        rest, at, upgraded = self._rest + data, 0, False
        while not (upgraded or self._broken or len(self._waiting) + len(messages) >= QUEUE):
            if self._body.is_eof() and not self._begun:
                at = cast("re.Match[bytes]", _breaks(rest, at)).end()
            if at == len(rest):
                break
            piece = b""
            try:
                piece = rest[at : self._end(rest, at)]
                at += len(piece)
                upgraded = self._parse(piece, messages)
            except HttpProcessingError as error:
                self._broken = True
                if self._body.is_eof():
                    messages.append((_refusal_of(error, self._begun + piece), self.no_body))
                else:
                    self._body.set_exception(BrokenChunks())
        self._rest = b"" if upgraded or self._broken else rest[at:]
        return messages, upgraded, rest[at:] if upgraded else b""

    def _end(self, rest: bytes, at: int) -> int:
        """Return the next offset in `rest` at which parsing must stop: the current message ends there, or later.

        Raises BadHttpMessage if a chunk has no valid size.
        """
        while self._remaining or (self._chunked and not self._trailing):
            step = min(self._remaining, len(rest) - at)
            at, self._remaining = at + step, self._remaining - step
            if at == len(rest) or not self._chunked:
                return at
            end = rest.find(b"\n", at) + 1
            if len(self._begun) < CHUNK_SIZE:
                self._begun += rest[at : min(end or len(rest), at + CHUNK_SIZE)]
            if not end:
                return len(rest)
            if (size := _chunk_size(self._begun)) is None:
                raise BadHttpMessage("a chunk begins with no size")
            self._begun, at = b"", end
            self._remaining = int(size[1], 16)
            if self._remaining == 0:
                self._trailing = True
                return at
            self._remaining += 2
        before = self._seen[-3:]
        if (found := (before + rest[at : at + 3]).find(END)) >= 0:
            return at + found + len(END) - len(before)
        found = rest.find(END, at)
        return found + len(END) if found >= 0 else len(rest)

    def _parse(self, piece: bytes, messages: list[Message]) -> bool:
        """Parse a piece of one message. Return True if the connection has changed to another protocol (Upgrade)."""
        self._seen = (self._seen + piece[-len(LAST_CHUNK) :])[-len(LAST_CHUNK) :]
        within = not self._body.is_eof()
        if not within:
            self._head += len(piece)
            if self._head > HEAD_BYTES:
                raise HeadTooLong("the head is too long")
        found, upgraded, _ = super().feed_data(piece)
        for message, self._body in found:
            self._begun, self._head = b"", 0
            self._chunked = bool(message.chunked)
            self._remaining = 0 if self._chunked else int(message.headers.get("Content-Length", 0))
            message = check(message)
            self._broken = isinstance(message, Refused)
            messages.append((message, self.no_body if self._broken else self._body))
        if not found and not within and b"\n" not in self._begun:
            self._begun += piece
        if self._chunked and self._body.is_eof():
            self._chunked = self._trailing = False
            if self._seen != LAST_CHUNK:  # aiohttp adds the last trailer to the next message: a dummy
                super().feed_data(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        return upgraded


def _refusal_of(error: HttpProcessingError, text: bytes) -> Refused:
    """Return the refused message for a text that could not be parsed, with the fault that it has."""
    line = _request_line(text)
    method, target, version = (part.decode() for part in line.groups(b"")) if line else ("", "", "")
    if version not in ("", "HTTP/1.0", "HTTP/1.1"):
        fault = Fault(505, "the version of HTTP is not supported: use HTTP/1.1")
    elif isinstance(error, LineTooLong) and error.args[1] == LINE_BYTES:
        fault = Fault(414, f"the request's target must have at most {LINE_BYTES} bytes")
    elif isinstance(error, HeadTooLong):
        fault = Fault(431, f"the request's head must have at most {HEAD_BYTES} bytes")
    elif isinstance(error, LineTooLong):
        fault = Fault(431, f"a header line must have at most {FIELD_BYTES} bytes")
    elif error.message.startswith("Too many headers"):
        fault = Fault(431, f"the request has more than {FIELDS} header lines")
    elif isinstance(error, BadHttpMethod) and version and method not in HTTPMethod.__members__:
        fault = Fault(501, "the method is not supported")
    elif error.message.startswith("Missing 'Host'"):
        fault = Fault(400, "the header Host is missing")
    elif repeated := _repeated(error.message):
        fault = Fault(400, f"the header {repeated[1]} may be given only once")
    else:
        fault = Fault(400, "the request is not well-formed HTTP/1.1 (RFC 9112)")
    return refused(fault, method, target)


def check(message: RawRequestMessage) -> RawRequestMessage:
    """Return the message, or a Refused if RFC 9110 or 9112 forbids it.

    An absolute target is replaced with its path, and its host becomes the header Host (RFC 9112, section 3.2.2).
    """
    version, method, target, headers = message.version, message.method, message.path, message.headers
    if version not in (HttpVersion11, HttpVersion10):
        return refused(Fault(505, "the version of HTTP is not supported: use HTTP/1.1"), method, target)
    if method == "CONNECT":
        return refused(Fault(501, "the method CONNECT is not supported: this is not a proxy"), method)
    if version == HttpVersion10 and "Transfer-Encoding" in headers:
        return refused(Fault(400, "HTTP/1.0 has no Transfer-Encoding: send a Content-Length instead"), method, target)
    if headers.get("Transfer-Encoding", "chunked").lower() != "chunked":
        return refused(Fault(501, "the only supported Transfer-Encoding is chunked"), method, target)
    host = headers.get("Host")
    if host is not None and not _authority(host):
        return refused(Fault(400, "the header Host must name one host, with or without a port"), method, target)
    if "#" in target:
        return refused(Fault(400, "the target has a fragment (#), which a client must not send"), method, target)
    if target[0] == "/" or target == "*":
        return message
    absolute = _absolute(target)
    if absolute is None or not _authority(absolute[1]):
        return refused(Fault(400, "the target must be a path, or an http URL without a user's name"), method)
    path = absolute[2] if absolute[2][:1] == "/" else "/" + absolute[2]
    named = CIMultiDict(headers)
    named["Host"] = absolute[1]
    return message._replace(path=path, headers=CIMultiDictProxy(named))
