"""The feed: the changes of a category, oldest first, from a cursor on."""

from msgspec import UNSET, Raw

from service.api.dialect import Answer, Request, Routes
from service.api.parsing import number
from service.dialects.ainoflow import journal_description as description
from service.dialects.ainoflow.answers import answer, instant
from service.dialects.ainoflow.parameters import collection_of, required_retention
from service.dialects.ainoflow.shapes import Change, Changes
from service.storage.journal import change

routes = Routes()


@routes.route("GET", "/api/v1/storage/changes/{category}", described=description.changes)
async def changes(request: Request) -> Answer:
    """Read the changes of a category.

    They are those of all documents, oldest first, if the project keeps a journal.
    """
    required_retention(request)
    [category] = request.params
    collection, query, journal = collection_of(request, category), request.query(), request.service.storage.journal
    limit = number(query, "limit", 100, 1, 1000)
    since = query.get("since", "oldest")
    if since == "now":
        return answer(200, Changes(category, [], await journal.latest(collection), False))
    page = await journal.read(collection, None if since == "oldest" else since, limit)
    return answer(200, Changes(category, [shown(each) for each in page.changes], page.next, page.more))


def shown(found: change.Change) -> Change:
    """Return a change as the feed has it."""
    value = UNSET if found.value is None else Raw(found.value)
    return Change(
        found.cursor, found.operation, found.id, found.version, found.etag, instant(found.at), found.author, value
    )
