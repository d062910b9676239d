"""Client of a server with the Ainoflow API: lists, reads and writes the documents of one project."""

from datetime import UTC, datetime, timedelta
from hashlib import md5
from typing import Annotated, TypeVar
from urllib.parse import quote, urlencode

import msgspec
from msgspec import Meta, Raw, Struct

from service.api.parsing import validate
from service.migration.outcome import Refused
from service.remote.client import Remote, Reply
from service.storage.errors import Invalid

PATH = "/api/v1/storage/json"
NAMES = 1000  # categories on a page
ATTEMPTS = 10  # attempts to read a document that changes while it is read
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)

T = TypeVar("T")


class Category(Struct):
    """One category in the list of categories."""

    category: str
    count: int


class Item(Struct):
    """One document in a list."""

    key: Annotated[str, Meta(min_length=1, max_length=1024)]
    value: Raw


class Metadata(Struct):
    """The metadata of a document."""

    version: Annotated[int, Meta(ge=1, le=(1 << 53) - 1)]
    etag: str
    createdAt: str
    updatedAt: str
    expiresAt: str | None = None
    createdBy: str | None = None
    updatedBy: str | None = None


class Receipt(Struct):
    """The answer to a write."""

    etag: str


class Found(Struct):
    """A document with its metadata. `proven`: the etag is the MD5 of the body."""

    metadata: Metadata
    body: bytes
    proven: bool


def etag_of(body: bytes) -> str:
    """Return the etag that the vendor's page describes: the MD5 of the content, in hexadecimal."""
    return md5(body, usedforsecurity=False).hexdigest()


def microseconds(moment: str) -> int:
    """Return the microseconds since 1970 of an ISO 8601 time. A time without a zone is UTC. Raises ValueError."""
    found = datetime.fromisoformat(moment)
    return (found.replace(tzinfo=found.tzinfo or UTC) - EPOCH) // MICROSECOND


def iso(milliseconds: int) -> str:
    """Return the ISO 8601 time for a number of milliseconds since 1970."""
    return (EPOCH + timedelta(milliseconds=milliseconds)).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class Documents:
    """The documents of one project: the project of the key in the remote's headers."""

    def __init__(self, remote: Remote) -> None:
        self._remote = remote

    async def categories(self) -> dict[str, int]:
        """Return the number of documents of each category."""
        found: dict[str, int] = {}
        page = 1
        while True:
            target = f"{PATH}?{urlencode({'page': page, 'limit': NAMES})}"
            listed = self._read(await self._remote.ask("GET", target), list[Category], "the list of categories")
            fresh = {each.category: each.count for each in listed if each.category not in found}
            found |= fresh
            if len(listed) < NAMES or not fresh:  # a server that ignores `page` answers the same list again
                return found
            page += 1

    async def count(self, category: str) -> int:
        """Return the number of documents of one category."""
        return await self._total(await self._remote.ask("GET", self._listing(category, 1, 1)))

    async def page(self, category: str, page: int, limit: int) -> tuple[list[Item], int, int]:
        """Return a page in the order of keys, the number of documents on all pages, and the bytes of this page."""
        reply = await self._remote.ask("GET", self._listing(category, page, limit))
        return self._read(reply, list[Item], f"page {page} of {category}"), await self._total(reply), len(reply.body)

    async def find(self, category: str, item: Item) -> Found | None:
        """Return a document as it was at one moment, or None if it is gone. Raises Refused if it keeps changing."""
        at = self._at(category, item.key)
        for _ in range(ATTEMPTS):
            known = await self.metadata(category, item.key)
            if known is None:
                return None
            body = bytes(item.value)
            if etag_of(body) != known.etag:  # a list may re-encode values
                reply = await self._remote.ask("GET", at)
                if reply.status == 404:
                    continue
                body = self._good(reply, at).body
                try:
                    validate(body)
                except Invalid as error:
                    raise Refused(f"{category}/{item.key}: {error}") from error
            if etag_of(body) == known.etag:
                return Found(known, body, proven=True)
            if await self.metadata(category, item.key) == known:
                return Found(known, body, proven=False)
        raise Refused(f"{category}/{item.key} changed during each of {ATTEMPTS} attempts to read it")

    async def metadata(self, category: str, key: str) -> Metadata | None:
        """Return the metadata of a document, or None if there is no such document."""
        at = self._at(category, key) + "/meta"
        reply = await self._remote.ask("GET", at)
        return None if reply.status == 404 else self._read(reply, Metadata, at)

    async def write(self, method: str, category: str, key: str, body: bytes, expires: int) -> str | None:
        """Create (POST) or store (PUT) a document, and return its etag, or None if it exists already."""
        at = self._at(category, key)
        target = f"{at}?{urlencode({'expiresAt': iso(expires)})}" if expires else at
        reply = await self._remote.ask(method, target, body, [("Content-Type", "application/json")])
        return None if reply.status == 409 else self._read(reply, Receipt, at).etag

    def _listing(self, category: str, page: int, limit: int) -> str:
        query = {"sortBy": "key", "sortOrder": "asc", "page": page, "limit": limit}
        return f"{PATH}/{quote(category, safe='')}?{urlencode(query)}"

    def _at(self, category: str, key: str) -> str:
        return f"{PATH}/{quote(category, safe='')}/{quote(key, safe='')}"

    async def _total(self, reply: Reply) -> int:
        text = self._good(reply, "a list").headers.get("X-Total-Count", "")
        if not text.isdecimal() or len(text) > 15:
            raise Refused("the header X-Total-Count of a list must be a number")
        return int(text)

    def _good(self, reply: Reply, what: str) -> Reply:
        if reply.status not in (200, 201):
            raise Refused(f"{what} was answered with {reply.status}: {reply.body[:200].decode(errors='replace')}")
        return reply

    def _read(self, reply: Reply, kind: type[T], what: str) -> T:
        try:
            return msgspec.json.decode(self._good(reply, what).body, type=kind)
        except msgspec.MsgspecError as error:
            raise Refused(f"{what} is not as the vendor's page describes it: {error}") from error
