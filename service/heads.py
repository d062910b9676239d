"""Heads of requests that aiohttp's parser has read before: of the same bytes again it is known what they say.

A client sends the same header lines with each request, but for the body's length. So what is kept is looked up by the
bytes of the lines themselves, the digits of that length left out; only the request line is read anew. Parsing was a
fifth of what a small GET cost the service, and of a PUT, with its stream, more.

Invariant: what `Heads.read` says of a message is what the parser would. It knows only lines that the parser has taken,
by themselves and whole, as the head of a message with nothing unusual about it; a request line must be of the plainest
form, and the body be there, no byte too few or too many. No I/O, nothing of a connection's.
"""

from typing import Any

from aiohttp.http import HttpVersion11, RawRequestMessage
from msgspec import Struct
from multidict import CIMultiDict, CIMultiDictProxy, MultiMapping

from service.idempotency import HEADER

LONGEST = 2048  # bytes of header lines that are kept
SIZE = 4000  # heads kept: some 8 MB of lines at the most, and as much of what they say; afresh beyond that
UNKNOWN = -1  # bytes of a message that are still to come, where that cannot be told

_METHODS = {name.encode(): name for name in ("GET", "PUT", "POST", "PATCH", "DELETE")}
_LENGTH, _LENGTH_IN_SMALL = b"\r\nContent-Length: ", b"\r\ncontent-length: "
_PLAIN = bytes(byte for byte in range(0x21, 0x7F) if byte != ord("#"))  # of a target: visible ASCII, no fragment


class Head(Struct):
    """The headers of a message that asks for nothing unusual. `once`: they ask that the request be carried out once.
    `meanings` is for what request lines mean together with them, by the line's beginning."""

    headers: MultiMapping[str]
    once: bool
    meanings: dict[bytes, Any]


def plain(message: Any) -> Head | None:
    """The head of a message that aiohttp parsed, if there is nothing unusual about it."""
    if (
        type(message) is not RawRequestMessage or message.version != HttpVersion11 or message.should_close
        or message.upgrade or message.chunked or "Content-Encoding" in message.headers or "Expect" in message.headers
    ):  # fmt: skip
        return None
    return Head(message.headers, HEADER in message.headers, {})


class Heads:
    def __init__(self) -> None:
        self._known: dict[bytes, Head] = {}

    def read(self, data: bytes) -> tuple[Head, bytes, bytes] | None:
        """Head, request line and body of the one whole message that these bytes are, if the head is known."""
        line, _, rest = data.partition(b"\r\n")
        body = b""
        head = self._known.get(rest)  # of a message without a body these are its lines and no more
        if head is None:
            if (parts := _cut(rest)) is None:
                return None
            lines, length, body = parts
            head = self._known.get(lines)
            if head is None or len(body) != length:
                return None
        return head, line, body

    def learn(self, data: bytes, message: Any) -> int:
        """Keep the head of the message that the parser made of these bytes, the first ones behind an earlier message.
        Replies how many bytes of it are still to come."""
        line, _, rest = data.partition(b"\r\n")
        parts, head = _cut(rest), plain(message)
        if parts is None or head is None:
            return UNKNOWN
        lines, length, body = parts
        told = head.headers.get("Content-Length", "0") == str(length)  # else its name is spelled in some other way
        if not told or line != f"{message.method} {message.path} HTTP/1.1".encode("utf-8", "surrogateescape"):
            return UNKNOWN
        if len(lines) <= LONGEST and not head.once:  # one that is to be carried out once is not seen again
            if len(self._known) >= SIZE:
                self._known.clear()
            # The body's length is not one of the things that the same lines say again.
            headers = CIMultiDict(head.headers)
            headers.popall("Content-Length", None)
            head.headers = CIMultiDictProxy(headers)
            self._known[lines] = head
        return max(length - len(body), UNKNOWN)


def target(line: bytes) -> tuple[str, str] | None:
    """Method and target of a request line in its plainest form."""
    words = line.split(b" ")
    if len(words) != 3:
        return None
    method, where, version = words
    if method not in _METHODS or version != b"HTTP/1.1" or where[:1] != b"/" or where.translate(None, _PLAIN):
        return None
    return _METHODS[method], where.decode()


def _cut(rest: bytes) -> tuple[bytes, int, bytes] | None:
    """From what follows the request line: the header lines without the digits of the body's length, that length, and
    what follows them."""
    lines, end, body = rest.partition(b"\r\n\r\n")
    if not end:
        return None
    at = lines.find(_LENGTH)
    if at < 0 and body:
        at = lines.find(_LENGTH_IN_SMALL)
    if at < 0:
        return lines + end, 0, body
    start = at + len(_LENGTH)
    stop = lines.find(b"\r\n", start)
    digits = lines[start:stop] if stop >= 0 else lines[start:]
    if not digits.isdigit() or len(digits) > 9:
        return None
    return lines[:start] + (lines[stop:] if stop >= 0 else b""), int(digits), body
