"""A trial of the feed: writers change a category while something harms the service, and followers must miss nothing."""

import asyncio
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import ClientError, ClientSession, TCPConnector

from tests.dialects.ainoflow.client import Client, at
from tests.dialects.ainoflow.events import events_of, feed
from tests.running import soon

CATEGORY = "followed"
PAUSE = 0.02  # seconds after a failure
BROKEN = (ClientError, ConnectionError, TimeoutError, asyncio.IncompleteReadError)


class Following:
    """A client that follows the category whatever fails, by streams or by polls."""

    def __init__(self, project: Client, *, polling: bool) -> None:
        self.changes: list[dict[str, Any]] = []
        self._project, self._polling = project, polling
        self._cursor = "oldest"

    async def run(self) -> None:
        while True:
            try:
                await (self._poll() if self._polling else self._stream())
            except BROKEN:
                await asyncio.sleep(PAUSE)

    async def _poll(self) -> None:
        answer = await self._project.ask("GET", feed(CATEGORY, since=self._cursor, wait=5))
        if answer.status != 200:
            raise ConnectionError(answer.body)
        self.changes += answer.json["changes"]
        self._cursor = answer.json["next"]

    async def _stream(self) -> None:
        headers = self._project.credential() | {"Accept": "text/event-stream", "Last-Event-ID": self._cursor}
        async with self._project.http.get(self._project.running.url + feed(CATEGORY), headers=headers) as response:
            if response.status != 200:
                raise ConnectionError(response.reason)
            async for event in events_of(response):
                self._cursor = event.cursor
                if event.name == "change":
                    self.changes.append(event.data)


class Writing:
    """A client that puts one document again and again, and notes the versions that were acknowledged."""

    def __init__(self, project: Client, key: str) -> None:
        self.key, self._project = key, project
        self.acknowledged: list[int] = []
        self.over = False

    async def run(self) -> None:
        while not self.over:
            try:
                async with asyncio.timeout(5):
                    reply = await self._project.ask("PUT", at(CATEGORY, self.key), b'{"n":%d}' % len(self.acknowledged))
            except BROKEN:
                await asyncio.sleep(PAUSE)
                continue
            if reply.status == 200:
                self.acknowledged.append(reply.json["version"])


async def all_changes(project: Client) -> list[dict[str, Any]]:
    """The whole journal of the category, page by page."""
    found: list[dict[str, Any]] = []
    since, more = "oldest", True
    while more:
        page = (await project.ask("GET", feed(CATEGORY, since=since, limit=1000))).json
        found += page["changes"]
        since, more = page["next"], page["more"]
    return found


@asynccontextmanager
async def several(running: Client) -> AsyncIterator[Client]:
    """A client of the same project with as many connections as it needs."""
    async with ClientSession(connector=TCPConnector(limit=0)) as http:
        yield Client(http, running.running, running.key, running.project)


async def followed(one: Client, harm: Awaitable[object], writers: int = 32, followers: int = 20) -> str:
    """Let writers write and followers follow until the harm is done and all followers have all changes. Fails if one of
    them missed a change, got one twice or out of order, or one that is not in the journal; or if the journal lacks a
    write that was acknowledged. Return a line about what was tried.
    """
    async with several(one) as project:
        writing = [Writing(project, f"k{number}") for number in range(writers)]
        following = [Following(project, polling=number % 2 == 1) for number in range(followers)]
        tasks = [asyncio.create_task(follower.run()) for follower in following]
        works = [asyncio.create_task(writer.run()) for writer in writing]
        try:
            await harm
            for writer in writing:
                writer.over = True
            await asyncio.gather(*works)
            changes = await all_changes(project)

            async def complete() -> bool:
                return all(len(follower.changes) >= len(changes) for follower in following)

            await soon(complete)
        finally:
            for task in (*tasks, *works):
                task.cancel()
            await asyncio.gather(*tasks, *works, return_exceptions=True)
    assert all(follower.changes == changes for follower in following)
    versions: defaultdict[str, list[int]] = defaultdict(list)
    for change in changes:
        versions[change["key"]].append(change["version"])
    for writer in writing:
        assert versions[writer.key] == [*range(1, len(versions[writer.key]) + 1)]
        assert max(Counter(writer.acknowledged).values(), default=1) == 1
        assert set(writer.acknowledged) <= set(versions[writer.key])
    acknowledged = sum(len(writer.acknowledged) for writer in writing)
    return (
        f"{acknowledged} writes acknowledged, {len(changes)} changes, each to {followers} followers once and in order"
    )
