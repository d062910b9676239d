"""A trial of the feed: writers change a category during a fault, and followers must get every change once."""

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
PAUSE = 0.02  # seconds before a client reconnects
BROKEN = (ClientError, ConnectionError, TimeoutError, asyncio.IncompleteReadError)


class Following:
    """A client that follows the category by streams or by polls, and continues from its cursor after a failure.

    It starts again if the feed answers 410, because Redis has lost a change that the client has.
    """

    def __init__(self, project: Client, *, polling: bool) -> None:
        self.changes: list[dict[str, Any]] = []
        self.begun = 0
        self._project, self._polling = project, polling
        self._begin()

    def _begin(self) -> None:
        self.changes.clear()
        self.begun += 1
        self._cursor = "oldest"

    def _check(self, status: int) -> None:
        if status == 410:
            self._begin()
        if status != 200:
            raise ConnectionError(status)

    async def run(self) -> None:
        while True:
            try:
                await (self._poll() if self._polling else self._stream())
            except BROKEN:
                await asyncio.sleep(PAUSE)

    async def _poll(self) -> None:
        answer = await self._project.ask("GET", feed(CATEGORY, since=self._cursor, wait=5))
        self._check(answer.status)
        self.changes += answer.json["changes"]
        self._cursor = answer.json["next"]

    async def _stream(self) -> None:
        headers = self._project.credential() | {"Accept": "text/event-stream", "Last-Event-ID": self._cursor}
        async with self._project.http.get(self._project.running.url + feed(CATEGORY), headers=headers) as response:
            self._check(response.status)
            async for event in events_of(response):
                self._cursor = event.cursor
                if event.name == "change":
                    self.changes.append(event.data)


class Writing:
    """A client that puts one document repeatedly, and records the acknowledged versions."""

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


async def all_changes(project: Client, category: str = CATEGORY) -> list[dict[str, Any]]:
    """Return all changes in the journal of a category."""
    found: list[dict[str, Any]] = []
    since, more = "oldest", True
    while more:
        page = (await project.ask("GET", feed(category, since=since, limit=1000))).json
        found += page["changes"]
        since, more = page["next"], page["more"]
    return found


@asynccontextmanager
async def several(running: Client) -> AsyncIterator[Client]:
    """Yield a client of the same project without a limit of connections."""
    async with ClientSession(connector=TCPConnector(limit=0)) as http:
        yield Client(http, running.running, running.key, running.project)


async def followed(
    one: Client, fault: Awaitable[object], writers: int = 32, followers: int = 20, *, losing: bool = False
) -> str:
    """Let writers write and followers follow until `fault` has ended and all followers have all changes.

    Fail if a follower missed a change, or got one twice, out of order, or one that is not in the journal. Fail if the
    journal lacks an acknowledged write. With `losing`, it may lack acknowledged writes, and followers may start again.
    Return a summary in one line.
    """
    async with several(one) as project:
        writing = [Writing(project, f"k{number}") for number in range(writers)]
        following = [Following(project, polling=number % 2 == 1) for number in range(followers)]
        tasks = [asyncio.create_task(follower.run()) for follower in following]
        works = [asyncio.create_task(writer.run()) for writer in writing]
        try:
            await fault
            for writer in writing:
                writer.over = True
            await asyncio.gather(*works)
            changes = await all_changes(project)

            async def complete() -> bool:
                return all(follower.changes[-1:] == changes[-1:] for follower in following)

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
        assert max(Counter(writer.acknowledged).values(), default=1) == 1 or losing
        assert set(writer.acknowledged) <= set(versions[writer.key]) or losing
    assert losing or all(follower.begun == 1 for follower in following)
    acknowledged = sum(len(writer.acknowledged) for writer in writing)
    anew = sum(follower.begun - 1 for follower in following)
    return (
        f"{acknowledged} writes acknowledged, {len(changes)} changes, each to {followers} followers once and in order; "
        f"{anew} times a follower started again"
    )
