"""Tests concurrent writers: no write takes effect twice, and none is lost."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator
from functools import partial

import pytest
from aiohttp import ClientSession, TCPConnector

from tests.dialects.ainoflow.client import Client, Reply, at, open_project
from tests.running import Running

RACERS = 64


@pytest.fixture(scope="module")
def two_workers() -> Iterator[Running]:
    """A service with two workers, so that concurrent writes meet in Redis and not in the queue of one worker."""
    with Running(workers=2) as running:
        yield running.wait_ready()


async def race(project: Client, ask: Callable[[Client, int], Awaitable[Reply]], racers: int) -> list[Reply]:
    """Send requests at the same time, each on a connection of its own, and return the answers."""
    async with ClientSession(connector=TCPConnector(force_close=True, limit=0)) as http:
        client = Client(http, project.running, project.key, project.project)
        return await asyncio.gather(*(ask(client, n) for n in range(racers)))


def create(key: str, client: Client, n: int) -> Awaitable[Reply]:
    return client.ask("POST", at("d", key), b"[%d]" % n)


async def test_of_64_racing_creates_one_wins(two_workers: Running, http: ClientSession) -> None:
    project = await open_project(two_workers, http)
    for key in ("first", "second"):  # the first document of the category, and another one
        replies = await race(project, partial(create, key), RACERS)
        statuses = [reply.status for reply in replies]
        assert sorted(statuses) == [201] + [409] * (RACERS - 1)
        assert (await project.get("d", key)).json == [statuses.index(201)]
        assert (await project.get("d", key, "meta")).json["version"] == 1


async def test_racing_puts_count_every_version_once(two_workers: Running, http: ClientSession) -> None:
    project = await open_project(two_workers, http)
    replies = await race(project, lambda c, n: c.ask("PUT", at("d", "k"), b"[%d]" % n), RACERS)
    assert sorted(reply.json["version"] for reply in replies) == list(range(1, RACERS + 1))
    last = max(range(RACERS), key=lambda n: replies[n].json["version"])
    assert (await project.get("d", "k")).json == [last]


@pytest.mark.parametrize("pad", [0, 200_000])
@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
async def test_of_racing_writers_with_one_etag_one_wins(
    two_workers: Running, http: ClientSession, method: str, pad: int
) -> None:
    project = await open_project(two_workers, http)
    etag = (await project.put("d", "k", b'{"pad":"%b"}' % (b"x" * pad))).json["etag"]

    def write(client: Client, n: int) -> Awaitable[Reply]:
        body = None if method == "DELETE" else b'{"winner":%d}' % n
        return client.ask(method, at("d", "k"), body, If_Match=f'"{etag}"')

    replies = await race(project, write, RACERS)
    statuses = [reply.status for reply in replies]
    assert sorted(statuses) == [200] + [412] * (RACERS - 1)
    if method != "DELETE":
        assert (await project.get("d", "k")).json["winner"] == statuses.index(200)
        assert (await project.get("d", "k", "meta")).json["version"] == 2


# Document and patch of more than 32,000 bytes together are merged in the worker, smaller ones in Redis.
@pytest.mark.parametrize(("pad", "racers"), [(0, RACERS), (1_000, RACERS), (150_000, RACERS), (700_000, 16)])
async def test_of_racing_patches_none_is_lost_and_every_version_is_seen_once(
    two_workers: Running, http: ClientSession, pad: int, racers: int
) -> None:
    project = await open_project(two_workers, http)
    await project.put("d", "k", b'{"pad":"%b"}' % (b"x" * pad))

    def patch(client: Client, n: int) -> Awaitable[Reply]:
        return client.ask("PATCH", at("d", "k"), json.dumps({f"by{n}": n}).encode())

    replies = await race(project, patch, racers)
    assert {reply.status for reply in replies} == {200}
    assert sorted(reply.json["version"] for reply in replies) == list(range(2, racers + 2))
    merged = (await project.get("d", "k")).json
    assert merged.pop("pad") == "x" * pad
    assert merged == {f"by{n}": n for n in range(racers)}


async def test_racing_counters_with_etags_count_each_step(two_workers: Running, http: ClientSession) -> None:
    project = await open_project(two_workers, http)
    await project.put("d", "n", b'{"n":0}')

    async def count(client: Client) -> Reply:
        while True:
            read = await client.get("d", "n")
            body = b'{"n":%d}' % (read.json["n"] + 1)
            written = await client.ask("PUT", at("d", "n"), body, If_Match=read.headers["ETag"])
            if written.status != 412:
                return written

    replies = await race(project, lambda c, _: count(c), 16)
    assert {reply.status for reply in replies} == {200}
    assert (await project.get("d", "n")).json == {"n": 16}
