"""Tests the n8n node "Ainoflow Storage" with this service: only its Base URL differs."""

import json
from collections.abc import Mapping
from typing import Any

import pytest
from aiohttp import ClientSession

from tests.clients.calls import Answer, PublicClient, Published
from tests.dialects.ainoflow.client import open_project
from tests.running import Running

PAGE = 1000  # size of a page if the node must return all records


class Failed(Exception):
    """The error that the node shows for a refusal: the status, and the message that it finds in the body."""


class N8nNode(PublicClient):
    """The node's operations, as the published source carries them out."""

    published = Published(
        name="n8n node Ainoflow Storage",
        source="@ainoflow/n8n-nodes-ainoflow",
        dialect="ainoflow",
        headers={"Accept": "application/json, text/plain, */*"},
        calls={
            "credential test": "GET /api/v1/whoami",
            "record: create": "POST /api/v1/storage/json/{category}",
            "record: create with a key": "POST /api/v1/storage/json/{category}/{key}",
            "record: create or replace": "PUT /api/v1/storage/json/{category}/{key}",
            "record: update": "PATCH /api/v1/storage/json/{category}/{key}",
            "record: get": "GET /api/v1/storage/json/{category}/{key}",
            "record: get metadata": "GET /api/v1/storage/json/{category}/{key}/meta",
            "record: delete": "DELETE /api/v1/storage/json/{category}/{key}",
            "record: get many": "GET /api/v1/storage/json/{category}",
            "category: get many": "GET /api/v1/storage/json",
        },
    )

    async def do(self, call: str, *names: str, data: object = None, **query: object) -> Any:
        """Carry out an operation; return the data that the next node gets."""
        body = None if data is None else json.dumps(data, separators=(",", ":"), ensure_ascii=False).encode()
        headers = {} if body is None else {"Content-Type": "application/json"}
        given = {name: str(value).lower() if value is True else value for name, value in query.items()}
        return self._read(await self.call(call, *names, query=given, body=body, headers=headers))

    @staticmethod
    def _read(answer: Answer) -> Any:
        if answer.status >= 400:
            raise Failed(answer.status, answer.json["error"]["message"])
        assert answer.headers["Content-Type"].startswith("application/json")
        return answer.json

    async def all(self, call: str, *names: str, **query: object) -> list[Mapping[str, Any]]:
        """Return all records, in pages of 1,000, until one is not full."""
        found: list[Mapping[str, Any]] = []
        page = 1
        while True:
            items = await self.do(call, *names, page=page, limit=PAGE, **query)
            found += items
            if len(items) != PAGE:
                return found
            page += 1


@pytest.fixture
async def node(service: Running, http: ClientSession) -> N8nNode:
    project = await open_project(service, http)
    return N8nNode(http, service.url, Authorization=f"Bearer {project.key}")


async def test_the_operations_of_the_node_in_a_workflow(node: N8nNode) -> None:
    assert {"id", "project"} <= set(await node.do("credential test"))
    made = await node.do("record: create", "events", data={"kind": "login"})
    assert (made["version"], made["expiresAt"]) == (1, None)
    assert await node.do("record: get", "events", made["key"]) == {"kind": "login"}

    await node.do("record: create with a key", "locks", "job/1 é", data={"by": "a"}, expiresMs=60_000)
    with pytest.raises(Failed) as refused:
        await node.do("record: create with a key", "locks", "job/1 é", data={"by": "b"})
    assert refused.value.args == (409, "Item with category 'locks' and key 'job/1 é' already exists")

    for version in (1, 2):
        stored = await node.do("record: create or replace", "config", "app", data={"theme": "dark", "old": 1})
        assert stored["version"] == version
    merged = await node.do("record: update", "config", "app", data={"theme": "light", "old": None})
    assert await node.do("record: get", "config", "app") == {"theme": "light"}

    meta = await node.do("record: get metadata", "config", "app")
    assert (meta["version"], meta["etag"], meta["size"]) == (3, merged["etag"], len('{"theme":"light"}'))

    categories = await node.do("category: get many", page=1, limit=50)
    assert categories == [{"category": name, "count": 1} for name in ("config", "events", "locks")]
    assert await node.all("category: get many") == categories
    told = await node.do("category: get many", page=1, limit=2, aggregate=True)
    assert (len(told["items"]), told["totalCount"], told["totalPages"]) == (2, 3, 2)

    await node.do("record: delete", "config", "app")
    with pytest.raises(Failed) as refused:
        await node.do("record: get", "config", "app")
    assert refused.value.args[0] == 404

    listed = await node.do("record: get many", "events", page=1, limit=50, sortBy="updatedAt", sortOrder="desc")
    assert [item["value"] for item in listed] == [{"kind": "login"}]
    assert node.made == set(node.published.calls)


async def test_return_all_gets_every_record_once_in_pages_of_1000(node: N8nNode) -> None:
    for number in range(2 * PAGE):
        await node.do("record: create or replace", "many", f"{number:04}", data={"n": number})
    assert [item["key"] for item in await node.all("record: get many", "many", sortBy="key")] == [
        f"{number:04}" for number in range(2 * PAGE)
    ]
    told = await node.do("record: get many", "many", page=2, limit=PAGE, aggregate=True, sortBy="createdAt")
    assert (len(told["items"]), told["totalCount"], told["page"], told["pageSize"], told["totalPages"]) == (
        PAGE,
        2 * PAGE,
        2,
        PAGE,
        2,
    )


async def test_a_wrong_key_fails_the_credential_test(service: Running, http: ClientSession) -> None:
    stranger = N8nNode(http, service.url, Authorization="Bearer not-a-key")
    with pytest.raises(Failed) as refused:
        await stranger.do("credential test")
    assert refused.value.args[0] == 401
