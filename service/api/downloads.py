"""Files as they are handed out: safely whatever they are, whole, in part (RFC 9110, section 14), or not at all.

What a stranger stored is never shown as a page of this service's: it is an attachment, of the type that it was said to
be and no other, in a sandbox that may do nothing, and its name cannot leave its header.
"""

import re
from collections.abc import AsyncIterator, Callable, Mapping
from urllib.parse import quote

from msgspec import Struct

from service.api.dialect import Answer, Stream
from service.api.preconditions import http_date, not_modified

NAME_BYTES = 255  # of a file's name, as in most file systems
ANY_TYPE = "application/octet-stream"
SAFE = (("Content-Security-Policy", "default-src 'none'; sandbox; frame-ancestors 'none'"),)

_lawful_type = re.compile(r"[A-Za-z0-9!#$&^_.+-]{1,127}/[A-Za-z0-9!#$&^_.+-]{1,127}").fullmatch
_range = re.compile(r"bytes=([0-9]{0,18})-([0-9]{0,18})").fullmatch
_unsafe = re.compile(r"[^ !#-$&-\[\]-~]")  # not in a quoted string as it stands, or read differently by some
_attribute = "!#$&+-.^_`|~"  # what stands for itself in an RFC 5987 value, beside letters and digits

Headers = tuple[tuple[str, str], ...]
Pieces = Callable[[int, int], AsyncIterator[bytes]]  # so many bytes from a place on


class File(Struct):
    """A stored file: `modified` in seconds since the epoch, the type and the name as they were told."""

    size: int
    etag: str
    modified: int
    type: str
    name: str


def download(headers: Mapping[str, str], file: File, pieces: Pieces, more: Headers = ()) -> Answer | Stream:
    """Hand out a file as the request's headers ask for it; `more` are headers of the dialect's own."""
    known = (
        *SAFE,
        *more,
        ("Content-Disposition", disposition(file.name)),
        ("Accept-Ranges", "bytes"),
        ("ETag", f'"{file.etag}"'),
        ("Last-Modified", http_date(file.modified)),
    )
    if not_modified(headers, file.etag):
        return Answer(304, headers=known)
    type = lawful_type(file.type)
    part = _part(headers, file)
    if part is None:
        return Stream(200, pieces(0, file.size), type, known, file.size)
    start, size = part
    if size <= 0:
        return Answer(416, b"", type, (*known, ("Content-Range", f"bytes */{file.size}")))
    extent = ("Content-Range", f"bytes {start}-{start + size - 1}/{file.size}")
    return Stream(206, pieces(start, size), type, (*known, extent), size)


def lawful_type(type: str) -> str:
    """A media type without parameters, or the type of which nothing is known."""
    return type if _lawful_type(type) else ANY_TYPE


def disposition(name: str) -> str:
    """`Content-Disposition` for a file of that name (RFC 6266): once in plain ASCII, once as it is (RFC 5987)."""
    name = _shortened(re.split(r"[/\\]", name)[-1].encode("utf-8", "replace"))  # a name, and no path
    if not name.strip():
        return "attachment"
    plain = f'attachment; filename="{_unsafe.sub("_", name)}"'
    return plain if not _unsafe.search(name) else f"{plain}; filename*=UTF-8''{quote(name, safe=_attribute)}"


def _shortened(name: bytes) -> str:
    """The name, cut between two characters where it is too long, with its extension."""
    stem, dot, extension = name.rpartition(b".") if len(name) > NAME_BYTES else (name, b"", b"")
    if len(extension) > NAME_BYTES // 8:
        stem, dot, extension = name, b"", b""
    end = dot + extension
    return stem[: NAME_BYTES - len(end)].decode(errors="ignore") + end.decode()


def _part(headers: Mapping[str, str], file: File) -> tuple[int, int] | None:
    """Start and size of what `Range` asks for; None is all of it, a size of 0 none. More ranges than one are not served
    apart, which RFC 9110 leaves open."""
    found = _range(headers.get("Range", "").replace(" ", ""))
    tag = f'"{file.etag}"'
    # `If-Range` is compared strongly, so with a date it never holds: two files may be of one second.
    if found is None or found[0] == "bytes=-" or headers.get("If-Range", tag).strip() != tag:
        return None
    first, last = found.groups()
    if not first:
        size = min(int(last), file.size)
        return file.size - size, size
    if last and int(last) < int(first):
        return None
    start = int(first)
    return start, min(int(last) + 1 if last else file.size, file.size) - start
