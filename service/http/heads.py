"""Heads of requests that aiohttp's parser has read before: of the same bytes again it is known what they say.

A client sends the same header lines with each request, but for the body's length. So what is kept is looked up by the
bytes of the lines themselves, the digits of that length left out; only the request line is read anew. Parsing was a
fifth of what a small GET cost the service, and of a PUT, with its stream, more.

Invariant: what `Heads.read` says of a message is what the parser would. It knows only lines that the parser has taken,
by themselves and whole, as the head of a message with nothing unusual about it. What is compared begins behind the
request line and ends with the empty line, so a head that has not arrived whole is never found. Lines with a length and
lines without one are kept apart, so that a length of no digits is never found either. A request line must be of the
plainest form, and the body be there, no byte too few or too many. No I/O, nothing of a connection's.
"""

from collections.abc import Callable
from typing import Any, TypeVar

from aiohttp.http import HttpVersion11, RawRequestMessage
from msgspec import Struct
from multidict import CIMultiDict, CIMultiDictProxy, MultiMapping

from service.api.idempotency import HEADER

LONGEST = 2048  # bytes of header lines that are kept
START_BYTES = 256  # of a request line's beginning that is kept
LINE_BYTES = 8192  # of a request line that is read here: it is the parser that tells which one is too long
MEANINGS = 1000  # of these for one head, first come first served
MOST_BYTES = 8 * 1024 * 1024  # of memory for all that is kept, as `_weight` tells it; afresh beyond that
UNKNOWN = -1  # bytes of a message that are still to come, where that cannot be told

T = TypeVar("T")

_METHODS = {name.encode(): name for name in ("GET", "PUT", "POST", "PATCH", "DELETE")}
_VERSION = b" HTTP/1.1"  # ends a request line; the line break is left to the header lines, so that each begins with one
_END = b"\r\n\r\n"
_LENGTH, _LENGTH_IN_SMALL = b"\r\nContent-Length: ", b"\r\ncontent-length: "
_PLAIN = bytes(byte for byte in range(0x21, 0x7F) if byte != ord("#"))  # of a target: visible ASCII, no fragment


class Head(Struct):
    """The headers of a message that asks for nothing unusual. `meanings` says where request lines lead that came with
    them, by the line's beginning, and `admitted` which caller they show, by dialect. `kept` counts the memory of the
    former, None where the head is not kept."""

    headers: MultiMapping[str]
    meanings: dict[bytes, Any]
    admitted: dict[str, Any]
    kept: Callable[[int], None] | None = None

    def mean(self, start: bytes, meaning: Any) -> None:
        """Keep where lines that begin so lead, if that is short and the head is kept."""
        if self.kept is not None and 0 < len(start) <= START_BYTES and len(self.meanings) < MEANINGS:
            if start not in self.meanings:
                self.kept(len(start))
            if self.kept is not None:
                self.meanings[start] = meaning

    def forget(self) -> None:
        """Keep nothing any more: connections may hold the head for longer than `Heads` does."""
        self.kept = None
        self.meanings.clear()
        self.admitted.clear()


class Sized(Struct):
    """A head with a length: its lines `before` the digits of that, and `behind` them, up to the empty line."""

    head: Head
    before: bytes
    behind: bytes

    def body(self, rest: bytes) -> bytes | None:
        """The body of a whole message whose head is this one; `rest` is what follows its request line."""
        start = len(self.before)
        if not rest.startswith(self.before):
            return None
        stop = rest.find(b"\r\n", start, start + 10)
        digits = rest[start:stop]
        if stop < 0 or not digits.isdigit() or not rest.startswith(self.behind, stop):
            return None
        body = rest[stop + len(self.behind) :]
        return body if len(body) == int(digits) else None


def usual_head(message: Any) -> Head | None:
    """The head of a message that aiohttp parsed, if there is nothing unusual about it."""
    if (
        type(message) is not RawRequestMessage
        or message.version != HttpVersion11
        or message.should_close
        or message.upgrade
        or message.chunked
        or "Content-Encoding" in message.headers
        or "Expect" in message.headers
    ):
        return None
    return Head(message.headers, {}, {})


class Heads:
    def __init__(self) -> None:
        self._bare: dict[bytes, Head] = {}  # by the lines of a head without a length
        self._sized: dict[bytes, Sized] = {}  # by the lines of a head with one, its digits left out
        self._weight = 0

    def read(self, data: bytes, last: "Sized | None" = None) -> tuple[Head, bytes, bytes, "Sized | None"] | None:
        """Head, method and target, and body of the one whole message that these bytes are, if the head is known; and
        that head, if it has a length, to be tried first for the connection's next message (`last`)."""
        line, _, rest = data.partition(_VERSION)
        if len(line) > LINE_BYTES:
            return None
        head = self._bare.get(rest)  # which are all lines of a head and no more
        if head is not None:
            return head, line, b"", last
        if last is not None and last.head.kept is not None and (body := last.body(rest)) is not None:
            return last.head, line, body, last
        if (parts := _cut(rest)) is None or (sized := self._sized.get(parts[0] + parts[2])) is None:
            return None
        return (sized.head, line, parts[3], sized) if len(parts[3]) == parts[1] else None

    def learn(self, data: bytes, message: Any) -> int:
        """Keep the head of the message that the parser made of these bytes, the first ones behind an earlier message.
        Replies how many bytes of it are still to come."""
        line, _, rest = data.partition(_VERSION)
        head = usual_head(message)
        if head is None or line != f"{message.method} {message.path}".encode("utf-8", "surrogateescape"):
            return UNKNOWN
        if "Content-Length" not in head.headers:
            bare, end, _ = rest.partition(_END)
            self._keep(self._bare, bare + end, head, head)
            return 0 if rest == bare + end else UNKNOWN
        parts = _cut(rest)
        if parts is None or head.headers["Content-Length"] != str(parts[1]):  # its name is spelled in some other way
            return UNKNOWN
        before, length, behind, body = parts
        # The body's length is not one of the things that the same lines say again.
        headers = CIMultiDict(head.headers)
        headers.popall("Content-Length", None)
        head.headers = CIMultiDictProxy(headers)
        self._keep(self._sized, before + behind, head, Sized(head, before, behind))
        return max(length - len(body), UNKNOWN)

    def _keep(self, known: dict[bytes, T], lines: bytes, head: Head, value: T) -> None:
        if len(lines) > LONGEST or HEADER in head.headers:  # what is to be carried out once is not seen again
            return
        if lines in known:  # its message was not whole, or more came behind it
            return
        head.kept = self._count
        self._count(4 * len(lines))  # the lines twice, and their names and values as texts
        known[lines] = value

    def _count(self, size: int) -> None:
        self._weight += size + 1024  # for objects and their places in dictionaries
        if self._weight > MOST_BYTES:
            for head in (*self._bare.values(), *(sized.head for sized in self._sized.values())):
                head.forget()
            self._bare.clear()
            self._sized.clear()
            self._weight = 0


def target(line: bytes) -> tuple[str, str] | None:
    """Method and target of a request line in its plainest form, without its version."""
    method, _, where = line.partition(b" ")
    if method not in _METHODS or where[:1] != b"/" or where.translate(None, _PLAIN):
        return None
    return _METHODS[method], where.decode()


def _cut(rest: bytes) -> tuple[bytes, int, bytes, bytes] | None:
    """From what follows the request line: the header lines before the digits of the body's length, that length, the
    lines behind it up to the empty one, and the body. None where the head is not whole, or tells no length."""
    end = rest.find(_END)
    at = rest.find(_LENGTH, 0, end)
    if at < 0:
        at = rest.find(_LENGTH_IN_SMALL, 0, end)
    if end < 0 or at < 0:
        return None
    start = at + len(_LENGTH)
    stop = rest.find(b"\r\n", start)
    digits = rest[start:stop]
    if not digits.isdigit() or len(digits) > 9:
        return None
    body = end + len(_END)
    return rest[:start], int(digits), rest[stop:body], rest[body:]
