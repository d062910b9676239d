"""Tests cached lists by cursor and prefix: each page is the one of a worker without a cache."""

import json
from collections.abc import AsyncIterator

import pytest

from service.http.app import App
from tests.fast_path.cached_reads import Client, hits, started
from tests.raw_http import DOCUMENTS, request
from tests.servers import RedisProcess

LIST = f"{DOCUMENTS}/c"
BY_KEY = f"{LIST}?aggregate=true&limit=2&sortBy=key"
LISTS = [BY_KEY, f"{BY_KEY}&sortOrder=desc", f"{BY_KEY}&prefix=k", f"{LIST}?aggregate=true&limit=2&sortBy=createdAt"]
WRITES = [("PUT", "k25", b"[1]"), ("DELETE", "k2", None), ("PATCH", "k4", b'{"a":1}'), ("PUT", "j", b"[1]")]


@pytest.fixture
async def bare(app: App, redis: RedisProcess) -> AsyncIterator[App]:
    """An application on the same server, without a cache."""
    bare = await started(redis.url, read_cache_bytes=0)
    for number in range(1, 6):
        await Client(bare).ask("PUT", f"{LIST}/k{number}", b'{"n":%d}' % number)
    yield bare
    await bare.close()


async def keep(client: Client, target: str) -> None:
    """Ask until the answer is kept."""
    for _ in range(1000):
        await client.ask("GET", target)
        if request("GET", target) in client.app.cache.answers:
            return
    raise AssertionError("the list is never kept")


async def parts(client: Client, target: str) -> list[str]:
    """The targets of all parts of a list."""
    found, cursor = [], ""
    while cursor is not None:
        found.append(f"{target}&cursor={cursor}")
        status, body = await client.ask("GET", found[-1])
        assert status == 200
        cursor = json.loads(body)["nextCursor"]
    return found


@pytest.mark.parametrize("target", LISTS)
async def test_a_page_by_cursor_is_answered_from_memory(app: App, bare: App, target: str) -> None:
    client = Client(app)
    targets = await parts(client, target)
    assert len(targets) == 3
    for each in targets:
        await keep(client, each)
    before = hits(app)
    answers = [await client.ask("GET", each) for each in targets]
    assert hits(app) == before + 3
    assert answers == [await Client(bare).ask("GET", each) for each in targets]


@pytest.mark.parametrize("target", LISTS[2:])
async def test_a_write_between_two_pages_invalidates_all_cached_ones(app: App, bare: App, target: str) -> None:
    """Each page that is requested later shows the write, with cursors from before and from after it."""
    reader, other = Client(app), Client(bare)
    for method, name, body in WRITES:
        targets = await parts(other, target)
        for each in targets:
            await keep(reader, each)
        await reader.ask("GET", targets[0])
        assert (await other.ask(method, f"{LIST}/{name}", body))[0] == 200
        for each in [*targets, *await parts(other, target)]:
            assert await reader.ask("GET", each) == await other.ask("GET", each), (method, name, each)


async def test_the_list_of_categories_by_cursor_is_never_out_of_date(app: App, bare: App) -> None:
    reader, other = Client(app), Client(bare)
    target = f"{DOCUMENTS}?aggregate=true&limit=2"
    for number in range(5):
        await other.ask("PUT", f"{DOCUMENTS}/d{number}/k", b"[]")
    targets = await parts(other, target)
    for method, path in (("PUT", "d1x/k"), ("DELETE", "d2/k"), ("PUT", "a/k")):
        for _ in range(10):
            for each in targets:
                await reader.ask("GET", each)
        await other.ask(method, f"{DOCUMENTS}/{path}", b"[]" if method == "PUT" else None)
        for each in [*targets, *await parts(other, target)]:
            assert await reader.ask("GET", each) == await other.ask("GET", each), (method, path, each)
