"""What a request says, checked: names, query parameters, the document itself."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any

import msgspec

from service.dialect import Headers, Request, single
from service.storage import keys
from service.storage.errors import Invalid, Unauthenticated
from service.storage.keys import Collection
from service.storage.quota import Quota

NAME = "ainoflow"
INDEXES = "cusn"  # by created, updated, size and name
SORTS = {"createdAt": "c", "updatedAt": "u", "size": "s", "key": "n"}
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
LAST_MS = 253_402_300_799_999  # 9999-12-31, the last day that ISO 8601 writes with four digits
LONGEST_MS = 250_000_000_000_000  # the longest lifetime: some 7,900 years, and within the year 9999 until 2077
LAST_OFFSET = 1 << 50  # beyond any collection, and exact as a Lua number

# Checks a text's syntax and makes nothing of it, so that 10 MB of empty arrays cost 50 ms and no memory; `orjson.loads`
# made 3,400,000 lists of them, 3 s and 270 MB. It does not look at the bytes inside of strings.
_validate = msgspec.json.Decoder(msgspec.Raw).decode
_iso_8601 = re.compile(r"[0-9W-]+(?:[T ][0-9:.,]+(?:Z|[ +-][0-9:]+)?)?").fullmatch
_bearer = re.compile(r"(?i:bearer) +([!-~]+) *").fullmatch


def credential(headers: Headers) -> str:
    return _token(single(headers, "Authorization", Unauthenticated))


@lru_cache(maxsize=1000)
def _token(header: str) -> str:
    found = _bearer(header)
    if found is None:
        raise Unauthenticated("an API key is needed: Authorization: Bearer YOUR_API_KEY")
    return found[1]


def place_of(request: Request, category: str, key: str | None = None) -> Collection:
    """The collection, once category and key are found to be lawful names."""
    if not category or len(category) > 100:
        raise Invalid("the category is to have 1 to 100 characters")
    if key is not None and (not key or len(key) > 200):
        raise Invalid("the key is to have 1 to 200 characters")
    return keys.collection(NAME, request.caller.claims["project"], category, INDEXES)


async def document(request: Request) -> bytes:
    """The body, found to be a JSON object or array. What is stored are its very bytes."""
    return checked(await request.read(request.service.settings.max_document_bytes))


def checked(body: bytes) -> bytes:
    """The same bytes, found to be a JSON object or array. Raises Invalid."""
    try:
        if not body.isascii():
            body.decode()
        _validate(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Invalid(f"the body is not JSON: {error}") from None
    except RecursionError:
        raise Invalid("the body is nested too deep") from None
    if body.lstrip()[:1] not in (b"{", b"["):
        raise Invalid("the body is to be a JSON object or array")
    return body


async def quota(request: Request) -> Quota | None:
    project = await request.service.directory.find(NAME, "project", request.caller.claims["project"])
    return Quota(**project["quota"]) if project and project["quota"] else None


def lifetime(query: Mapping[str, str]) -> str:
    """When the document is to expire, as storage spells it; whether that is in the future, Redis's clock decides."""
    at, ms = query.get("expiresAt"), query.get("expiresMs")
    if at is not None and ms is not None:
        raise Invalid("expiresAt and expiresMs exclude each other")
    if ms is not None:
        return f"+{number(query, 'expiresMs', 0, 1, LONGEST_MS)}"
    return "" if at is None else str(_moment(at))


def _moment(text: str) -> int:
    """Milliseconds since the epoch until an ISO 8601 date, which is in UTC where it names no zone. Raises Invalid."""
    try:
        found = _iso_8601(text.upper())  # `fromisoformat` lets any character stand for the T
        if found is None:
            raise ValueError
        # A "+" that was not percent-encoded arrives as a space.
        moment = datetime.fromisoformat(found[0][:11] + found[0][11:].replace(" ", "+"))
    except ValueError:
        raise Invalid(f"expiresAt is not an ISO 8601 date: {text!r}") from None
    ms = (moment.replace(tzinfo=moment.tzinfo or UTC) - EPOCH) // timedelta(milliseconds=1)
    if ms > LAST_MS:
        raise Invalid("expiresAt is beyond the year 9999")
    return ms


def number(query: Mapping[str, str], name: str, default: int, least: int, most: int) -> int:
    text = query.get(name)
    if text is None:
        return default
    if not re.fullmatch("[0-9]{1,18}", text) or not least <= int(text) <= most:
        raise Invalid(f"{name} is to be a whole number from {least} to {most}")
    return int(text)


def paging(query: Mapping[str, str]) -> tuple[int, int]:
    return number(query, "page", 1, 1, LAST_OFFSET), number(query, "limit", 50, 1, 1000)


def choice(query: Mapping[str, str], name: str, default: str, values: Mapping[str, Any]) -> Any:
    try:
        return values[query.get(name, default)]
    except KeyError:
        raise Invalid(f"{name} is to be one of {', '.join(values)}") from None


def flag(query: Mapping[str, str], name: str) -> bool:
    text = query.get(name, "false").lower()
    if text not in ("true", "false"):
        raise Invalid(f"{name} is to be true or false")
    return text == "true"
