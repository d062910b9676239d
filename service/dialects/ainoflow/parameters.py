"""Checks and parses the parameters of requests: names, query parameters, the document itself."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from service.api.dialect import Request
from service.api.parsing import number, validate
from service.storage import keys
from service.storage.errors import Invalid, NoJournal
from service.storage.journal.retention import Retention
from service.storage.keys import Collection
from service.storage.records import offload
from service.storage.records.quota import Quota

NAME = "ainoflow"
NEEDED = "an API key is needed: Authorization: Bearer YOUR_API_KEY"
INDEXES = "cusn"  # the sort orders of a category: created, updated, size, name
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
LAST_MS = 253_402_300_799_999  # 9999-12-31, the last day that ISO 8601 writes with four digits
LONGEST_MS = 250_000_000_000_000  # the longest lifetime, about 7,900 years: it ends before the year 10000 until 2077
VALIDATED_INLINE = 1_000_000  # a body up to this size is validated on the event loop, which takes at most 5 ms
BATCH_BYTES = 1_000_000  # the longest body of a batch, which is parsed on the event loop
LAST_OFFSET = 1 << 50  # larger than any collection, and exact as a Lua number

_iso_8601 = re.compile(r"[0-9W-]+(?:[T ][0-9:.,]+(?:Z|[ +-][0-9:]+)?)?").fullmatch


def collection_of(request: Request, category: str, key: str | None = None) -> Collection:
    """Return the collection of a category, after checking the category and the key. Raises Invalid."""
    if not category or len(category) > 100:
        raise Invalid(f"the category must have 1 to 100 characters, not {len(category)}")
    if key is not None and (not key or len(key) > 200):
        raise Invalid(f"the key must have 1 to 200 characters, not {len(key)}")
    return keys.collection(NAME, request.caller.claims["project"], category, INDEXES)


async def document(request: Request) -> bytes:
    """Return the body, a JSON object or array, unchanged. Raises Invalid, TooLarge."""
    body = await request.body.read(request.service.settings.max_document_bytes)
    if len(body) > VALIDATED_INLINE:
        await offload.run(validate, body)
    else:
        validate(body)
    if body.lstrip()[:1] not in (b"{", b"["):
        raise Invalid("the body must be a JSON object or array")
    return body


def quota(request: Request) -> Quota | None:
    project = request.declared
    return Quota(**project["quota"]) if project and project["quota"] else None


def retention(request: Request) -> Retention | None:
    """Return the limits of the project's journal, None if it keeps none."""
    project = request.declared
    return Retention(**project["journal"]) if project and "journal" in project else None


def required_retention(request: Request) -> Retention:
    """Return the limits of the project's journal. Raises NoJournal."""
    if (found := retention(request)) is None:
        raise NoJournal(f"the project {request.caller.claims['project']} keeps no journal")
    return found


def lifetime(query: Mapping[str, str]) -> str:
    """Return the document's expiry in the format of `Write.lifetime`. Redis's clock decides if it is in the future.

    Raises Invalid.
    """
    at, ms = query.get("expiresAt"), query.get("expiresMs")
    if at is None and ms is not None:
        return lifetime_of(None, number(query, "expiresMs", 0, 1, LONGEST_MS))
    return lifetime_of(at, ms)


def lifetime_of(at: str | None, ms: int | str | None) -> str:
    """Return the expiry for `expiresAt` and `expiresMs`, of which one may be given. Raises Invalid."""
    if at is not None and ms is not None:
        raise Invalid("only one of `expiresAt` and `expiresMs` may be given")
    if ms is not None:
        return f"+{ms}"
    return "" if at is None else str(_moment(at))


def _moment(text: str) -> int:
    """Parse an ISO 8601 date and time, in UTC by default, into ms since the Unix epoch. Raises Invalid."""
    try:
        found = _iso_8601(text.upper())  # `fromisoformat` accepts any character in place of the T
        if found is None:
            raise ValueError
        # A "+" that was not percent-encoded arrives as a space.
        moment = datetime.fromisoformat(found[0][:11] + found[0][11:].replace(" ", "+"))
    except ValueError:
        raise Invalid("`expiresAt` must be an ISO 8601 date and time, such as 2030-01-15T10:30:00Z") from None
    ms = (moment.replace(tzinfo=moment.tzinfo or UTC) - EPOCH) // timedelta(milliseconds=1)
    if ms > LAST_MS:
        raise Invalid("`expiresAt` must be before the year 10000")
    return ms


def paging(query: Mapping[str, str]) -> tuple[int, int]:
    return number(query, "page", 1, 1, LAST_OFFSET), number(query, "limit", 50, 1, 1000)
