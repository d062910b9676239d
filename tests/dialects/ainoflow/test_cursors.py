"""Tests lists by cursor and by prefix."""

import asyncio
import random
from base64 import urlsafe_b64encode
from typing import Any

import pytest

from tests.dialects.ainoflow.client import Client, Reply, at
from tests.lengths import either

KEYS = [f"k{n:02}" for n in range(23)]


@pytest.fixture
async def filled(project: Client) -> Client:
    for n, key in enumerate(random.Random(1).sample(KEYS, len(KEYS))):
        await project.put("d", key, b"[%b]" % (b" " * (n % 3)))
    return project


def shown(reply: Reply) -> list[str]:
    assert reply.status == 200, reply.body
    return [item["key"] for item in reply.json]


async def walk(project: Client, *names: str, **query: Any) -> list[Reply]:
    """Return the answers with all pages of a list."""
    replies = [await project.ask("GET", f"{at(*names, **query)}{'&' if query else '?'}cursor=")]
    while cursor := replies[-1].headers.get("X-Next-Cursor"):
        replies.append(await project.get(*names, cursor=cursor, **query))
        assert len(replies) < 1000
    return replies


@pytest.mark.parametrize("sort", ["createdAt", "updatedAt", "size", "key"])
@pytest.mark.parametrize("order", ["asc", "desc"])
@pytest.mark.parametrize("limit", [1, 5, 23, 1000])
async def test_pages_by_cursor_together_are_the_whole_list(filled: Client, sort: str, order: str, limit: int) -> None:
    whole = shown(await filled.get("d", sortBy=sort, sortOrder=order, limit=1000))
    replies = await walk(filled, "d", sortBy=sort, sortOrder=order, limit=limit)
    assert [key for reply in replies for key in shown(reply)] == whole
    assert len(replies) == -(-23 // limit)
    for reply in replies:
        assert reply.headers["X-Total-Count"] == "23"
        assert reply.headers["X-Limit"] == str(limit)
        assert "X-Page" not in reply.headers
        assert "X-Total-Pages" not in reply.headers


async def test_an_aggregate_by_cursor_has_the_cursor_and_no_page_number(filled: Client) -> None:
    first = await filled.ask("GET", at("d", aggregate="true", limit=20) + "&cursor=")
    assert list(first.json) == ["category", "items", "totalCount", "pageSize", "nextCursor"]
    assert first.json["nextCursor"] == first.headers["X-Next-Cursor"]
    last = await filled.get("d", aggregate="true", limit=20, cursor=first.json["nextCursor"])
    assert (len(last.json["items"]), last.json["nextCursor"]) == (3, None)
    assert "X-Next-Cursor" not in last.headers


async def test_a_list_continues_after_an_item_that_was_deleted(filled: Client) -> None:
    for query in ({"sortBy": "key"}, {"sortBy": "createdAt"}, {"sortBy": "size", "sortOrder": "desc"}):
        whole = shown(await filled.get("d", **query))
        first = await filled.ask("GET", at("d", limit=5, **query) + "&cursor=")
        await filled.ask("DELETE", at("d", whole[4]))
        rest = await filled.get("d", cursor=first.headers["X-Next-Cursor"], **query)
        assert shown(rest) == whole[5:]


async def test_a_cursor_of_another_list_is_400(filled: Client) -> None:
    await filled.put("e", "k")
    cursor = (await filled.ask("GET", at("d", limit=1) + "&cursor=")).headers["X-Next-Cursor"]
    assert (await filled.get("d", cursor=cursor, limit=7)).status == 200
    for names, query in (
        (("e",), {}),
        ((), {}),
        (("d",), {"sortBy": "key"}),
        (("d",), {"sortOrder": "desc"}),
        (("d",), {"sortBy": "key", "prefix": "k"}),
        (("d",), {"page": 1}),
    ):
        (await filled.get(*names, cursor=cursor, **query)).refused(400)
    for wrong in (
        "x",
        "é",
        "=",
        cursor[:-1],
        cursor + "AAAA",
        "a" * 5000,
        urlsafe_b64encode(b"\x93\x01\x01\x01").decode(),
    ):
        (await filled.get("d", cursor=wrong)).refused(400)
    (await filled.ask("GET", at("d", page=1) + "&cursor=")).refused(400)


async def test_a_prefix_counts_bytes_of_names(project: Client) -> None:
    names = ["a", "ab", "abc", "ab\U0010ffff", "abé", "b", "é", "éa", "A"]
    for name in names:
        await project.put("d", name)
        await project.put(name, "k")
    for prefix in ("a", "ab", "abc", "é", "x", "ab\U0010ffff"):
        expected = sorted((name for name in names if name.startswith(prefix)), key=str.encode)
        for order in ("asc", "desc"):
            wanted = expected if order == "asc" else expected[::-1]
            reply = await project.get("d", sortBy="key", sortOrder=order, prefix=prefix, limit=2, page=1)
            assert shown(reply) == wanted[:2]
            assert reply.headers["X-Total-Count"] == str(len(expected))
            assert reply.headers["X-Total-Pages"] == str(-(-len(expected) // 2))
            assert (
                shown(await project.get("d", sortBy="key", sortOrder=order, prefix=prefix, limit=2, page=2))
                == wanted[2:4]
            )
            replies = await walk(project, "d", sortBy="key", sortOrder=order, prefix=prefix, limit=2)
            assert [key for each in replies for key in shown(each)] == wanted
            assert {each.headers["X-Total-Count"] for each in replies} == {str(len(expected))}
        replies = await walk(project, prefix=prefix, limit=2)
        assert [item["category"] for each in replies for item in each.json] == expected
        assert replies[0].headers["X-Total-Count"] == str(len(expected))
        assert [item["category"] for item in (await project.get(prefix=prefix)).json] == expected


@pytest.mark.parametrize("sort", ["createdAt", "updatedAt", "size"])
async def test_a_prefix_with_another_order_than_by_key_is_400(project: Client, sort: str) -> None:
    (await project.get("d", sortBy=sort, prefix="a")).refused(400)
    (await project.get("d", prefix="a")).refused(400)


async def test_the_list_of_categories_can_be_read_by_cursor(project: Client) -> None:
    for n in range(7):
        await project.put(f"c{n}", "k")
    replies = await walk(project, limit=3)
    assert [len(reply.json) for reply in replies] == [3, 3, 1]
    aggregate = await project.ask("GET", at(aggregate="true", limit=7) + "&cursor=")
    assert list(aggregate.json) == ["items", "totalCount", "pageSize", "nextCursor"]
    assert aggregate.json["nextCursor"] is None


@pytest.mark.long
@pytest.mark.parametrize("sort", ["createdAt", "key"])
@pytest.mark.parametrize("order", ["asc", "desc"])
async def test_documents_that_exist_all_the_time_are_listed_once_while_8_others_write(
    project: Client, sort: str, order: str
) -> None:
    lasting = {f"s{n:03}" for n in range(200)}
    for key in lasting:
        await project.put("d", key)

    async def write(seed: int) -> None:
        some = random.Random(seed)
        for _ in range(either(60, 240)):
            key = f"{some.choice('rst')}{some.randrange(200):03}x{seed}"
            method = some.choice(["PUT", "PUT", "DELETE"])
            assert (await project.ask(method, at("d", key), None if method == "DELETE" else b"{}")).status in (200, 404)
            await project.put("d", f"s{some.randrange(200):03}", b"[1]")

    writing = asyncio.gather(*map(write, range(8)))
    while not writing.done():
        replies = await walk(project, "d", sortBy=sort, sortOrder=order, limit=7)
        found = [key for each in replies for key in shown(each)]
        assert len([key for key in found if key in lasting]) == len(lasting)
        assert lasting <= set(found)
    await writing
