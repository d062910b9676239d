"""Tests that a write with an `Idempotency-Key` is carried out once for each caller and extension."""

import asyncio
import json

import pytest
from aiohttp import ClientSession

from tests.dialects.auravant.client import DONE, STORAGE, Client, Reply, World
from tests.running import Running

WRITES: list[tuple[str, dict[str, object]]] = [
    ("PUT", {"key": "new", "value": [1]}),
    ("PUT", {"key": "list", "value": [1], "overwrite": True}),
    ("PATCH", {"key": "list", "value": {"x": 1.50}}),
    ("PATCH", {"key": "list", "value": [1], "append": True}),
    ("PATCH", {"key": "new", "value": [1], "append": True, "create": True}),
    ("PATCH", {"key": "new", "value": "x" * 50_000, "create": True}),
    ("DELETE", {"keys": ["list", "none"]}),
    ("DELETE", {"keys": ["list", *(f"none{n}" for n in range(150))]}),
    ("PUT", {"key": "public_new", "value": 1}),
]
every_write = pytest.mark.parametrize(("operation", "body"), WRITES, ids=[f"{w[0]} {[*w[1]]}" for w in WRITES])


async def once(client: Client, operation: str, body: object, key: str = "k-1") -> Reply:
    text = body if isinstance(body, bytes) else json.dumps(body).encode()
    target = f"{STORAGE}/users?operation={operation}"
    return await client.ask("POST", target, text, Content_Type="application/json", Idempotency_Key=key)


async def values(client: Client) -> object:
    return (await client.storage("users", "GET", {"keys": ["list", "new", "public_new"]})).objects


@pytest.fixture
async def client(service: Running, http: ClientSession) -> Client:
    (client,) = await World(service, http).open("ann")
    return client


@every_write
async def test_64_retries_get_the_same_answer_and_are_carried_out_once(
    client: Client, operation: str, body: dict[str, object]
) -> None:
    asked = {"id": client.token.removeprefix("at-"), **body}
    assert (await client.put("users", asked["id"], "list", [0])).json == DONE
    replies = await asyncio.gather(*(once(client, operation, asked) for _ in range(64)))
    assert {(reply.status, reply.body) for reply in replies} == {(200, replies[0].body)}
    assert replies[0].json == DONE
    left = await values(client)
    await client.put("users", asked["id"], "list", ["later"], overwrite=True)
    await client.delete("users", asked["id"], "new", "public_new")
    later = await values(client)
    assert later != left
    assert (await once(client, operation, asked)).json == DONE
    assert await values(client) == later


async def test_the_same_key_with_another_body_is_422_and_changes_nothing(client: Client) -> None:
    user = client.token.removeprefix("at-")
    assert (await once(client, "PUT", {"id": user, "key": "list", "value": 1})).json == DONE
    before = await values(client)
    reply = await once(client, "PUT", {"id": user, "key": "new", "value": 1})
    assert (reply.status, reply.code) == (422, -4)
    assert await values(client) == before


async def test_a_refused_request_may_be_repeated_with_its_key(client: Client) -> None:
    user = client.token.removeprefix("at-")
    patch = {"id": user, "key": "list", "value": [1], "append": True}
    assert (await once(client, "PATCH", patch)).code != 0
    await client.put("users", user, "list", [0])
    assert (await once(client, "PATCH", patch)).json == DONE


async def test_an_idempotency_key_belongs_to_its_extension(service: Running, http: ClientSession) -> None:
    world = World(service, http)
    (one,) = await world.open("ann")
    other = Client(http, service, world.name("at-other"))
    extension = world.name("other")
    await world.declare(
        extensions=[{"client_id": extension, "versions": ["1"], "claims": ["storage"]}],
        tokens=[{"token": other.token, "user": world.name("ann"), "extension": extension, "version": "1"}],
    )
    for client, value in ((one, [0]), (other, [0])):
        assert (await once(client, "PUT", {"id": world.name("ann"), "key": "list", "value": value})).json == DONE
        assert await values(client) == {"list": [0]}


@pytest.mark.parametrize("key", ["", "a b", "x" * 256])
async def test_a_malformed_key_is_refused(client: Client, key: str) -> None:
    reply = await once(client, "PUT", {"id": client.token.removeprefix("at-"), "key": "new", "value": 1}, key)
    assert (reply.status, reply.code) == (400, -4)
    assert await values(client) == {}
