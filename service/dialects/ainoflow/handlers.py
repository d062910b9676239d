"""The routes of the vendor's endpoints."""

from collections.abc import Mapping
from operator import attrgetter
from typing import Any

from service.api.dialect import Answer, Request, Routes, Stream
from service.api.parsing import choice, flag
from service.api.preconditions import condition
from service.dialects.ainoflow import cursors, description
from service.dialects.ainoflow.answers import (
    answer,
    document_answer,
    list_pieces,
    metadata_of,
    part_of,
    receipt,
    total_headers,
    totals_of,
)
from service.dialects.ainoflow.parameters import (
    INDEXES,
    LAST_OFFSET,
    NAME,
    collection_of,
    document,
    lifetime,
    paging,
    quota,
    retention,
)
from service.dialects.ainoflow.shapes import Counted, Deleted, Identity, encode
from service.storage.errors import Invalid
from service.storage.records.record import etag
from service.storage.records.write import Write

DOCUMENTS = "/api/v1/storage/json"
CATEGORY = DOCUMENTS + "/{category}"
DOCUMENT = CATEGORY + "/{key}"

SORTS = {"createdAt": "c", "updatedAt": "u", "size": "s", "key": "n"}

routes = Routes()


@routes.route("POST", CATEGORY, described=description.create_unnamed)
async def create_unnamed(request: Request) -> Answer:
    """Create a document under a generated key.

    The key is a UUID without dashes: 32 hexadecimal digits.
    """
    return await _create(request, request.params[0], await request.fresh_id())


@routes.route("POST", DOCUMENT, described=description.create)
async def create(request: Request) -> Answer:
    """Create a document that does not exist yet.

    Use it for locks, unique records, or creation that may be repeated.
    """
    return await _create(request, *request.params)


async def _create(request: Request, category: str, key: str) -> Answer:
    collection, until = collection_of(request, category, key), lifetime(request.query())
    body = await document(request)
    write = Write(
        collection,
        key,
        request.caller.id,
        lifetime=until,
        quota=quota(request),
        journal=retention(request),
        idempotency=request.idempotency,
    )
    saved = await request.service.storage.records.create(write, body)
    return receipt(201, category, key, saved, etag(body))


@routes.route("PUT", DOCUMENT, described=description.put)
async def put(request: Request) -> Answer:
    """Store a document, new or not.

    An earlier document is replaced as a whole, including its expiry.
    """
    category, key = request.params
    collection, until = collection_of(request, category, key), lifetime(request.query())
    body = await document(request)
    write = Write(
        collection,
        key,
        request.caller.id,
        lifetime=until,
        condition=condition(request.headers),
        quota=quota(request),
        journal=retention(request),
        idempotency=request.idempotency,
    )
    saved = await request.service.storage.records.put(write, body)
    return receipt(200, category, key, saved, etag(body))


@routes.route("PATCH", DOCUMENT, described=description.patch)
async def patch(request: Request) -> Answer:
    """Apply a JSON merge patch (RFC 7386).

    Members that the patch names are replaced, null removes them, objects merge. What it does not name keeps its bytes,
    and the document its expiry.
    """
    category, key = request.params
    collection, change = collection_of(request, category, key), await document(request)
    write = Write(
        collection,
        key,
        request.caller.id,
        condition=condition(request.headers),
        quota=quota(request),
        journal=retention(request),
        idempotency=request.idempotency,
    )
    limit = request.service.settings.max_document_bytes
    saved, tag = await request.service.storage.records.merge(write, change, limit)
    return receipt(200, category, key, saved, tag)


@routes.route("GET", DOCUMENT, described=description.get)
async def get(request: Request) -> Answer:
    """Read a document.

    The body of the answer is the document itself, without an envelope.
    """
    category, key = request.params
    collection = collection_of(request, category, key)
    if request.query_string and flag(request.query(), "allowEmpty"):
        found = await request.service.storage.records.find_current(collection, key)
        if found is None:
            return Answer(200, b"{}")
    else:
        found = await request.service.storage.records.get(collection, key)
    return document_answer(request.headers, found.body, found.updated)


@routes.route("DELETE", DOCUMENT, described=description.delete)
async def delete(request: Request) -> Answer:
    """Delete a document."""
    category, key = request.params
    write = Write(
        collection_of(request, category, key),
        key,
        request.caller.id,
        condition=condition(request.headers),
        quota=quota(request),
        journal=retention(request),
        idempotency=request.idempotency,
    )
    await request.service.storage.records.delete(write)
    return answer(200, Deleted(category, key))


@routes.route("GET", DOCUMENT + "/meta", described=description.meta)
async def meta(request: Request) -> Answer:
    """Read the metadata of a document, without the document."""
    category, key = request.params
    found = await request.service.storage.records.get(collection_of(request, category, key), key)
    return answer(200, metadata_of(category, key, found))


@routes.route("GET", DOCUMENTS, described=description.categories)
async def categories(request: Request) -> Answer:
    """List the categories, by name.

    Without `page` and `limit`, all of them are listed.
    """
    query, project = request.query("cursor"), request.caller.claims["project"]
    prefix = query.get("prefix", "")
    aggregate = flag(query, "aggregate")
    if "cursor" in query:
        return await _categories_after(request, query, prefix, aggregate=aggregate)
    # The vendor's page has no paging here, so all categories are listed unless paging is asked for.
    page, limit = paging(query) if "page" in query or "limit" in query else (1, 0)
    found = await _counted(request, project, prefix)
    totals = totals_of(len(found), page, limit or len(found) or 1)
    if limit:
        found = found[(page - 1) * limit : page * limit]
    return answer(200, {"items": found, **totals} if aggregate else found, headers=total_headers(totals))


async def _categories_after(request: Request, query: Mapping[str, str], prefix: str, *, aggregate: bool) -> Answer:
    """Answer the categories after a cursor."""
    project = request.caller.claims["project"]
    list = cursors.identity(project, "", prefix)
    after, (_, limit) = cursors.parsed(query, list), paging(query)
    found = await _counted(request, project, prefix)
    rest = [each for each in found if after is None or each.category > after.id]
    items, more = rest[:limit], len(rest) > limit
    part = part_of(len(found), limit, cursors.Cursor(list, "0", items[-1].category).text() if more else None)
    return answer(200, {"items": items, **part} if aggregate else items, headers=total_headers(part))


async def _counted(request: Request, project: str, prefix: str) -> list[Counted]:
    """Return the categories that have documents and whose names begin with a prefix, by name."""
    counts = await request.service.storage.records.collections(NAME, project, INDEXES)
    found = (Counted(each.name, n) for each, n in counts.items() if n and each.name.startswith(prefix))
    return sorted(found, key=attrgetter("category"))


@routes.route("GET", CATEGORY, described=description.documents)
async def documents(request: Request) -> Stream:
    """List the documents of a category.

    A category without documents is an empty list.
    """
    query, category = request.query("cursor"), request.params[0]
    collection = collection_of(request, category)
    page, limit = paging(query)
    kind = choice(query, "sortBy", "createdAt", SORTS)
    descending = choice(query, "sortOrder", "asc", {"asc": False, "desc": True})
    prefix = query.get("prefix", "")
    if prefix and kind != "n":
        raise Invalid("`prefix` needs `sortBy=key`")
    before, after = b"[", b"]"
    aggregate = flag(query, "aggregate")
    offset, more = min((page - 1) * limit, LAST_OFFSET), {"prefix": prefix}
    if by_cursor := "cursor" in query:
        list = cursors.identity(request.caller.claims["project"], category, kind, str(descending), prefix)
        if (position := cursors.parsed(query, list)) is not None:
            more |= {"score": position.score, "last": position.id}
    storage = request.service.storage.records
    total, found = await storage.page(collection, kind, offset, limit, descending=descending, **more)
    totals: dict[str, Any] = totals_of(total, page, limit)
    if by_cursor:
        last = found[-1] if found and found[-1].score else None
        totals = part_of(total, limit, cursors.Cursor(list, last.score, last.id).text() if last else None)
    if aggregate:
        before = b'{"category":%b,"items":[' % encode(category)
        after = b"]," + encode(totals)[1:]
    portions = storage.read_listed(collection, found)
    return Stream(200, list_pieces(portions, category, before, after), headers=total_headers(totals))


@routes.route("GET", "/api/v1/whoami", described=description.whoami)
async def whoami(request: Request) -> Answer:
    """Return the id and the project of the API key.

    Clients test their credential with it.
    """
    return answer(200, Identity(request.caller.id, request.caller.claims["project"]))
