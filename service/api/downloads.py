"""Downloads of stored files: whole, one range (RFC 9110, section 14), or 304 if the client has the file.

A stored file may be hostile, so a browser must never show it as a page of this service. Every download is an attachment
with `nosniff` and a Content-Security-Policy that permits nothing, and the file's name is escaped in its header.
"""

import re
from collections.abc import AsyncIterator, Callable, Mapping
from urllib.parse import quote

from msgspec import Struct
from multidict import MultiMapping

from service.api.dialect import Answer, Stream
from service.api.preconditions import http_date, not_modified

NAME_BYTES = 255  # the longest file name in Content-Disposition, as in most file systems
ANY_TYPE = "application/octet-stream"
SAFE = (("Content-Security-Policy", "default-src 'none'; sandbox; frame-ancestors 'none'"),)

_lawful_type = re.compile(r"[A-Za-z0-9!#$&^_.+-]{1,127}/[A-Za-z0-9!#$&^_.+-]{1,127}").fullmatch
_range = re.compile(r"bytes=([0-9]{0,18})-([0-9]{0,18})").fullmatch
_unsafe = re.compile(
    r"[^ !#-$&-\[\]-~]"
)  # characters that a quoted string must escape, or that clients read differently
_attribute = "!#$&+-.^_`|~"  # characters that need no escape in an RFC 5987 value, besides letters and digits

Headers = tuple[tuple[str, str], ...]
Pieces = Callable[[int, int], AsyncIterator[bytes]]  # the content from an offset on, up to a number of bytes


class File(Struct):
    """A stored file. `modified` is in seconds since the Unix epoch; `type` and `name` are as the client sent them."""

    size: int
    etag: str
    modified: int
    type: str
    name: str


def download(headers: MultiMapping[str], file: File, pieces: Pieces, more: Headers = ()) -> Answer | Stream:
    """Answer a download as its `If-None-Match`, `Range` and `If-Range` demand; `more` are the dialect's headers."""
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
    """Return a media type if it is well-formed and has no parameters, else application/octet-stream."""
    return type if _lawful_type(type) else ANY_TYPE


def disposition(name: str) -> str:
    """Return the `Content-Disposition` for a file name (RFC 6266): an ASCII form, and the exact name (RFC 5987)."""
    name = _shortened(re.split(r"[/\\]", name)[-1].encode("utf-8", "replace"))  # without directories
    if not name.strip():
        return "attachment"
    ascii = f'attachment; filename="{_unsafe.sub("_", name)}"'
    return ascii if not _unsafe.search(name) else f"{ascii}; filename*=UTF-8''{quote(name, safe=_attribute)}"


def _shortened(name: bytes) -> str:
    """Return the name, shortened to `NAME_BYTES` between two characters; its extension is kept."""
    stem, dot, extension = name.rpartition(b".") if len(name) > NAME_BYTES else (name, b"", b"")
    if len(extension) > NAME_BYTES // 8:
        stem, dot, extension = name, b"", b""
    end = dot + extension
    return stem[: NAME_BYTES - len(end)].decode(errors="ignore") + end.decode()


def _part(headers: Mapping[str, str], file: File) -> tuple[int, int] | None:
    """Return the start and size that `Range` asks for; None means the whole file, a size of 0 an unsatisfiable range.

    A request for several ranges gets the whole file, which RFC 9110, section 14.2, allows.
    """
    found = _range(headers.get("Range", "").replace(" ", ""))
    tag = f'"{file.etag}"'
    # `If-Range` needs a strong comparison. A date never matches here: a file may change twice within a second.
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
