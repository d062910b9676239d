"""A cache of request heads that aiohttp's parser has parsed: the same bytes need not be parsed again.

A client repeats its header lines with each request, except the body's length. So parsed headers are looked up by the
bytes of the lines, without the digits of that length; only the request line is parsed each time. Parsing took a fifth
of the service's time for a small GET, and more for a PUT, because of its stream.

Invariant: `Heads.read` returns what the parser would. It knows only header lines that the parser has accepted as one
whole head of an ordinary message. The compared bytes begin after the request line and end with the empty line, so an
incomplete head is never found. Heads with and without a Content-Length are stored separately, so a length without
digits is never found. The request line must be of the simplest form, and the body must be complete, with nothing after
it. This module does no I/O and holds no state of connections.
"""

from collections.abc import Callable
from typing import Any, TypeVar

from aiohttp.http import HttpVersion11, RawRequestMessage
from msgspec import Struct
from multidict import CIMultiDict, CIMultiDictProxy, MultiMapping

from service.api.idempotency import HEADER

LONGEST = 2048  # bytes of the longest header lines that are cached
START_BYTES = 256  # bytes of the longest beginning of a request line that is cached
LINE_BYTES = 8192  # bytes of the longest request line that is read here; a longer one is left to the parser
MEANINGS = 1000  # limit of targets that are cached with one head; more are not cached
MOST_BYTES = 8 * 1024 * 1024  # memory of the whole cache by the estimate `_weight`; over it, the cache is emptied
UNKNOWN = -1  # the number of bytes of a message that are still to come is not known

T = TypeVar("T")

_METHODS = {name.encode(): name for name in ("GET", "PUT", "POST", "PATCH", "DELETE")}
_VERSION = b" HTTP/1.1"  # the end of a request line; its line break counts as the beginning of the next line
_END = b"\r\n\r\n"
_LENGTH, _LENGTH_IN_SMALL = b"\r\nContent-Length: ", b"\r\ncontent-length: "
_TARGET = bytes(byte for byte in range(0x21, 0x7F) if byte != ord("#"))  # bytes of a target: visible ASCII, no fragment


class Head(Struct):
    """The headers of an ordinary message, with what is known about requests that have them.

    `targets` has the routes of their request lines, by the beginning of the line; `callers` the authenticated caller,
    by dialect. `count_memory` accounts for the memory of `targets`; it is None if the head is not cached.
    """

    headers: MultiMapping[str]
    targets: dict[bytes, Any]
    callers: dict[str, Any]
    count_memory: Callable[[int], None] | None = None

    def remember(self, start: bytes, target: Any) -> None:
        """Cache the route of request lines with this beginning, if it is short and the head is cached."""
        if self.count_memory is not None and 0 < len(start) <= START_BYTES and len(self.targets) < MEANINGS:
            if start not in self.targets:
                self.count_memory(len(start))
            if self.count_memory is not None:
                self.targets[start] = target

    def forget(self) -> None:
        """Drop what is cached with this head. Connections may keep the head longer than `Heads` does."""
        self.count_memory = None
        self.targets.clear()
        self.callers.clear()


class HeadWithLength(Struct):
    """A head with a Content-Length: its lines `before` the digits of the length, and `behind` them to the empty
    line."""

    head: Head
    before: bytes
    behind: bytes

    def body(self, rest: bytes) -> bytes | None:
        """Return the body of a whole message with this head, else None. `rest` is what follows the request line."""
        start = len(self.before)
        if not rest.startswith(self.before):
            return None
        stop = rest.find(b"\r\n", start, start + 10)
        digits = rest[start:stop]
        if stop < 0 or not digits.isdigit() or not rest.startswith(self.behind, stop):
            return None
        body = rest[stop + len(self.behind) :]
        return body if len(body) == int(digits) else None


def ordinary_head(message: Any) -> Head | None:
    """Return the head of a message that aiohttp has parsed, None if the fast path cannot answer it.

    Not ordinary are: HTTP/1.0, `Connection: close`, upgrades, chunked or compressed bodies, and `Expect`.
    """
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


# A message that was recognised: its head, its request line without the version, its body, and the `last` head with a
# length of its connection.
Recognised = tuple[Head, bytes, bytes, HeadWithLength | None]


class Heads:
    """The cache of one worker."""

    def __init__(self) -> None:
        self._bare: dict[bytes, Head] = {}  # by the lines of a head without a length
        self._sized: dict[bytes, HeadWithLength] = {}  # by the lines of a head with a length, without its digits
        self._weight = 0

    def read(self, data: bytes, last: HeadWithLength | None = None) -> Recognised | None:
        """Recognise one whole message, None if its head is not cached.

        `last` is the head with a length that the connection's previous message had: it is tried first.
        """
        line, _, rest = data.partition(_VERSION)
        if len(line) > LINE_BYTES:
            return None
        head = self._bare.get(rest)  # found only if `rest` is exactly the lines of a head
        if head is not None:
            return head, line, b"", last
        if last is not None and last.head.count_memory is not None and (body := last.body(rest)) is not None:
            return last.head, line, body, last
        if (parts := _cut(rest)) is None or (sized := self._sized.get(parts[0] + parts[2])) is None:
            return None
        return (sized.head, line, parts[3], sized) if len(parts[3]) == parts[1] else None

    def add(self, data: bytes, message: Any) -> int:
        """Cache the head of a message that the parser has parsed from `data`, which begins with that message.

        Return how many bytes of the message are still to come, or UNKNOWN.
        """
        line, _, rest = data.partition(_VERSION)
        head = ordinary_head(message)
        if head is None or line != f"{message.method} {message.path}".encode("utf-8", "surrogateescape"):
            return UNKNOWN
        if "Content-Length" not in head.headers:
            bare, end, _ = rest.partition(_END)
            self._keep(self._bare, bare + end, head, head)
            return 0 if rest == bare + end else UNKNOWN
        parts = _cut(rest)
        if parts is None or head.headers["Content-Length"] != str(parts[1]):  # the header's name has another case
            return UNKNOWN
        before, length, behind, body = parts
        # The length is not part of the cached head: the next message has another one.
        headers = CIMultiDict(head.headers)
        headers.popall("Content-Length", None)
        head.headers = CIMultiDictProxy(headers)
        self._keep(self._sized, before + behind, head, HeadWithLength(head, before, behind))
        return max(length - len(body), UNKNOWN)

    def _keep(self, known: dict[bytes, T], lines: bytes, head: Head, value: T) -> None:
        if len(lines) > LONGEST or HEADER in head.headers:  # an Idempotency-Key is rarely sent twice
            return
        if lines in known:  # it was not recognised because its message was incomplete, or because more bytes followed
            return
        head.count_memory = self._count
        self._count(4 * len(lines))  # the lines are held twice, and their names and values as texts
        known[lines] = value

    def _count(self, size: int) -> None:
        self._weight += size + 1024  # 1024: the objects and their dictionary entries
        if self._weight > MOST_BYTES:
            for head in (*self._bare.values(), *(sized.head for sized in self._sized.values())):
                head.forget()
            self._bare.clear()
            self._sized.clear()
            self._weight = 0


def parse_target(line: bytes) -> tuple[str, str] | None:
    """Return the method and target of a request line (without its version) in the simplest form, else None."""
    method, _, where = line.partition(b" ")
    if method not in _METHODS or where[:1] != b"/" or where.translate(None, _TARGET):
        return None
    return _METHODS[method], where.decode()


def _cut(rest: bytes) -> tuple[bytes, int, bytes, bytes] | None:
    """Cut what follows a request line into: the lines before the digits of the Content-Length, the length, the lines
    after the digits to the empty line, and the body. None if the head is incomplete, or has no such header."""
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
