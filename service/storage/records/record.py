"""Records as they are stored in Redis: one length byte, a msgpack header of that length, the body.

The body is stored byte for byte as it was sent. Scripts write the headers (lua/include/packed.lua); Python only
reads them. A header has at most 255 bytes, so `CALLER_ID_BYTES` bounds the two ids in it. With a length byte
and a decoder that creates the record itself, reading takes 0.5 us; `unpackb` takes 1.4, a streaming `Unpacker`
2.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import md5
from typing import TYPE_CHECKING, Any

from msgspec import Struct
from msgspec.msgpack import Decoder

from service.storage.scripts.reply import NO_TIME

if TYPE_CHECKING:
    Body = bytes
    briefly = md5
else:
    Body = Any  # a decoded header may have its padding in this field
    try:
        from _md5 import md5 as briefly
    except ImportError:
        briefly = md5

MARGIN = 256  # free bytes before a staged body: the length byte and the longest header
CALLER_ID_BYTES = 80
BRIEF = 2048  # up to this size CPython's own MD5 (0.7 us) is faster than OpenSSL's (1.0 us)


class Saved(Struct):
    """The result of a write: the record's version, times in microseconds, and expiry in milliseconds (0 =
    never).
    """

    version: int
    created: int
    updated: int
    expires: int


def saved(reply: Sequence[int], remark: bytes = b"") -> Saved:
    """Decode the reply of a script that wrote a record."""
    return Saved(*reply[:4])


@dataclass(frozen=True, slots=True)
class Swept:
    """The result of a sweep: the number of removed members, True if more are due, the number of records left, the
    time of the sweep (us), and True if there is a journal.
    """

    members: int
    more: bool
    left: int
    at: int
    journaled: bool = False


class Listed(Struct):
    """A record on a page: its id and size; the last one also has its score, if there are more after the page."""

    id: str
    size: int  # bytes of the body
    score: str = ""


class Record(Struct, array_like=True, gc=False):
    """A record that was read: times in microseconds since the epoch, expiry in milliseconds (0 = never).

    The stored header is an array of the fields before the body, perhaps followed by padding.
    """

    version: int
    created: int
    updated: int
    expires: int
    creator: str
    updater: str
    size: int  # bytes of the body
    body: Body = b""

    @staticmethod
    def unpack(packed: bytes) -> "Record":
        """Unpack a stored record."""
        start = packed[0] + 1
        record = _header(packed[1:start])
        record.body = packed[start:]
        return record

    @property
    def etag(self) -> str:
        """The etag of the body."""
        return etag(self.body)


_header = Decoder(Record).decode


def until(packed: bytes | None) -> int:
    """Return the time (ms) at which a record expires, for Reply.until; 0 if never, and if there is no record."""
    return 0 if packed is None else _header(packed[1 : packed[0] + 1]).expires


def all_until(replies: Iterable[bytes | int | None]) -> int:
    """Return the time (ms) at which the first of these records expires, for Reply.until; `NO_TIME` if one did
    not fit in the reply.
    """
    earliest = 0
    for packed in replies:
        if isinstance(packed, int):
            return NO_TIME
        if (expires := until(packed)) and not 0 < earliest < expires:
            earliest = expires
    return earliest


def count_until(reply: Sequence[Any]) -> int:
    """Return the time (ms) at which the first live record of a collection expires, for Reply.until of count.lua's
    reply.
    """
    return int(reply[1]) if len(reply) > 1 else 0


def page_until(reply: Sequence[Any]) -> int:
    """Return the time (ms) at which the first record of a collection expires, for Reply.until of page.lua's reply."""
    return int(reply[3]) if len(reply) > 3 and reply[3] is not None else 0


def listed_page(reply: Sequence[Any]) -> tuple[int, list[Listed]]:
    """Decode the reply of lua/page.lua: the number of records, and those of the page."""
    total, ids, sizes, _, *score = reply
    listed = [Listed(id.decode(), int(size or 0)) for id, size in zip(ids, sizes, strict=True)]
    if score and score[0] is not None:
        listed[-1].score = score[0].decode()
    return total, listed


def portions(listed: Iterable[Listed], limit: int) -> Iterator[list[Listed]]:
    """Split a list into portions of at most `limit` bytes; a larger record is a portion of its own."""
    portion: list[Listed] = []
    size = 0
    for one in listed:
        size += one.size
        if size > limit and portion:
            yield portion
            portion, size = [], one.size
        portion.append(one)
    if portion:
        yield portion


def tagged(change: Callable[..., bytes], *arguments: Any) -> tuple[bytes, str]:
    """Return a changed body and its etag."""
    body = change(*arguments)
    return body, etag(body)


def etag(body: bytes) -> str:
    """Return the MD5 of the bytes, in hexadecimal: a fingerprint, not a signature."""
    hashed = briefly if len(body) < BRIEF else md5
    return hashed(body, usedforsecurity=False).hexdigest()
