"""File control: accepts a file if its declared type is allowed and its content matches that type."""

import re
from collections.abc import AsyncIterator

import puremagic

from service.api.forms import Content, Part
from service.storage.errors import Denied

LOOKED_AT = 8192  # number of bytes at the start of a file that are examined
SURE = 0.4  # puremagic's confidence for a signature of four bytes; a text may begin with a shorter one by chance
UNKNOWN = "application/octet-stream"

# Common names of types, without the `x-` before the subtype, and puremagic's names for them.
ALIASES = {
    "audio/wav": "audio/wave",
    "image/bmp": "image/ms-bmp",
    "image/jpg": "image/jpeg",
    "text/xml": "application/xml",
    "application/zip-compressed": "application/zip",
}

_binary = re.compile(rb"[\x00-\x08\x0b\x0e-\x1a\x1c-\x1f]").search  # binary data bytes (WHATWG MIME Sniffing, 7.2)
_markup = re.compile(rb"(?:\xef\xbb\xbf)?\s*<[A-Za-z!?/]").match
_page = re.compile(rb"(?i)(?:\xef\xbb\xbf)?\s*<(?:!doctype\s+html|html|head|body|script|iframe|!--)").match


def checked_content(part: Part, allowed: tuple[str, ...]) -> Content:
    """Return the content of a file, checked before its first piece. Raises Denied if the type is not allowed, or the
    content has another type."""
    content = part.content
    if not isinstance(content, bytes):
        return _checked_pieces(part, content, allowed)
    _check_type(part, content, allowed)
    return content


async def _checked_pieces(part: Part, pieces: AsyncIterator[bytes], allowed: tuple[str, ...]) -> AsyncIterator[bytes]:
    start = b""
    while len(start) < LOOKED_AT and (piece := await anext(pieces, b"")):
        start += piece
    _check_type(part, start, allowed)
    yield start
    async for piece in pieces:
        yield piece


def _check_type(part: Part, start: bytes, allowed: tuple[str, ...]) -> None:
    if part.type not in allowed:
        raise Denied(f"the type {part.type!r} of the file {part.name!r} must be one of: {', '.join(allowed) or 'none'}")
    if not fits(part.type, start[:LOOKED_AT]):
        raise Denied(f"the content of the file {part.name!r} does not match its type, {part.type!r}")


def fits(type: str, start: bytes) -> bool:
    """Return True if a file with these first bytes may have this type. An `x-` before a subtype is ignored."""
    type = _media_type(type)
    shown, textual = _detected_types(start), _binary(start) is None
    if type in shown:
        return True
    if shown or not textual:
        return not shown and type == UNKNOWN
    return type in ("application/json", UNKNOWN) or (type.startswith("text/") and type != "text/html")


def _detected_types(start: bytes) -> set[str]:
    """Return the types with the highest confidence for the first bytes of a file; none without a signature.

    Texts have no reliable signatures: their types are left out, and `fits` accepts any `text/` type for them.
    """
    if _page(start):
        return {"text/html"}
    try:
        found = puremagic.magic_string(start)
    except (puremagic.PureError, ValueError):  # no known signature; no bytes
        return set()
    surest = max(match.confidence for match in found)
    types = {_media_type(match.mime_type) for match in found if match.confidence == surest} - {"", UNKNOWN}
    if _binary(start) is None and not _markup(start):
        textual_types = {type for type in types if type.startswith(("text/", "message/")) or type == "application/json"}
        return types - textual_types if surest >= SURE else set()
    return types


def _media_type(type: str) -> str:
    type = type.lower().replace("/x-", "/")
    return ALIASES.get(type, type)
