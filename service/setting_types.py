"""Types of setting values: how each type is parsed, written as text, and described to an operator.

Invariant: `parse(show(value)) == value`, because workers get their settings through environment variables.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Any, TypeVar

N = TypeVar("N", int, float)


@dataclass(frozen=True, slots=True)
class Kind:
    """One type of value. `parse` raises ValueError or KeyError for a text that is not as `expected` describes."""

    parse: Callable[[str], Any]
    expected: str
    show: Callable[[Any], str] = str


def _number(kind: type[N], pattern: str, low: N, high: N) -> Callable[[str], N]:
    def parse(text: str) -> N:
        if not re.fullmatch(pattern, text) or not low <= kind(text) <= high:
            raise ValueError
        return kind(text)

    return parse


def _whole(low: int, high: int) -> Callable[[str], int]:
    return _number(int, r"[0-9]{1,15}", low, high)


def one_of(*words: str) -> Kind:
    """Accept one of these words, in upper or lower case."""
    return Kind(lambda text: words[words.index(text.lower())], "one of " + ", ".join(words))


def _matching(pattern: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if not re.fullmatch(pattern, text):
            raise ValueError
        return text

    return parse


def _several(item: Callable[[str], str], expected: str) -> Kind:
    def parse(text: str) -> tuple[str, ...]:
        return tuple(dict.fromkeys(item(part.strip()) for part in text.split(",") if part.strip()))

    return Kind(parse, expected, ",".join)


def _host(text: str) -> str:
    if ":" in text or re.fullmatch(r"[0-9.]+", text):
        return str(ip_address(text))
    return _matching(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,252})")(text)


def _path(text: str) -> Path:
    if not text or "\0" in text:
        raise ValueError
    return Path(text)


HOST = Kind(_host, "an IP address or a host name")
PORT = Kind(_whole(0, 65535), "a port number from 0 (any free one) to 65535")
PATH = Kind(_path, "a path")
_FLAGS = dict.fromkeys(("true", "1", "yes", "on"), True) | dict.fromkeys(("false", "0", "no", "off"), False)
SWITCH = Kind(lambda text: _FLAGS[text.lower()], "true or false", lambda value: str(value).lower())
SECRET = Kind(_matching(r"[\x21-\x7e]+"), "visible ASCII characters without a space")
SIGNING_KEYS = _several(
    _matching(r"[\x21-\x2b\x2d-\x7e]{32,}"), "keys of 32 or more visible ASCII characters, comma-separated"
)
REDIS_URL = Kind(
    _matching(r"(unix|rediss?(\+cluster|\+sentinel)?)://\S+"),
    "a redis://, rediss://, unix://, redis+cluster:// or redis+sentinel:// URL",
)
DIALECTS = _several(_matching("[a-z][a-z0-9_]*"), "dialect names, comma-separated")
BASE_URL = Kind(
    lambda text: _matching(r"https?://[A-Za-z0-9.:\[\]-]+(/[A-Za-z0-9._~/-]*)?")(text).rstrip("/"),
    "a URL such as https://storage.example/base",
)
MIME_TYPES = _several(
    lambda text: _matching(r"[a-z0-9.+-]+/[a-z0-9.+-]+")(text.lower()), "media types such as image/png, comma-separated"
)
ORIGINS = _several(_matching(r"\*|https?://[^/\s*,]+"), "* or origins such as https://app.example, comma-separated")


def between(low: int, high: int) -> Kind:
    """Accept whole numbers; both ends are included."""
    return Kind(_whole(low, high), f"a whole number from {low} to {high}")


def duration(low: float, high: float) -> Kind:
    """Accept seconds; both ends are included."""
    return Kind(
        _number(float, r"[0-9]{1,9}(\.[0-9]{1,9})?", low, high), f"a number of seconds from {low:g} to {high:g}"
    )
