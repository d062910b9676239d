"""Tests lists: single and combined filters, dates, pages, users."""

import asyncio
from datetime import UTC, datetime, timedelta
from itertools import combinations

import pytest
from aiohttp import ClientSession

from tests.dialects.avaamo.client import Client, declare, global_storage
from tests.running import Running, soon


@pytest.fixture
async def filled(agent: Client) -> tuple[Client, dict[str, int]]:
    """Set variables whose users, keys and values overlap, and a global one; return the numbers of the users."""
    for user in ("ann", "ben"):
        for key, value in (("plan", "gold"), ("city", "gold"), ("role", "guest")):
            await agent.set(f"{user}-{agent.agent}", key, value)
    await agent.ask("PUT", global_storage("plan", bot_id=agent.agent), b'{"value": "gold"}')
    rows = await agent.rows()
    numbers = list(dict.fromkeys(row["user"]["id"] for row in rows if "user" in row))
    return agent, dict(zip(("ben", "ann"), numbers, strict=True))


async def test_a_combination_of_filters_selects_what_matches_each_of_them(
    filled: tuple[Client, dict[str, int]],
) -> None:
    agent, numbers = filled
    today = datetime.now(UTC).strftime("%d/%m/%Y")
    rows = await agent.rows()
    assert len(rows) == 7
    filters = {"user_id": numbers["ann"], "key": "plan", "value": "gold", "start_date": today, "end_date": today}
    for count in range(len(filters) + 1):
        for names in combinations(filters, count):
            expected = [
                row
                for row in rows
                if ("user_id" not in names or row.get("user", {}).get("id") == filters["user_id"])
                and all(row[name] == filters[name] for name in ("key", "value") if name in names)
            ]
            body = await agent.list(**{name: filters[name] for name in names})
            assert body["storage"] == expected, names
            assert (body["total_entries"], body["total_pages"]) == (len(expected), 1)


async def test_filters_are_exact(filled: tuple[Client, dict[str, int]]) -> None:
    agent, numbers = filled
    for query in ({"key": "pla"}, {"key": "Plan"}, {"value": "gol"}, {"value": "gold "}):
        assert await agent.rows(**query) == []
        assert await agent.rows(user_id=numbers["ann"], **query) == []
    for user in (0, numbers["ann"] + 1000, 2**48, 10**18 - 1):
        assert await agent.rows(user_id=user) == []
        assert await agent.rows(user_id=user, key="plan") == []


async def test_dates_are_whole_days_and_include_both_ends(filled: tuple[Client, dict[str, int]]) -> None:
    agent, numbers = filled
    last = (await agent.rows())[0]["updated_at"]

    def day(days: int) -> str:
        return (datetime.fromtimestamp(last, UTC) + timedelta(days=days)).strftime("%d/%m/%Y")

    for others in ({}, {"key": "plan"}, {"user_id": numbers["ann"], "key": "plan"}):
        there = len(await agent.rows(**others))
        for query, found in (
            ({"start_date": day(0)}, there),
            ({"start_date": day(1)}, 0),
            ({"end_date": day(0)}, there),
            ({"end_date": day(-2)}, 0),
            ({"to_date": day(0)}, there),
            ({"to_date": day(-2)}, 0),
            ({"start_date": day(-2), "end_date": day(0)}, there),
            ({"start_date": day(-9), "end_date": day(-2)}, 0),
            ({"start_date": "01/01/0001"}, there),
            ({"end_date": "31/12/9999"}, there),
            ({"start_date": "01/01/0001", "end_date": "31/12/1969"}, 0),
            ({"start_date": "31/12/9999"}, 0),
        ):
            assert len(await agent.rows(**others, **query)) == found, query


async def test_all_pages_together_are_the_whole_list(agent: Client) -> None:
    await asyncio.gather(*(agent.set(f"u{n % 3}", f"k{n}", n % 2) for n in range(23)))
    for others in ({}, {"value": "1"}, {"user_id": (await agent.rows())[0]["user"]["id"]}):
        rows = await agent.rows(**others, per_page=100)
        order = [(row["updated_at"], row["id"]) for row in rows]
        assert order == sorted(order, reverse=True)
        for size in (1, 2, 5, 22, 23, 100):
            parts = []
            for page in range(1, -(-len(rows) // size) + 1):
                body = await agent.list(**others, page=page, per_page=size)
                assert (body["current_page"], body["per_page"]) == (page, size)
                assert (body["total_entries"], body["total_pages"]) == (len(rows), -(-len(rows) // size))
                parts += body["storage"]
            assert parts == rows


async def test_a_page_past_the_end_is_empty_with_true_totals(agent: Client) -> None:
    await agent.set("u", "k", "v")
    for page in (2, 10**18 - 1):
        for others in ({}, {"user_id": (await agent.rows())[0]["user"]["id"], "key": "k"}):
            body = await agent.list(page=page, per_page=1, **others)
            assert body == {"current_page": page, "per_page": 1, "total_entries": 1, "total_pages": 1, "storage": []}


async def test_a_page_has_25_rows_by_default_and_100_at_most(agent: Client) -> None:
    await asyncio.gather(*(agent.set("u", f"k{n}", "v") for n in range(105)))
    assert len(await agent.rows()) == 25
    body = await agent.list(per_page=1000)
    assert (len(body["storage"]), body["per_page"], body["total_pages"]) == (100, 100, 2)


async def test_an_updated_variable_is_listed_first(agent: Client) -> None:
    for key in ("a", "b", "c", "a"):
        await agent.set("u", key, "v")
    assert [key for key, _ in await agent.pairs()] == ["a", "c", "b"]


async def test_an_update_leaves_the_lists_of_the_old_value(agent: Client) -> None:
    await agent.set("u", "k", "old")
    await agent.set("u", "k", "new")
    user = (await agent.rows())[0]["user"]["id"]
    for query in ({}, {"key": "k"}, {"user_id": user}, {"user_id": user, "key": "k"}):
        assert await agent.rows(value="old", **query) == []
        assert await agent.pairs(value="new", **query) == [("k", "new")]


async def test_a_user_has_the_declared_display_name_or_one_with_the_number(
    agent: Client, service: Running, http: ClientSession
) -> None:
    fresh = f"fresh-{agent.agent}"
    for user in (fresh, "named"):
        await agent.set(user, "k", "v")
    named, unnamed = (row["user"] for row in await agent.rows())
    assert named == {"display_name": "Ada Lovelace", "id": 8880461}
    assert unnamed == {"display_name": f"User {unnamed['id']}", "id": unnamed["id"]}
    await declare(service, http, {"users": [{"layer_id": fresh, "id": unnamed["id"], "display_name": "Fresh"}]})

    async def called() -> bool:
        return bool((await agent.rows(user_id=unnamed["id"]))[0]["user"]["display_name"] == "Fresh")

    await soon(called)


async def test_every_row_has_only_the_members_of_the_vendors_page(filled: tuple[Client, dict[str, int]]) -> None:
    agent, _ = filled
    for row in await agent.rows():
        assert set(row) - {"user"} == {"key", "value", "id", "created_at", "updated_at"}
        assert set(row.get("user", {"display_name", "id"})) == {"display_name", "id"}
