"""A load of writes and reads on a running service, which records the answers."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count
from time import monotonic

from tests.dialects.ainoflow.client import Client, at
from tests.running import soon

WRITERS = 24
PAUSE = 0.05  # seconds between two requests of a writer


class Load:
    """Writers that each put a new document, get it, and repeat that. Their categories are spread over the slots."""

    def __init__(self, project: Client, pause: float = PAUSE) -> None:
        self._project, self._pause = project, pause
        self.stored: dict[tuple[str, str], bytes] = {}  # (category, key) of each PUT that was answered with 200
        self.refused: Counter[tuple[int, str]] = Counter()  # by status and body
        self.unhelpful = 0  # number of refusals without Retry-After
        self.longest = 0.0  # seconds that the slowest request took
        self.last: dict[str, float] = {}  # category -> when a write to it last succeeded
        self._numbers = count()

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Load"]:
        tasks = [asyncio.create_task(self._write(f"c{n}")) for n in range(WRITERS)]
        try:
            yield self
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _write(self, category: str) -> None:
        while True:
            number = next(self._numbers)
            body = b'{"number":%d}' % number
            if await self._ask("PUT", category, f"d{number}", body):
                self.stored[category, f"d{number}"] = body
                self.last[category] = monotonic()
                await self._ask("GET", category, f"d{number}", None)
            await asyncio.sleep(self._pause)

    async def _ask(self, method: str, category: str, key: str, body: bytes | None) -> bool:
        began = monotonic()
        reply = await self._project.ask(method, at(category, key), body)
        self.longest = max(self.longest, monotonic() - began)
        if reply.status == 200:
            return True
        self.refused[reply.status, reply.body.decode()] += 1
        self.unhelpful += "Retry-After" not in reply.headers
        return False

    async def everywhere(self, since: float) -> None:
        """Wait until a write to each category has succeeded after the moment `since`."""

        async def written() -> bool:
            return len(self.last) == WRITERS and min(self.last.values()) > since

        await soon(written)

    async def lost(self) -> list[tuple[str, str]]:
        """Return the category and key of acknowledged writes that cannot be read again."""
        found = []
        for (category, key), body in self.stored.items():
            if (await self._project.get(category, key)).body != body:
                found.append((category, key))
        return found
