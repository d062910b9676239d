"""A record as it lies in Redis: one length byte, a msgpack header of that length, the body.

The body follows byte for byte as it was sent. The scripts write headers (lua/include/packed.lua), this side only reads
them; a header is at most 255 bytes, for which `CALLER_ID_BYTES` bounds the two ids in it. A length byte and a decoder
that makes the record itself cost 0.5 us; `unpackb` and then the record 1.4, a streaming `Unpacker` 2.
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
    Body = Any  # a header may have its padding in the body's place
    try:
        from _md5 import md5 as briefly
    except ImportError:
        briefly = md5

MARGIN = 256  # bytes kept free before a staged body: the length byte and the longest header
CALLER_ID_BYTES = 80
BRIEF = 2048  # bytes below which CPython's own MD5 is faster (0.7 us for 1.0) than OpenSSL's, which sets up more


class Saved(Struct):
    """What a write says of the record that it left: times in microseconds, expiry in milliseconds (0 = never)."""

    version: int
    created: int
    updated: int
    expires: int


def saved(reply: Sequence[int], remark: bytes = b"") -> Saved:
    """What a script that wrote a record replied, whatever follows."""
    return Saved(*reply[:4])


@dataclass(frozen=True, slots=True)
class Swept:
    """What a sweep did: members taken out, whether more are due, how many records are left, when that was so (us)."""

    members: int
    more: bool
    left: int
    at: int


class Listed(Struct):
    """A record as a page names it."""

    id: str
    size: int  # bytes of the body


class Record(Struct, array_like=True, gc=False):
    """A record that was read: times in microseconds since the epoch, expiry in milliseconds (0 = never).

    The header is an array of the fields before the body, and perhaps of what pads it.
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
        start = packed[0] + 1
        record = _header(packed[1:start])
        record.body = packed[start:]
        return record

    @property
    def etag(self) -> str:
        return etag(self.body)


_header = Decoder(Record).decode


def until(packed: bytes | None) -> int:
    """When a record expires (ms), 0 for never; and where there is none, there is none for ever."""
    return 0 if packed is None else _header(packed[1 : packed[0] + 1]).expires


def all_until(replies: Iterable[bytes | int | None]) -> int:
    """When the first of these records expires. `NO_TIME` where one did not come along: of that nothing is known."""
    earliest = 0
    for packed in replies:
        if isinstance(packed, int):
            return NO_TIME
        if (expires := until(packed)) and not 0 < earliest < expires:
            earliest = expires
    return earliest


def portions(listed: Iterable[Listed], limit: int) -> Iterator[list[Listed]]:
    """What was listed, in portions of at most `limit` bytes; a longer record comes alone."""
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
    """A changed body and its etag."""
    body = change(*arguments)
    return body, etag(body)


def etag(body: bytes) -> str:
    """MD5 of exactly these bytes, in hexadecimal: a fingerprint, not a signature."""
    hashed = briefly if len(body) < BRIEF else md5
    return hashed(body, usedforsecurity=False).hexdigest()
