"""Tests that a write with an `Idempotency-Key` sets, removes or clears variables only once."""

import asyncio
import json

import pytest
from aiohttp import ClientSession

from tests.dialects.avaamo.client import Client, Reply, declare, global_storage, open_agent, set_storage
from tests.running import Running

USER = "once_user"
WRITES = ["set", "set again", "set global", "delete global", "clear"]


@pytest.fixture
async def client(service: Running, http: ClientSession) -> Client:
    return await open_agent(service, http)


async def ask(client: Client, name: str, key: str = "k-1", value: object = "v") -> Reply:
    body = {"key": "k" if name == "set again" else "new", "value": value, "bot_id": client.agent}
    method, target, text = {
        "set": ("POST", set_storage(USER), json.dumps(body)),
        "set again": ("POST", set_storage(USER), json.dumps(body)),
        "set global": ("PUT", global_storage("g"), json.dumps({"bot_id": client.agent, "value": value})),
        "delete global": ("DELETE", global_storage("g", bot_id=client.agent), ""),
        "clear": ("POST", f"/dashboard/agents/{client.agent}/clear_data.json", '{"data_types":["storage_data"]}'),
    }[name]
    return await client.ask(method, target, text.encode(), Idempotency_Key=key)


async def fill(client: Client, value: str) -> None:
    await client.set(USER, "k", value)
    body = json.dumps({"bot_id": client.agent, "value": value}).encode()
    assert (await client.ask("PUT", global_storage("g"), body)).status == 201


@pytest.mark.parametrize("name", WRITES)
async def test_64_retries_get_the_same_answer_and_are_carried_out_once(client: Client, name: str) -> None:
    await fill(client, "before")
    replies = await asyncio.gather(*(ask(client, name) for _ in range(64)))
    assert replies[0].status in (200, 201)
    assert {(reply.status, reply.body) for reply in replies} == {(replies[0].status, replies[0].body)}
    await fill(client, "later")
    before = await client.rows()
    again = await ask(client, name)
    assert (again.status, again.body) == (replies[0].status, replies[0].body)
    assert await client.rows() == before


async def test_the_same_key_with_another_body_is_422_and_changes_nothing(client: Client) -> None:
    assert (await ask(client, "set")).status == 200
    before = await client.rows()
    for name, value in (("set", "other"), ("set global", "v"), ("clear", "")):
        assert "idempotency key" in (await ask(client, name, value=value)).refused(422)
    assert await client.rows() == before


async def test_an_idempotency_key_belongs_to_its_caller(service: Running, http: ClientSession, client: Client) -> None:
    other = Client(http, service, f"other-{client.token}", client.agent)
    await declare(service, http, {"tokens": [{"token": other.token, "agents": {str(client.agent): "edit"}}]})
    moments = []
    for one in (client, other, client, other):
        assert (await ask(one, "set")).status == 200
        moments.append((await client.rows())[0]["updated_at"])
    assert moments[0] < moments[1] == moments[2] == moments[3]


@pytest.mark.parametrize("key", ["", "a b", "x" * 256])
async def test_a_malformed_key_is_refused(client: Client, key: str) -> None:
    for name in WRITES:
        assert "Idempotency-Key" in (await ask(client, name, key)).refused(422)
    assert await client.rows() == []
