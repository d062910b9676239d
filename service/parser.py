"""The parser of a connection: aiohttp's, with checks that RFC 9110 and RFC 9112 ask for and aiohttp does not make.

A message that must be refused comes out as a `Refused`, which is answered in its turn like every other message: in the
dialect's shape, counted, behind the answers to the sound messages before it. aiohttp's own parser raises an error
instead, and forgets the sound messages that arrived in the same segment.
"""

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

from aiohttp.http import HttpRequestParser, HttpVersion10, HttpVersion11, RawRequestMessage
from aiohttp.http_exceptions import BadHttpMethod, HttpProcessingError, LineTooLong
from aiohttp.streams import EMPTY_PAYLOAD, StreamReader
from aiohttp.web_protocol import MAX_MSG_QUEUE_SIZE, RequestHandler, RequestPayloadError
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

# Bytes of a request line: enough for a name that is too long to reach its dialect, which says so.
LINE_BYTES = 65_536
FIELD_BYTES = 8_190  # of a header line
FIELDS = 128  # header lines of a message

# RFC 3986, section 3.2, without userinfo, which RFC 9110, section 4.2.4, tells to refuse, and with a name that is there.
_authority = re.compile(
    r"(?:(?:[A-Za-z0-9._~!$&'()*+,;=-]|%[0-9A-Fa-f]{2}){1,255}|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{0,5})?"
).fullmatch
_absolute = re.compile(r"(?i:https?)://([^/?]*)(.*)", re.DOTALL).fullmatch
_request_lines = re.compile(rb"^([A-Za-z-]+) ([!-~]+)(?: (HTTP/[0-9]+\.[0-9]+)\r?$)?", re.MULTILINE).findall
_repeated = re.compile("Duplicate '([A-Za-z-]+)' header").match

_NO_HEADERS = CIMultiDictProxy(CIMultiDict[str]())

Message = tuple[RawRequestMessage, StreamReader]


class Fault(NamedTuple):
    """The reason why a message is refused: the status of the answer, and what to tell the client."""

    status: int
    message: str


class Refused(RawRequestMessage):
    """A message with a fault. Method and target are the ones of its request line where that is known."""

    fault: Fault


def refused(fault: Fault, method: str = "", target: str = "") -> Refused:
    absolute = _absolute(target)
    path = absolute[2] if absolute else target
    message = Refused(method, path, HttpVersion11, _NO_HEADERS, (), True, None, False, False, URL("/"))
    message.fault = fault
    return message


class Parser(HttpRequestParser):
    """`_body` is the body of the last message, `_begun` the beginning of a message whose head is not whole yet."""

    def __init__(self, connection: RequestHandler, loop: Any, limit: int) -> None:
        super().__init__(
            connection, loop, limit, max_line_size=LINE_BYTES, max_field_size=FIELD_BYTES, max_headers=FIELDS,
            payload_exception=RequestPayloadError, auto_decompress=False,
            max_msg_queue_size=1,  # it stops behind each message, so that an error loses none of those before it
        )  # fmt: skip
        self._waiting = connection._messages
        self._body: StreamReader = EMPTY_PAYLOAD
        self._begun = b""
        self._broken = False

    def feed_data(self, data: bytes) -> tuple[Sequence[Message], bool, bytes]:  # type: ignore[override]
        """The messages whose heads end in this data; what is left waits for the next call while too many wait for
        their answers. It does not raise."""
        messages: list[Message] = []
        upgraded, tail, rest = False, b"", data
        try:
            while not self._broken:
                receiving = not self._body.is_eof()
                found, upgraded, tail = super().feed_data(rest)
                rest = b""
                for message, self._body in found:
                    messages.append((checked(message), self._body))
                if not found and not receiving:
                    break
                if upgraded or not self._body.is_eof() or len(self._waiting) + len(messages) >= MAX_MSG_QUEUE_SIZE:
                    break
        except HttpProcessingError as error:
            self._broken = True
            if self._body.is_eof():
                messages.append((self._fault(error, self._begun + data, len(messages)), EMPTY_PAYLOAD))
            else:
                self._body.set_exception(RequestPayloadError("its chunks are malformed (RFC 9112, section 7.1)"))
        if messages or receiving:
            self._begun = b""
        elif b"\n" not in self._begun:
            self._begun = (self._begun + data).lstrip(b"\r\n")
        return messages, upgraded, tail

    def _fault(self, error: HttpProcessingError, text: bytes, number: int) -> Refused:
        """The message that could not be parsed, as far as it is known. It begins in `text`, behind `number` others."""
        lines = _request_lines(text)
        method, target, version = map(bytes.decode, lines[number]) if number < len(lines) else ("", "", "")
        if version not in ("", "HTTP/1.0", "HTTP/1.1"):
            fault = Fault(505, "the version of HTTP is not supported: use HTTP/1.1")
        elif isinstance(error, LineTooLong) and error.args[1] == LINE_BYTES:
            fault = Fault(414, f"the request's target is over the limit of {LINE_BYTES} bytes")
        elif isinstance(error, LineTooLong):
            fault = Fault(431, f"a header line is over the limit of {FIELD_BYTES} bytes")
        elif error.message.startswith("Too many headers"):
            fault = Fault(431, f"the request has more than {FIELDS} header lines")
        elif isinstance(error, BadHttpMethod) and version:
            fault = Fault(501, "the method is not one that is served here")
        elif error.message.startswith("Missing 'Host'"):
            fault = Fault(400, "the header Host is missing")
        elif repeated := _repeated(error.message):
            fault = Fault(400, f"the header {repeated[1]} may be given only once")
        else:
            fault = Fault(400, "the request is not well-formed HTTP/1.1 (RFC 9112)")
        return refused(fault, method, target)


def checked(message: RawRequestMessage) -> RawRequestMessage:
    """The message, refused if HTTP says so; an absolute target becomes a path and the header Host (RFC 9112, section
    3.2.2)."""
    version, method, target, headers = message.version, message.method, message.path, message.headers
    if version not in (HttpVersion11, HttpVersion10):
        return refused(Fault(505, "the version of HTTP is not supported: use HTTP/1.1"), method, target)
    if method == "CONNECT":
        return refused(Fault(501, "CONNECT is not served here: this is no proxy"), method)
    if version == HttpVersion10 and "Transfer-Encoding" in headers:
        return refused(Fault(400, "HTTP/1.0 has no Transfer-Encoding: give the body's Content-Length"), method, target)
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
