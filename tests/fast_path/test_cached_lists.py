"""Tests cached lists: a page is kept until a record of its collection is written or expires."""

import json

import pytest

from service.http.app import App
from tests.fast_path.cached_reads import Client, hits
from tests.raw_http import DOCUMENTS

LIST = f"{DOCUMENTS}/c"


async def listed(client: Client) -> list[str]:
    status, body = await client.ask("GET", LIST)
    assert status == 200
    return [item["key"] for item in json.loads(body or b"")]


async def kept(client: Client) -> None:
    """Ask until the list is answered from memory."""
    before = hits(client.app)
    for _ in range(1000):
        await listed(client)
        if hits(client.app) > before:
            return
    raise AssertionError("the list is never kept")


@pytest.mark.parametrize(
    ("method", "name", "left"), [("PUT", "b", ["a", "b"]), ("PUT", "a", ["a"]), ("DELETE", "a", [])]
)
async def test_a_write_to_the_collection_invalidates_a_cached_list(
    app: App, method: str, name: str, left: list[str]
) -> None:
    reader, writer = Client(app), Client(app)
    await writer.ask("PUT", f"{LIST}/a", b"[1]")
    await kept(reader)
    await writer.ask(method, f"{LIST}/{name}", b"[2]" if method == "PUT" else None)
    assert await listed(reader) == left
    _, body = await reader.ask("GET", LIST)
    assert [item["value"] for item in json.loads(body or b"")] == [[2] if name == "a" else [1], [2]][: len(left)]


async def test_a_write_to_another_collection_does_not_invalidate_a_cached_list(app: App) -> None:
    reader, writer = Client(app), Client(app)
    await writer.ask("PUT", f"{LIST}/a", b"[1]")
    await kept(reader)
    await writer.ask("PUT", f"{DOCUMENTS}/other/a", b"[2]")
    before = hits(app)
    assert await listed(reader) == ["a"]
    assert hits(app) == before + 1


async def test_a_cached_list_is_valid_until_its_first_record_expires(app: App) -> None:
    client = Client(app)
    await client.ask("PUT", f"{LIST}/a", b"[1]")
    await client.ask("PUT", f"{LIST}/soon?expiresMs=1500", b"[1]")
    await kept(client)
    (answer,) = [each for each in app.cache.answers.values() if each.data.startswith(f"GET {LIST} ".encode())]
    assert answer.until > 0
    while await listed(client) != ["a"]:  # until it has expired by Redis's clock
        pass
    assert (await client.ask("GET", f"{LIST}/soon"))[0] == 404
