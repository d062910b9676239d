"""Appending one JSON value to another, for large texts. lua/include/join.lua does it for small ones inside
Redis.

To an array, the elements of an array or any other value can be appended; to an object, the members of an object
(not recursively); to a string, a string. The existing bytes stay. New elements of an array come after the last one,
before the white space at its end, and without the white space around them. New members are placed where a merge
patch would place them.
"""

from service.storage.errors import Mismatched, TooLarge
from service.storage.records.splice import LONGEST, splice

SPACE = b" \t\r\n"
STRING, ARRAY, OBJECT = b'"', b"[", b"{"


def join(text: bytes, value: bytes, limit: int = LONGEST) -> bytes:
    """Return the text with the value appended. Both are valid JSON in UTF-8.

    Raises Mismatched; TooLarge if the result would be longer than `limit` bytes.
    """
    kind, added = text.lstrip(SPACE)[:1], value.lstrip(SPACE)[:1]
    if kind == OBJECT and added == OBJECT:
        return splice(text, value, limit, flat=True)
    at = len(text.rstrip(SPACE)) - 1
    value = value.strip(SPACE)
    if kind == STRING and added == STRING:
        joined = text[:at] + value[1:] + text[at + 1 :]
    elif kind == ARRAY:
        joined = _pushed(text, at, value[1:-1].strip(SPACE) if added == ARRAY else value)
    else:
        raise Mismatched("the value cannot be appended to what is there")
    if len(joined) > limit:
        raise TooLarge(f"the result must have at most {limit} bytes")
    return joined


def _pushed(text: bytes, end: int, elements: bytes) -> bytes:
    """Return the text of an array, whose bracket closes at `end`, with more elements."""
    if not elements:
        return text
    at = len(text[:end].rstrip(SPACE))
    comma = b"," if text[at - 1 : at] != ARRAY else b""
    return text[:at] + comma + elements + text[at:]
