"""The history of a document: its changes, the document as it was after one of them, and its restoration."""

from msgspec import UNSET

from service.api.dialect import Answer, Request, Routes
from service.api.parsing import number
from service.api.preconditions import condition
from service.dialects.ainoflow import journal_description as description
from service.dialects.ainoflow.answers import answer, document_answer, instant, receipt
from service.dialects.ainoflow.handlers import DOCUMENT
from service.dialects.ainoflow.parameters import collection_of, quota, required_retention
from service.dialects.ainoflow.shapes import History, Past
from service.storage.errors import NotFound
from service.storage.journal.change import Change
from service.storage.keys import Collection
from service.storage.records.record import etag
from service.storage.records.write import Write

HISTORY = DOCUMENT + "/history"
PAST = HISTORY + "/{cursor}"

routes = Routes()


@routes.route("GET", HISTORY, described=description.history)
async def history(request: Request) -> Answer:
    """List the changes of a document.

    They come newest first, without the documents. A key that never was has none.
    """
    required_retention(request)
    category, key = request.params
    collection, query = collection_of(request, category, key), request.query()
    limit = number(query, "limit", 50, 1, 1000)
    found, cursor = await request.service.storage.journal.history(collection, key, query.get("before"), limit)
    return answer(200, History(category, key, [_shown(each) for each in found], cursor))


@routes.route("GET", PAST, described=description.past)
async def past(request: Request) -> Answer:
    """Read a document as it was after a change."""
    required_retention(request)
    category, key, cursor = request.params
    found, value = await _past(request, collection_of(request, category, key), key, cursor)
    return document_answer(request.headers, value, found.at)


@routes.route("POST", PAST, described=description.restore)
async def restore(request: Request) -> Answer:
    """Put a document back as it was after a change.

    It becomes a new version without an expiry, also if the document was deleted. A body is not looked at.
    """
    retention = required_retention(request)
    category, key, cursor = request.params
    collection = collection_of(request, category, key)
    await request.body.read(request.service.settings.max_document_bytes)
    _, value = await _past(request, collection, key, cursor)
    write = Write(
        collection,
        key,
        request.caller.id,
        condition=condition(request.headers),
        quota=quota(request),
        journal=retention,
        idempotency=request.idempotency,
    )
    saved = await request.service.storage.records.put(write, value)
    return receipt(200, category, key, saved, etag(value))


async def _past(request: Request, collection: Collection, key: str, cursor: str) -> tuple[Change, bytes]:
    """Return a change of a document and the document after it. Raises Invalid, NotFound."""
    found = await request.service.storage.journal.entry(collection, cursor)
    if found is None or found.id != key or found.value is None:
        raise NotFound("no document is kept under this cursor")
    return found, found.value


def _shown(found: Change) -> Past:
    size = UNSET if found.size is None else found.size
    return Past(
        found.cursor, found.operation, found.id, found.version, found.etag, instant(found.at), found.author, size
    )
