"""Answers in the vendor's form: the shapes of its JSON, and its refusals."""

from collections.abc import AsyncIterator, Mapping
from datetime import datetime, timedelta
from functools import lru_cache
from time import gmtime, strftime
from typing import Any

from service.api.dialect import Answer
from service.api.preconditions import http_date, not_modified
from service.dialects.ainoflow.parameters import EPOCH
from service.dialects.ainoflow.shapes import Error, Message, Metadata, Receipt, encode
from service.storage.errors import AlreadyExists, NotFound, Refusal
from service.storage.records.record import Record, Saved, etag


def answer(status: int, value: Any, headers: tuple[tuple[str, str], ...] = ()) -> Answer:
    return Answer(status, encode(value), headers=headers)


def receipt(status: int, category: str, key: str, saved: Saved, tag: str) -> Answer:
    return answer(status, Receipt(category, key, saved.version, tag, expiry(saved)))


def shown(headers: Mapping[str, str], record: Record) -> Answer:
    """A document, or that the client has it."""
    tag = etag(record.body)
    known = (("ETag", f'"{tag}"'), ("Last-Modified", http_date(record.updated // 1_000_000)))
    if not_modified(headers, tag):
        return Answer(304, headers=known)
    return Answer(200, record.body, headers=known)


def described(category: str, key: str, record: Record) -> Metadata:
    return Metadata(
        category,
        key,
        instant(record.created),
        instant(record.updated),
        expiry(record),
        record.version,
        record.etag,
        len(record.body),
        record.creator,
        record.updater,
    )


async def listed(
    found: AsyncIterator[list[tuple[str, Record]]], category: str, before: bytes, after: bytes
) -> AsyncIterator[bytes]:
    """The items of a page as JSON, a piece for each portion that storage read; a short page is one piece."""
    piece, comma, begun = before, b"", b'{"category":%b,"key":' % encode(category)
    async for portion in found:
        if not portion:
            continue
        if comma:
            yield piece
            piece = b""
        piece += comma + b",".join([item(begun, key, record) for key, record in portion])
        comma = b","
    yield piece + after


def item(begun: bytes, key: str, record: Record) -> bytes:
    """A document in a list, an `Item` that begins so. Joined from its pieces it takes a third of the time."""
    body, created, updated = record.body, record.created, record.updated
    since = _iso(created)
    return b"".join(
        (
            begun,
            encode(key),
            b',"value":',
            body,
            b',"size":%d,"createdAt":' % len(body),
            since,
            b',"updatedAt":',
            since if updated == created else _iso(updated),
            b',"expiresAt":',
            _iso(record.expires * 1000) if record.expires else b"null",
            b"}",
        )
    )


def _iso(microseconds: int) -> bytes:
    """A time as `instant` has it in JSON. As bytes from the start it takes 0.30 us, as text 0.47."""
    seconds, fraction = divmod(microseconds, 1_000_000)
    return b'%b.%06dZ"' % (_second(seconds), fraction) if fraction else _second(seconds) + b'Z"'


@lru_cache(maxsize=4096)
def _second(seconds: int) -> bytes:
    return strftime('"%Y-%m-%dT%H:%M:%S', gmtime(seconds)).encode()


def totalled(total: int, page: int, limit: int) -> dict[str, int]:
    return {"totalCount": total, "page": page, "pageSize": limit, "totalPages": -(-total // limit)}


def paged(totals: Mapping[str, int]) -> tuple[tuple[str, str], ...]:
    names = ("X-Total-Count", "X-Page", "X-Limit", "X-Total-Pages")
    return tuple(zip(names, map(str, totals.values()), strict=True))


def instant(microseconds: int) -> datetime:
    """A time, which JSON has as ISO 8601 in UTC; the fraction is left out where there is none."""
    return EPOCH + timedelta(microseconds=microseconds)


def expiry(record: Record | Saved) -> datetime | None:
    return instant(record.expires * 1000) if record.expires else None


def refuse(refusal: Refusal, params: tuple[str, ...]) -> Answer:
    message = str(refusal)
    if len(params) == 2 and isinstance(refusal, AlreadyExists | NotFound):
        what = "already exists" if isinstance(refusal, AlreadyExists) else "was not found"
        message = f"Item with category '{params[0]}' and key '{params[1]}' {what}"
    return Answer(refusal.status, encode(Error(Message(message))))
