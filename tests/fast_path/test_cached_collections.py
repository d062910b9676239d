"""Tests cached answers that are made from many collections: lists of categories, and values of all fields."""

import json
from collections.abc import Iterable

import pytest

from service.dialects import discover
from service.http.app import App
from service.operations.access import apply
from service.redis.tracking import Dependent, Tracker
from tests.fast_path.cached_reads import Client, hits, kept
from tests.raw_http import DOCUMENTS, request
from tests.running import soon

Counts = dict[str, int]
FIELDS = "/api/mktplace/storage/fields?operation="


async def counted(client: Client) -> Counts:
    status, body = await client.ask("GET", DOCUMENTS)
    assert status == 200
    return {item["category"]: item["count"] for item in json.loads(body)}


@pytest.fixture
async def client(app: App) -> Client:
    """A client, with a list of two categories in the cache."""
    client = Client(app)
    for name in ("a/1", "a/2", "b/1"):
        await client.ask("PUT", f"{DOCUMENTS}/{name}", b"[1]")
    await kept(client, DOCUMENTS)
    return client


async def test_categories_are_answered_from_memory_while_documents_change(client: Client) -> None:
    await Client(client.app).ask("PUT", f"{DOCUMENTS}/a/1", b"[2]")
    before = hits(client.app)
    assert await counted(client) == {"a": 2, "b": 1}
    assert hits(client.app) == before + 1


@pytest.mark.parametrize(
    ("method", "name", "counts"),
    [
        ("PUT", "c/1", {"a": 2, "b": 1, "c": 1}),
        ("PUT", "b/2", {"a": 2, "b": 2}),
        ("DELETE", "a/1", {"a": 1, "b": 1}),
        ("DELETE", "b/1", {"a": 2}),
    ],
)
async def test_a_created_or_deleted_document_invalidates_a_list_of_categories(
    client: Client, method: str, name: str, counts: Counts
) -> None:
    await Client(client.app).ask(method, f"{DOCUMENTS}/{name}", b"[1]" if method == "PUT" else None)
    assert await counted(client) == counts


async def test_a_list_of_categories_is_valid_until_the_first_document_expires(client: Client) -> None:
    first = f"{DOCUMENTS}/b/first"
    await client.ask("PUT", f"{DOCUMENTS}/a/1?expiresMs=600000", b"[1]")
    await client.ask("PUT", f"{first}?expiresMs=1500", b"[1]")
    await kept(client, DOCUMENTS)
    while (now := await counted(client)) != {"a": 2, "b": 1}:
        assert now == {"a": 2, "b": 2}
    assert (await client.ask("GET", first))[0] == 404


async def test_an_answer_of_very_many_categories_is_not_cached(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    for n in range(30):
        await client.ask("PUT", f"{DOCUMENTS}/c{n}/1", b"[1]")
    most, ordinary = 0, Tracker.link

    def link(self: Tracker, dependent: Dependent, keys: Iterable[str | bytes]) -> None:
        nonlocal most
        ordinary(self, dependent, keys)
        most = max(most, len(dependent.keys))

    monkeypatch.setattr(Tracker, "link", link)
    client.app.cache.most_keys = 10
    while not most:
        assert len(await counted(client)) == 32
    assert len(await counted(client)) == 32
    assert most <= 12
    assert request("GET", DOCUMENTS) not in client.app.cache.answers


def access_to(fields: list[int]) -> str:
    """An access document with a user who owns these fields."""
    return json.dumps(
        {
            "auravant": {
                "extensions": [{"client_id": "e", "versions": ["1"], "claims": ["storage"]}],
                "users": ["u"],
                "fields": [{"id": id, "permissions": {"u": "owner"}} for id in fields],
                "tokens": [{"token": "at-u", "user": "u", "extension": "e", "version": "1"}],
            }
        }
    )


async def test_values_of_all_fields_are_answered_from_memory_until_a_value_or_a_permission_changes(app: App) -> None:
    reader, writer, service = Client(app), Client(app), app.state.service

    def message(operation: str, **members: object) -> bytes:
        body = json.dumps(members).encode()
        credential, kind = "Authorization: Bearer at-u", "Content-Type: application/json"
        return request("POST", FIELDS + operation, body, kind, credential=credential)

    async def put(field: int, value: int) -> None:
        _, body = await writer.answer(message("PUT", id=field, key="k", value=value, overwrite=True))
        assert json.loads(body)["code"] == 0

    async def read() -> dict[str, dict[str, int]]:
        found: dict[str, dict[str, int]] = json.loads((await reader.answer(message("GET", keys=["k"], ids=[])))[1])[
            "info"
        ]["objects"]
        return found

    async def is_kept() -> bool:
        await read()
        return message("GET", keys=["k"], ids=[]) in app.cache.answers

    await apply(service.directory, service.storage, access_to([1, 2]), discover())
    await put(1, 10)
    await put(2, 20)
    await soon(is_kept)
    before = hits(app)
    assert await read() == {"1": {"k": 10}, "2": {"k": 20}}
    assert hits(app) == before + 1
    await put(2, 21)
    assert await read() == {"1": {"k": 10}, "2": {"k": 21}}
    await soon(is_kept)
    await apply(service.directory, service.storage, access_to([3]), discover())
    await put(3, 30)
    assert await read() == {"1": {"k": 10}, "2": {"k": 21}, "3": {"k": 30}}
