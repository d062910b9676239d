"""The feed: the changes of a category, oldest first, from a cursor on; as a page, or live (feed.py)."""

from service.api.dialect import Answer, Request, Routes, Stream, single
from service.api.following import asks_for_events
from service.api.parsing import number
from service.dialects.ainoflow import journal_description as description
from service.dialects.ainoflow.feed import Feed
from service.dialects.ainoflow.parameters import collection_of, required_retention
from service.storage.errors import Invalid

routes = Routes()


@routes.route("GET", "/api/v1/storage/changes/{category}", described=description.changes)
async def changes(request: Request) -> Answer | Stream:
    """Read the changes of a category.

    They are those of all documents, oldest first, if the project keeps a journal. With `wait`, an answer without
    changes waits for the next one. With `Accept: text/event-stream`, changes are sent as they are made: server-sent
    events named `change`, and `heartbeat` after 15 s without one. Their `id` is a cursor, after which `Last-Event-ID`
    resumes.
    """
    required_retention(request)
    query, feed = request.query(), Feed(request, collection_of(request, request.params[0]))
    limit, wait = number(query, "limit", 100, 1, 1000), number(query, "wait", 0, 0, 60)
    if asks_for_events(",".join(request.headers.getall("Accept", ()))):
        return await feed.stream(single(request.headers, "Last-Event-ID", Invalid) or query.get("since"))
    return await feed.page(query.get("since"), limit, wait)
