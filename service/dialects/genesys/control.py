"""File control: which files may come in, by what they say that they are and by what their bytes show."""

import re
from collections.abc import AsyncIterator

import puremagic

from service.api.forms import Content, Part
from service.storage.errors import Denied

LOOKED_AT = 8192  # bytes from the start of a file
SURE = 0.4  # a signature of four bytes or more, as puremagic weighs them; texts begin with shorter ones by chance
UNKNOWN = "application/octet-stream"

# Other names of types that puremagic knows, without the `x-` before the subtype.
ALIASES = {
    "audio/wav": "audio/wave",
    "image/bmp": "image/ms-bmp",
    "image/jpg": "image/jpeg",
    "text/xml": "application/xml",
    "application/zip-compressed": "application/zip",
}

_binary = re.compile(rb"[\x00-\x08\x0b\x0e-\x1a\x1c-\x1f]").search  # no text has it (WHATWG MIME Sniffing, section 7.2)
_markup = re.compile(rb"(?:\xef\xbb\xbf)?\s*<[A-Za-z!?/]").match
_page = re.compile(rb"(?i)(?:\xef\xbb\xbf)?\s*<(?:!doctype\s+html|html|head|body|script|iframe|!--)").match


def checked(part: Part, allowed: tuple[str, ...]) -> Content:
    """The content of a file whose type is allowed, and is what its bytes show. Raises Denied, before any of it."""
    content = part.content
    if not isinstance(content, bytes):
        return _checked_pieces(part, content, allowed)
    _judge(part, content, allowed)
    return content


async def _checked_pieces(part: Part, pieces: AsyncIterator[bytes], allowed: tuple[str, ...]) -> AsyncIterator[bytes]:
    start = b""
    while len(start) < LOOKED_AT and (piece := await anext(pieces, b"")):
        start += piece
    _judge(part, start, allowed)
    yield start
    async for piece in pieces:
        yield piece


def _judge(part: Part, start: bytes, allowed: tuple[str, ...]) -> None:
    if part.type not in allowed:
        raise Denied(f"the type {part.type!r} of the file {part.name!r} must be one of: {', '.join(allowed) or 'none'}")
    if not fits(part.type, start[:LOOKED_AT]):
        raise Denied(f"the bytes of the file {part.name!r} are not those of its type, {part.type!r}")


def fits(type: str, start: bytes) -> bool:
    """Is a file that begins so of that type? An `x-` before a subtype makes no difference."""
    type = _media_type(type)
    shown, textual = _shown(start), _binary(start) is None
    if type in shown:
        return True
    if shown or not textual:
        return not shown and type == UNKNOWN
    return type in ("application/json", UNKNOWN) or (type.startswith("text/") and type != "text/html")


def _shown(start: bytes) -> set[str]:
    """The types of which the bytes may be, the surest alone; none where they have no signature. Of a text, that it is
    one is all that is told: any `text/` will do."""
    if _page(start):
        return {"text/html"}
    try:
        found = puremagic.magic_string(start)
    except (puremagic.PureError, ValueError):  # it knows none; there are no bytes
        return set()
    surest = max(match.confidence for match in found)
    types = {_media_type(match.mime_type) for match in found if match.confidence == surest} - {"", UNKNOWN}
    if _binary(start) is None and not _markup(start):
        plain = {type for type in types if type.startswith(("text/", "message/")) or type == "application/json"}
        return types - plain if surest >= SURE else set()
    return types


def _media_type(type: str) -> str:
    type = type.lower().replace("/x-", "/")
    return ALIASES.get(type, type)
