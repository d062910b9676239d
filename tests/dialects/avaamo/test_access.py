"""Tests permissions: `view` permits reads, `edit` permits writes, and the scripts check them in Redis."""

import asyncio
from typing import Any

import pytest
from aiohttp import ClientSession

from tests.dialects.avaamo.client import Client, declare, global_storage, open_agent, set_storage, storages
from tests.running import Running, soon

UNKNOWN = 999_999_999_999  # an agent that is not declared


def requests(agent: int) -> list[tuple[str, str, bytes | None, str]]:
    """Return a request for every route: method, target, body, and the permission that it needs."""
    return [
        ("GET", storages(agent), None, "view"),
        ("HEAD", storages(agent), None, "view"),
        ("GET", storages(agent, user_id=8880460, key="k"), None, "view"),
        ("GET", global_storage("g", bot_id=agent), None, "view"),
        ("POST", set_storage("named"), b'{"key":"k","value":"v","bot_id":%d}' % agent, "edit"),
        ("PUT", global_storage("g", bot_id=agent), b'{"value":"v"}', "edit"),
        ("DELETE", global_storage("g", bot_id=agent), None, "edit"),
        ("POST", f"/dashboard/agents/{agent}/clear_data.json", b'{"data_types":["storage_data"]}', "edit"),
    ]


@pytest.mark.parametrize("permission", ["edit", "view", "none"])
async def test_each_permission_allows_only_its_requests(service: Running, http: ClientSession, permission: str) -> None:
    owner = await open_agent(service, http)
    token = {"token": f"other-{owner.agent}", "agents": {} if permission == "none" else {owner.agent: permission}}
    await declare(service, http, {"tokens": [token]})
    client = Client(http, service, f"other-{owner.agent}", owner.agent)
    for method, target, body, needed in requests(owner.agent):
        await owner.ask("PUT", global_storage("g", bot_id=owner.agent), b'{"value":"v"}')
        reply = await client.ask(method, target, body)
        if permission == "edit" or needed == permission:
            assert reply.status in (200, 201), (method, target, reply.body)
        elif method == "HEAD":
            assert reply.status == 403
        else:
            reply.refused(403)


@pytest.mark.parametrize("id", ["ops é\n", None])
async def test_a_refusal_names_the_token_id_and_the_missing_permission_but_never_the_token(
    agent: Client, service: Running, http: ClientSession, id: str | None
) -> None:
    secret = f"secret-{agent.agent}-{id is None}"
    token = {"token": secret, "agents": {}} | ({} if id is None else {"id": f"{id}{agent.agent}"})
    await declare(service, http, {"tokens": [token]})
    client = Client(http, service, secret, agent.agent)
    who = "this token" if id is None else f"ops é {agent.agent}"
    for method, target, body, needed in requests(agent.agent):
        if method != "HEAD":
            does = "read" if needed == "view" else "write to"
            assert (await client.ask(method, target, body)).refused(403) == f"{who} may not {does} agent {agent.agent}"


async def test_an_unknown_agent_is_not_found(agent: Client) -> None:
    for method, target, body, _ in requests(UNKNOWN):
        reply = await agent.ask(method, target, body)
        assert reply.status == 404
        if method != "HEAD":
            assert reply.refused(404) == f"no such agent {UNKNOWN}"
    for target in ("/dashboard/bots/nonsense/storages.json", "/dashboard/bots/%00/storages.json", storages("8" * 30)):
        (await agent.ask("GET", target)).refused(404)


@pytest.mark.parametrize("token", ["", "unknown", "av-edit ä", "av edit"])
async def test_an_unknown_token_learns_nothing(service: Running, http: ClientSession, token: str) -> None:
    client = Client(http, service, token, 8017)
    for method, target, body, _ in requests(8017):
        reply = await client.ask(method, target, body)
        assert reply.status == 401
        if method != "HEAD":
            reply.refused(401)


async def test_a_token_that_expired_is_refused(agent: Client, service: Running, http: ClientSession) -> None:
    token = {"token": agent.token, "agents": {agent.agent: "edit"}, "expires": "2020-01-01T00:00:00Z"}
    await declare(service, http, {"tokens": [token]})

    async def refused() -> bool:
        return (await agent.ask("GET", storages(agent.agent))).status == 401

    await soon(refused)
    (await agent.ask("GET", storages(agent.agent))).refused(401)


async def test_the_document_replaces_the_permissions_of_a_token(
    agent: Client, service: Running, http: ClientSession
) -> None:
    other = await open_agent(service, http)
    await agent.set("u", "k", "v")

    async def statuses(agents: dict[int, str]) -> list[int]:
        await declare(service, http, {"tokens": [{"token": agent.token, "agents": agents}]})
        return [(await agent.ask("GET", storages(each))).status for each in (agent.agent, other.agent)]

    assert await statuses({other.agent: "view"}) == [403, 200]  # from the moment at which the document was applied
    assert await statuses({}) == [403, 403]
    assert await statuses({agent.agent: "view", other.agent: "edit"}) == [200, 200]
    (await agent.send("u", {"key": "k", "value": "v", "bot_id": agent.agent})).refused(403)
    assert await agent.pairs() == [("k", "v")]
    assert (await other.ask("GET", storages(other.agent))).status == 200  # others keep theirs


async def test_a_removed_agent_is_unknown_and_has_all_its_data_when_declared_again(
    agent: Client, service: Running, http: ClientSession
) -> None:
    await agent.set("u", "k", "v")
    await declare(service, http, {"agents": [{"id": agent.agent, "remove": True}]})
    (await agent.ask("GET", storages(agent.agent))).refused(404)
    (await agent.send("u", {"key": "k", "value": "v2", "bot_id": agent.agent})).refused(404)
    await declare(service, http, {"agents": [{"id": str(agent.agent)}]})
    assert await agent.pairs() == [("k", "v")]


async def test_tokens_are_generated_once_and_removed_by_name(
    agent: Client, service: Running, http: ClientSession
) -> None:
    declared = {"id": f"ops-{agent.agent}", "agents": {agent.agent: "view"}}
    (issued,) = (await declare(service, http, {"tokens": [declared]}))["tokens"]
    assert (await declare(service, http, {"tokens": [declared]}))["tokens"] == []
    client = Client(http, service, issued["token"], agent.agent)
    assert await client.rows() == []
    await declare(service, http, {"tokens": [{"id": declared["id"], "remove": True}]})
    (await client.ask("GET", storages(agent.agent))).refused(403 if await known(client) else 401)


async def known(client: Client) -> bool:
    """Return True if a worker still uses its cached entry of a token. The grants of the token are removed already."""
    return (await client.ask("GET", storages(UNKNOWN))).status != 401


BAD = [
    {"agents": [{"id": "x"}]},
    {"agents": [{"id": -1}]},
    {"agents": [{"id": 8017, "more": 1}]},
    {"tokens": [{}]},
    {"tokens": [{"token": "t", "agents": {"8017": "own"}}]},
    {"tokens": [{"token": "t", "agents": {"x": "edit"}}]},
    {"tokens": [{"token": "a b"}]},
    {"tokens": [{"token": "a\n"}]},
    {"users": [{"layer_id": "u"}]},
    {"users": [{"layer_id": "", "id": 5}]},
    {"users": [{"layer_id": "u", "id": 0}]},
    {"users": [{"layer_id": "u", "id": 2**48}]},
    {"agents": 5},
]


@pytest.mark.parametrize("section", BAD, ids=str)
async def test_an_invalid_section_is_refused(service: Running, http: ClientSession, section: dict[str, Any]) -> None:
    await declare(service, http, section, 422)


async def test_a_number_in_use_cannot_be_declared_for_another_user(
    agent: Client, service: Running, http: ClientSession
) -> None:
    await agent.set(f"first-{agent.agent}", "k", "v")
    number = (await agent.rows())[0]["user"]["id"]
    answer = await declare(service, http, {"users": [{"layer_id": "another", "id": number}]}, 422)
    assert answer == {"error": {"message": "avaamo.users[0].id: another user has this number"}}


async def test_two_documents_applied_at_once_leave_the_result_of_one_of_them(
    service: Running, http: ClientSession
) -> None:
    agents = [await open_agent(service, http) for _ in range(2)]
    token = f"raced-{agents[0].agent}"
    documents = [{"tokens": [{"token": token, "agents": {each.agent: "edit"}}]} for each in agents]
    for _ in range(3):
        await asyncio.gather(*(declare(service, http, each) for each in documents))
        client = Client(http, service, token, 0)
        statuses = [(await client.ask("GET", storages(each.agent))).status for each in agents]
        assert sorted(statuses) == [200, 403]
