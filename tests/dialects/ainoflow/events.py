"""A client of the live feed: server-sent events as they arrive (WHATWG HTML, section 9.2.6), and long polls."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any, NamedTuple
from urllib.parse import quote, urlencode

from aiohttp import ClientResponse
from multidict import CIMultiDict

from tests.dialects.ainoflow.client import Client, declare
from tests.running import soon

EVENTS = "text/event-stream"

_opened: list[ClientResponse] = []


def close_all() -> None:
    """Close all streams that are open."""
    while _opened:
        _opened.pop().close()


class Event(NamedTuple):
    """One event: its name, its cursor and its data."""

    name: str
    cursor: str
    data: Any


def feed(category: str, **query: object) -> str:
    """Return the target of a category's feed."""
    return f"/api/v1/storage/changes/{quote(category, safe='')}?{urlencode(query)}"


async def keep_journal(project: Client, **limits: object) -> None:
    """Declare a journal for the project, and wait until its feed is answered."""
    await declare(project.running, project.http, {"projects": [{"id": project.project, "journal": limits}]})

    async def kept() -> bool:
        return (await project.ask("GET", feed("any"))).status == 200

    await soon(kept)


async def events_of(response: ClientResponse) -> AsyncIterator[Event]:
    """Yield the events of a response until it ends."""
    fields: CIMultiDict[str] = CIMultiDict()
    async for line in response.content:
        name, _, value = line.decode().rstrip("\n").partition(": ")
        if name:
            fields[name] = value
            continue
        yield Event(fields["event"], fields["id"], json.loads(fields["data"]))
        fields.clear()


class Stream:
    """An open stream of events."""

    def __init__(self, response: ClientResponse) -> None:
        self.response = response
        _opened.append(response)
        self._events = events_of(response)

    async def take(self, count: int) -> list[Event]:
        async with asyncio.timeout(20):
            return [await anext(self._events) for _ in range(count)]

    async def rest(self) -> list[Event]:
        """Return all events until the end of the stream."""
        async with asyncio.timeout(20):
            return [event async for event in self._events]


async def follow(project: Client, category: str, cursor: str = "", **query: object) -> Stream:
    """Open a stream. If there is a `cursor`, it is sent as `Last-Event-ID`."""
    headers = project.credential() | {"Accept": EVENTS} | ({"Last-Event-ID": cursor} if cursor else {})
    response = await project.http.get(project.running.url + feed(category, **query), headers=headers)
    assert response.status == 200, await response.read()
    assert response.headers["Content-Type"] == EVENTS
    return Stream(response)


async def listed(project: Client, category: str) -> list[dict[str, Any]]:
    """Return all changes in the journal of a category, at most 1,000."""
    found: list[dict[str, Any]] = (await project.ask("GET", feed(category, limit=1000))).json["changes"]
    return found
