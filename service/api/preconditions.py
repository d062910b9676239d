"""Conditional requests (RFC 9110, section 13): from headers to what storage is asked."""

from collections.abc import Mapping
from email.utils import formatdate
from functools import lru_cache

from multidict import istr

from service.storage.records.conditions import ANY, UNCONDITIONAL, Condition

# Names as multidict keeps them: to look one up takes 0.1 us instead of 0.2.
_IF_MATCH, _IF_NONE_MATCH = istr("If-Match"), istr("If-None-Match")


def condition(headers: Mapping[str, str]) -> Condition:
    """Return the condition that `If-Match` and `If-None-Match` put on a write. Etags without their quotes are
    understood too."""
    match, none_match = headers.get(_IF_MATCH), headers.get(_IF_NONE_MATCH)
    if match is None and none_match is None:
        return UNCONDITIONAL
    return Condition(
        None if match is None else _tags(match, weak=False),
        None if none_match is None else _tags(none_match, weak=True),
    )


def not_modified(headers: Mapping[str, str], etag: str) -> bool:
    """Does the reader have what it asks for? (`If-None-Match`, compared weakly.)"""
    known = headers.get(_IF_NONE_MATCH)
    if known is None:
        return False
    tags = _tags(known, weak=True)
    return tags == ANY or etag in tags


def _tags(header: str, *, weak: bool) -> frozenset[str]:
    """The etags of a header, or ANY. A weak one (`W/"..."`) never matches where the comparison is to be strong."""
    if header.strip() == "*":
        return ANY
    found = set()
    for each in header.split(","):  # our etags are hexadecimal: a comma inside of one is not ours
        tag = each.strip()
        if tag.startswith("W/"):
            if not weak:
                continue
            tag = tag[2:]
        found.add(tag.strip('"'))
    return frozenset(found - {"*"})


@lru_cache(maxsize=4096)
def http_date(seconds: int) -> str:
    """A Unix time as `Last-Modified` has it (RFC 9110, section 5.6.7)."""
    return formatdate(seconds, usegmt=True)
