"""`python -m bench.cursors`: pages through a large collection by cursor, while writers create and delete in it.

It shows two things: every document that exists during the whole listing is listed exactly once, and a page takes Redis
the same time wherever it is. Permanent documents have names of digits. In every order, those that writers create and
delete are among them. Redis's time for a page is that of its script, from `INFO commandstats`, after the writers have
stopped.

Exit statuses: 0 if each document was listed once, 1 if not, or if it could not be measured.
"""

import argparse
import asyncio
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from random import Random
from statistics import median
from typing import Any

import orjson
import uvloop
from aiohttp import ClientSession

from bench.documents import document
from bench.filling import collection_named, fill, opened
from bench.polystow import KEY, Polystow
from bench.processes import Unusable
from bench.redis_server import RedisServer

CATEGORY = "paged"
TARGET = f"/api/v1/storage/json/{CATEGORY}"
HEADERS = {"Authorization": f"Bearer {KEY}"}
SIZE = 125
COMPARED = 50  # number of pages that are compared, at the beginning and at the end


def name(number: int) -> str:
    return f"{number:09d}"


async def write(url: str, number: int, documents: int, over: asyncio.Event) -> int:
    """Create and delete documents among the permanent ones, until the end. Return their number."""
    random, written = Random(number), 0
    async with ClientSession(url, headers=HEADERS) as http:
        while not over.is_set():
            key = f"{TARGET}/{name(random.randrange(documents))}-{number}"
            for method, body in (("PUT", document(SIZE)), ("DELETE", None)):
                async with http.request(method, key, data=body) as answer:
                    if answer.status != 200:
                        raise Unusable(f"{method} was answered {answer.status}: {await answer.text()}")
                written += 1
    return written


class Walk:
    """All pages of one order. `seen` has the listed keys, `cursors` the cursor at which each page began."""

    def __init__(self, order: str, limit: int) -> None:
        self.order = order
        self._limit = str(limit)
        self.seen: list[str] = []
        self.cursors: list[str] = []

    async def run(self, http: ClientSession) -> None:
        """Follow the cursors to the end."""
        cursor: str | None = ""
        while cursor is not None:
            self.cursors.append(cursor)
            keys, cursor = await self.page(http, cursor)
            self.seen += keys

    async def page(self, http: ClientSession, cursor: str) -> tuple[list[str], str | None]:
        """Return the keys of a page, and the cursor of the next one."""
        query = {"cursor": cursor, "limit": self._limit, "sortBy": self.order}
        async with http.get(TARGET, params=query) as answer:
            if answer.status != 200:
                raise Unusable(f"a page was answered {answer.status}: {await answer.text()}")
            keys = [item["key"] for item in orjson.loads(await answer.read())]
            return keys, answer.headers.get("X-Next-Cursor")

    def faults(self, documents: int) -> tuple[int, int]:
        """Return the number of permanent documents that were not listed, and of those that were listed twice."""
        lasting = [key for key in self.seen if key.isdigit()]
        once = set(lasting)
        return documents - len(once), len(lasting) - len(once)

    async def costs(self, http: ClientSession, server: RedisServer) -> tuple[float, float]:
        """Return Redis's microseconds for one of the first and one of the last pages: medians of alternating calls."""
        _, *cursors = self.cursors
        ends = cursors[:COMPARED], cursors[-COMPARED:]
        found: tuple[list[float], list[float]] = ([], [])
        for pair in zip(*ends, strict=True):
            for cursor, taken in zip(pair, found, strict=True):
                before = script_time(server)
                await self.page(http, cursor)
                taken.append(script_time(server) - before)
        return median(found[0]), median(found[1])


def script_time(server: RedisServer) -> int:
    """Return the microseconds that scripts have taken so far."""
    found: dict[str, Any] = server.info("commandstats").get("cmdstat_fcall", {})
    return int(found.get("usec", 0))


async def measure(url: str, server: RedisServer, options: argparse.Namespace) -> bool:
    async with opened(server.url) as (_, storage):
        await fill(storage, collection_named(CATEGORY), options.documents, document(SIZE), name=name)
    right = True
    for order in options.orders:
        over, walk = asyncio.Event(), Walk(order, options.limit)
        async with ClientSession(url, headers=HEADERS) as http, asyncio.TaskGroup() as group:
            writers = [
                group.create_task(write(url, number, options.documents, over)) for number in range(options.writers)
            ]
            await walk.run(http)
            over.set()
        async with ClientSession(url, headers=HEADERS) as http:
            first, last = await walk.costs(http, server)
        missing, repeated = walk.faults(options.documents)
        right = right and not missing and not repeated
        print(
            f"{order}: {len(walk.cursors)} pages, {sum(each.result() for each in writers)} writes meanwhile;"
            f" {missing} missing, {repeated} repeated;"
            f" Redis's time for one of the first {COMPARED} pages {first:.0f} us, of the last {last:.0f} us",
            flush=True,
        )
    return right


def arguments(given: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.cursors", description=__doc__)
    parser.add_argument("--documents", type=int, default=1_000_000, help="that stay [1,000,000]")
    parser.add_argument("--writers", type=int, default=8, help="connections that create and delete [8]")
    parser.add_argument("--limit", type=int, default=100, help="documents of a page [100]")
    parser.add_argument("--orders", nargs="+", default=["createdAt", "key"], help="[createdAt key]")
    return parser.parse_args(given)


def main(given: Sequence[str] | None = None) -> int:
    options = arguments(given)
    try:
        with tempfile.TemporaryDirectory(prefix="cursors-") as scratch, ExitStack() as stack:
            server = stack.enter_context(RedisServer(Path(scratch)))
            service = stack.enter_context(Polystow(Path(scratch), redis_url=server.url))
            right = uvloop.run(measure(service.url, server, options))
    except* Unusable as found:
        right = False
        for error in found.exceptions:
            print(f"cursors: {error}", file=sys.stderr)
    return 0 if right else 1


if __name__ == "__main__":
    sys.exit(main())
