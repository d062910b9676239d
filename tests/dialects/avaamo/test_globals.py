"""Tests Global Storage, Clear Data, and users that appear for the first time."""

import asyncio
from collections.abc import Callable

from aiohttp import ClientSession

from tests.dialects.avaamo.client import Client, global_storage, open_agent
from tests.running import Running


async def test_a_global_variable_is_set_read_listed_and_deleted(agent: Client) -> None:
    target = global_storage("a b/é", bot_id=agent.agent)
    for value, text in ((b'"first"', "first"), (b"1.50", "1.50")):
        reply = await agent.ask("PUT", target, b'{"value": %b}' % value)
        assert (reply.status, reply.json) == (201, {"status": 201})
        assert (await agent.ask("GET", target)).json == {"key": "a b/é", "value": text}
    (row,) = await agent.rows()
    assert "user" not in row
    assert await agent.pairs(key="a b/é", value="1.50") == [("a b/é", "1.50")]
    reply = await agent.ask("DELETE", target)
    assert (reply.status, reply.json) == (200, {"status": 200})
    for method in ("GET", "DELETE"):
        (await agent.ask(method, target)).refused(404)
    assert await agent.rows() == []


async def test_a_global_variable_and_one_of_a_user_share_a_key_and_nothing_else(agent: Client) -> None:
    await agent.set("u", "k", "users")
    await agent.ask("PUT", global_storage("k", bot_id=agent.agent), b'{"value": "everybodys"}')
    assert (await agent.ask("GET", global_storage("k", bot_id=agent.agent))).json["value"] == "everybodys"
    assert await agent.pairs(key="k") == [("k", "everybodys"), ("k", "users")]
    await agent.ask("DELETE", global_storage("k", bot_id=agent.agent))
    assert await agent.pairs(key="k") == [("k", "users")]


async def test_the_agent_of_a_put_may_be_in_its_body(agent: Client) -> None:
    body = b'{"value": "v", "bot_id": %d}' % agent.agent
    assert (await agent.ask("PUT", global_storage("k"), body)).status == 201
    assert await agent.pairs() == [("k", "v")]


async def test_clear_data_removes_everything_of_this_agent_only(
    agent: Client, service: Running, http: ClientSession
) -> None:
    other = await open_agent(service, http)
    for each in (agent, other):
        for n in range(150):
            await each.set(f"u{n % 7}", f"k{n}", n)
        await each.ask("PUT", global_storage("g", bot_id=each.agent), b'{"value": "v"}')
    clear = f"/dashboard/agents/{agent.agent}/clear_data.json"
    for _ in range(2):
        reply = await agent.ask("POST", clear, b'{"data_types": ["storage_data"]}')
        assert (reply.status, reply.json) == (200, {"success": True})
        assert (await agent.list())["total_entries"] == 0
    assert (await other.list())["total_entries"] == 151
    await agent.set("u1", "k1", "again")
    assert await agent.pairs() == [("k1", "again")]


async def test_a_variable_set_during_clear_data_is_there_completely_or_not_at_all(agent: Client) -> None:
    clear = f"/dashboard/agents/{agent.agent}/clear_data.json"
    for _ in range(5):
        await asyncio.gather(
            *(agent.set(f"u{n % 3}", f"k{n}", n % 4) for n in range(40)),
            *(agent.ask("POST", clear, b'{"data_types": ["storage_data"]}') for _ in range(3)),
        )
        rows = await agent.rows(per_page=100)
        for row in rows:
            for query in (
                {"key": row["key"]},
                {"user_id": row["user"]["id"], "key": row["key"]},
                {"key": row["key"], "value": row["value"]},
            ):
                assert await agent.rows(**query) == [row]
        assert sum([len(await agent.rows(value=value, per_page=100)) for value in range(4)]) == len(rows)


async def test_racing_first_writes_of_a_user_all_get_one_number(
    serve: Callable[..., Running], http: ClientSession
) -> None:
    agents = [await open_agent(running, http) for running in [serve(workers=2)] for _ in range(2)]
    for round in range(5):
        sets = [each.set(f"new-{round}", f"k{n}", "v") for n in range(30) for each in agents]
        await asyncio.gather(*sets)
    for each in agents:
        rows = [*await each.rows(per_page=100), *await each.rows(per_page=100, page=2)]
        assert len({row["user"]["id"] for row in rows}) == 5
    ids = {row["user"]["id"] for each in agents for row in await each.rows(per_page=100)}
    assert len(ids) <= 5  # the same on both agents
