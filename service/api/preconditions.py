"""Conditional requests (RFC 9110, section 13): the headers If-Match and If-None-Match as a storage `Condition`.

Storage decides it: etags are compared in service/storage/records/conditions.py, all else in the script that writes
(lua/include/precondition_error.lua).
"""

from collections.abc import Mapping
from email.utils import formatdate
from functools import lru_cache

from multidict import istr

from service.storage.records.conditions import ANY, UNCONDITIONAL, Condition

# An `istr` is looked up in a multidict in 0.1 us, a `str` in 0.2 us.
_IF_MATCH, _IF_NONE_MATCH = istr("If-Match"), istr("If-None-Match")


def condition(headers: Mapping[str, str]) -> Condition:
    """Return the condition that `If-Match` and `If-None-Match` set for a write. Etags without quotes are accepted."""
    match, none_match = headers.get(_IF_MATCH), headers.get(_IF_NONE_MATCH)
    if match is None and none_match is None:
        return UNCONDITIONAL
    return Condition(
        None if match is None else _tags(match, weak=False),
        None if none_match is None else _tags(none_match, weak=True),
    )


def not_modified(headers: Mapping[str, str], etag: str) -> bool:
    """Return True if the client has the version with this etag: If-None-Match, compared weakly."""
    known = headers.get(_IF_NONE_MATCH)
    if known is None:
        return False
    tags = _tags(known, weak=True)
    return tags == ANY or etag in tags


def _tags(header: str, *, weak: bool) -> frozenset[str]:
    """Return the etags of a header, or ANY for `*`. A weak etag (`W/"..."`) never matches in a strong comparison."""
    if header.strip() == "*":
        return ANY
    found = set()
    for each in header.split(","):  # etags of this service are hexadecimal: none of them has a comma inside
        tag = each.strip()
        if tag.startswith("W/"):
            if not weak:
                continue
            tag = tag[2:]
        found.add(tag.strip('"'))
    return frozenset(found - {"*"})


@lru_cache(maxsize=4096)
def http_date(seconds: int) -> str:
    """Return a Unix time as an HTTP date, the format of `Last-Modified` (RFC 9110, section 5.6.7)."""
    return formatdate(seconds, usegmt=True)
