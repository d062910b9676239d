"""Tests that variables are set and changed, and listed as they were sent."""

import time

import pytest
from aiohttp import ClientSession

from tests.dialects.avaamo.client import Client, open_agent, storages
from tests.running import Running


async def test_a_variable_is_listed_with_its_user_and_times(agent: Client) -> None:
    before = time.time()
    await agent.set("dashboard_admin_test_user_368", "role", "guest")
    (row,) = await agent.rows()
    assert list(row) == ["key", "value", "id", "created_at", "updated_at", "user"]
    assert (row["key"], row["value"]) == ("role", "guest")
    assert row["user"] == {"display_name": "User 8880460", "id": 8880460}
    assert isinstance(row["id"], int)
    assert row["created_at"] == row["updated_at"]
    assert isinstance(row["created_at"], float)
    assert before - 1 < row["created_at"] < time.time() + 1


async def test_setting_a_variable_again_keeps_id_and_creation_time(agent: Client) -> None:
    await agent.set("u", "role", "guest")
    (before,) = await agent.rows()
    await agent.set("u", "role", "admin")
    (after,) = await agent.rows()
    assert (after["id"], after["created_at"]) == (before["id"], before["created_at"])
    assert after["updated_at"] > before["updated_at"]
    assert after["value"] == "admin"


SENT = [
    ('"text"', "text"),
    ('""', ""),
    ("1.50", "1.50"),
    ("-0.0", "-0.0"),
    ("1E400", "1E400"),
    ("true", "true"),
    ("false", "false"),
    ("12345678901234567890123", "12345678901234567890123"),
    ('" 1 "', " 1 "),
    (r'"\u00e9\ud83d\ude00\n\u0000"', "é😀\n\0"),
    ('"null"', "null"),
    ('"[1]"', "[1]"),
]


@pytest.mark.parametrize(("sent", "kept"), SENT)
async def test_a_value_is_kept_as_the_text_that_was_sent(agent: Client, sent: str, kept: str) -> None:
    reply = await agent.send("u", b'{"key": "k", "value": %b , "bot_id": %d}' % (sent.encode(), agent.agent))
    assert reply.json == {"status": 201}
    assert await agent.pairs() == [("k", kept)]
    assert await agent.pairs(value=kept) == [("k", kept)]


async def test_the_agent_may_be_a_numeric_string(agent: Client) -> None:
    await agent.send("u", {"key": "k", "value": "v", "bot_id": str(agent.agent)})
    assert await agent.pairs() == [("k", "v")]


@pytest.mark.parametrize("key", ["k", "é😀", "a b", "a:b{c}", "\0", "x" * 255, "%2F", "../..", '"'])
async def test_any_key_is_allowed_and_unchanged(agent: Client, key: str) -> None:
    await agent.set("u", key, "v")
    assert await agent.pairs(key=key) == [(key, "v")]
    assert await agent.pairs(key=key + "x") == []


async def test_the_largest_values_are_stored_and_listed_completely(agent: Client) -> None:
    values = [f"{n:02}" + "é" * 32_767 for n in range(30)]
    for n, value in enumerate(values):
        await agent.set("u", f"k{n}", value)
    assert [row["value"] for row in await agent.rows(per_page=100)] == values[::-1]


async def test_a_long_value_can_be_a_filter(agent: Client) -> None:
    long = "é" * 10_000  # 60,000 characters in a URL
    await agent.set("u", "k", long)
    await agent.set("u", "other", long[1:])
    assert await agent.pairs(value=long) == [("k", long)]


async def test_ids_of_variables_are_unique_over_all_agents(
    agent: Client, service: Running, http: ClientSession
) -> None:
    other = await open_agent(service, http)
    for n in range(20):
        await agent.set("u", f"k{n}", "v")
        await other.set("u", f"k{n}", "v")
    ids = [row["id"] for each in (agent, other) for row in await each.rows()]
    assert len(set(ids)) == 40


async def test_agents_do_not_see_variables_of_each_other(agent: Client, service: Running, http: ClientSession) -> None:
    other = await open_agent(service, http)
    await agent.set("u", "k", "v")
    assert await other.rows() == []
    (await agent.ask("GET", storages(other.agent))).refused(403)
