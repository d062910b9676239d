"""The live feed of a category: its journal, as a stream that can be followed."""

from service.api.dialect import Answer, Request, Stream, bearer
from service.api.following import poll, stream
from service.dialects.ainoflow.answers import instant
from service.dialects.ainoflow.parameters import NAME, NEEDED, required_retention
from service.dialects.ainoflow.shapes import Entry, encode
from service.storage.errors import Unauthenticated
from service.storage.feed.tail import Event, Position
from service.storage.journal.change import Change, decode, position
from service.storage.journal.journal import Changes, Journal
from service.storage.keys import Collection


class Feed:
    """A category's journal for the watcher (service/storage/feed/watcher.py: Source)."""

    def __init__(self, request: Request, collection: Collection) -> None:
        self.key = collection.journal
        self._request, self._collection = request, collection
        self._journal: Journal = request.service.storage.journal

    def event(self, position: Position, fields: list[bytes]) -> Event:
        return _event(decode(_cursor(position).encode(), fields))

    async def read(self, after: Position, limit: int) -> list[Event]:
        page = await self._journal.changes(self._collection, _cursor(after), limit)
        return [_event(change) for change in page.changes]

    async def page(self, since: str | None, limit: int, wait: int) -> Answer:
        """Answer with the changes after `since`; if there are none, wait `wait` seconds for some. Raises Refusal."""
        if since == "now":
            page = Changes([], await self._journal.latest(self._collection), False)
        else:
            page = await self._journal.read(self._collection, None if since == "oldest" else since, limit)
        events, next, more = [_event(change) for change in page.changes], page.next, page.more
        if not events and wait:
            follower = self._request.service.followers.follow(self, position(next))
            events = list(await poll(self._request, follower, limit, wait, self._confirm))
            next, more = _cursor(follower.position), follower.more
        listed = b",".join([event.data for event in events])
        parts = encode(self._collection.name), listed, encode(next), b"true" if more else b"false"
        return Answer(200, b'{"category":%b,"changes":[%b],"next":%b,"more":%b}' % parts)

    async def stream(self, since: str | None) -> Stream:
        """Answer with the changes after `since`, and with all later ones as they are made. Raises Refusal."""
        follower = self._request.service.followers.follow(self, await self._start(since))
        return stream(self._request, follower, "change", _cursor, self._confirm)

    async def _start(self, since: str | None) -> Position:
        """Return the position after which a client begins. Raises Invalid."""
        if since == "now":
            return position(await self._journal.latest(self._collection))
        if since is not None and since != "oldest":
            return position(since)
        return position(await self._journal.oldest(self._collection))

    async def _confirm(self) -> None:
        """Raise Refusal if the caller may not follow the category any more."""
        request = self._request
        directory, project = request.service.directory, request.caller.claims["project"]
        caller = await directory.caller(NAME, bearer(request.headers, NEEDED))
        if caller.claims["project"] != project:
            raise Unauthenticated("the API key belongs to another project now")
        request.declared = await directory.find_entry(NAME, "project", project)
        required_retention(request)


def _event(change: Change) -> Event:
    """Render a change; its value is the document's own bytes."""
    shown = Entry(
        change.cursor,
        change.operation,
        change.id,
        change.version,
        change.etag,
        instant(change.at),
        change.author,
    )
    data = encode(shown)
    if change.value is not None:
        data = b'%b,"value":%b}' % (data[:-1], change.value)
    return Event(position(change.cursor), data)


def _cursor(position: Position) -> str:
    return f"{position[0]}-{position[1]}"
