"""Answers and refusals in the vendor's format."""

from collections.abc import AsyncIterator, Mapping
from datetime import datetime, timedelta
from functools import lru_cache
from time import gmtime, strftime
from typing import Any, Protocol

from msgspec import UNSET

from service.api.dialect import Answer, Headers
from service.api.preconditions import http_date, not_modified
from service.dialects.ainoflow.parameters import EPOCH
from service.dialects.ainoflow.shapes import Error, Message, Metadata, Receipt, encode
from service.storage.errors import AlreadyExists, NotFound, OperationRefused, Refusal, Trimmed
from service.storage.records.record import Record, Saved, etag


class HasExpiry(Protocol):
    """A record, or the result of a write; `expires` is in milliseconds, 0 = never."""

    @property
    def expires(self) -> int: ...


TOTALS = {
    "totalCount": "X-Total-Count",
    "page": "X-Page",
    "pageSize": "X-Limit",
    "totalPages": "X-Total-Pages",
    "nextCursor": "X-Next-Cursor",
}  # header of each


def answer(status: int, value: Any, headers: tuple[tuple[str, str], ...] = ()) -> Answer:
    return Answer(status, encode(value), headers=headers)


def receipt(status: int, category: str, key: str, saved: Saved, tag: str) -> Answer:
    return answer(status, Receipt(category, key, saved.version, tag, expiry(saved)))


def document_answer(headers: Headers, body: bytes, updated: int) -> Answer:
    """Answer a document, or 304 if the client has this version."""
    tag = etag(body)
    known = (("ETag", f'"{tag}"'), ("Last-Modified", http_date(updated // 1_000_000)))
    if not_modified(headers, tag):
        return Answer(304, headers=known)
    return Answer(200, body, headers=known)


def metadata_of(category: str, key: str, record: Record) -> Metadata:
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


async def list_pieces(
    found: AsyncIterator[list[tuple[str, Record]]], category: str, before: bytes, after: bytes
) -> AsyncIterator[bytes]:
    """Yield the items of a page as JSON, one piece for each portion that storage reads.

    `before` and `after` are the bytes around the items.
    """
    piece, comma, item_start = before, b"", b'{"category":%b,"key":' % encode(category)
    async for portion in found:
        if not portion:
            continue
        if comma:
            yield piece
            piece = b""
        piece += comma + b",".join([list_item(item_start, key, record) for key, record in portion])
        comma = b","
    yield piece + after


def list_item(item_start: bytes, key: str, record: Record) -> bytes:
    """Return a document of a list as JSON (`shapes.Item`). Joining bytes takes a third of the time of encoding.

    `item_start` are the bytes of its first members, up to the value of `key`.
    """
    body, created, updated = record.body, record.created, record.updated
    since = _iso(created)
    return b"".join(
        (
            item_start,
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
    """Return a time in JSON, as `instant` would be encoded. Formatting bytes takes 0.30 us, text 0.47 us."""
    seconds, fraction = divmod(microseconds, 1_000_000)
    return b'%b.%06dZ"' % (_second(seconds), fraction) if fraction else _second(seconds) + b'Z"'


@lru_cache(maxsize=4096)
def _second(seconds: int) -> bytes:
    return strftime('"%Y-%m-%dT%H:%M:%S', gmtime(seconds)).encode()


def totals_of(total: int, page: int, limit: int) -> dict[str, int]:
    return {"totalCount": total, "page": page, "pageSize": limit, "totalPages": -(-total // limit)}


def total_headers(totals: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """Return the headers of a list for the totals of its page, or of a part that a cursor begins."""
    return tuple((TOTALS[name], str(value)) for name, value in totals.items() if value is not None)


def part_of(total: int, limit: int, next: str | None) -> dict[str, Any]:
    """Return the totals of a part of a list that a cursor begins; `next` is the cursor of the next part."""
    return {"totalCount": total, "pageSize": limit, "nextCursor": next}


def instant(microseconds: int) -> datetime:
    """Return a time for JSON: ISO 8601 in UTC, without a fraction if it is zero."""
    return EPOCH + timedelta(microseconds=microseconds)


def expiry(record: HasExpiry) -> datetime | None:
    return instant(record.expires * 1000) if record.expires else None


def refuse(refusal: Refusal, params: tuple[str, ...]) -> Answer:
    if isinstance(refusal, OperationRefused):
        return Answer(refusal.status, encode(Error(Message(str(refusal), operation=refusal.operation))))
    message = str(refusal)
    if len(params) == 2 and isinstance(refusal, AlreadyExists | NotFound):
        what = "already exists" if isinstance(refusal, AlreadyExists) else "was not found"
        message = f"Item with category '{params[0]}' and key '{params[1]}' {what}"
    oldest = refusal.oldest if isinstance(refusal, Trimmed) else UNSET
    return Answer(refusal.status, encode(Error(Message(message, oldest))))
