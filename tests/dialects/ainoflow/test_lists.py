"""Tests lists: pages, sorting and totals, in both formats."""

import asyncio
import json

import pytest

from tests.dialects.ainoflow.client import DOCUMENTS, Client, at

PAGING = ("X-Total-Count", "X-Page", "X-Limit", "X-Total-Pages")


async def fill(project: Client, count: int, category: str = "d") -> list[str]:
    """Store documents k00, k01, ... in this order, and return their keys."""
    keys = [f"k{n:02}" for n in range(count)]
    for key in keys:
        await project.put(category, key, b'{"key":"%b"}' % key.encode())
    return keys


async def test_a_list_item_has_all_properties_of_a_document(project: Client) -> None:
    await project.put("d", "k", b'{"b": 1.50, "a": []}', expiresAt="2099-01-01")
    meta = (await project.get("d", "k", "meta")).json
    (item,) = (await project.get("d")).json
    assert list(item) == ["category", "key", "value", "size", "createdAt", "updatedAt", "expiresAt"]
    shared = ("category", "key", "size", "createdAt", "updatedAt", "expiresAt")
    assert item == {name: meta[name] for name in shared} | {"value": {"b": 1.5, "a": []}}


async def test_without_parameters_a_list_has_the_first_50_by_creation(project: Client) -> None:
    keys = await fill(project, 53)
    await project.put("d", "k00", b'{"again":1}')  # an update does not change the time of creation
    reply = await project.get("d")
    assert [item["key"] for item in reply.json] == keys[:50]
    assert [reply.headers[name] for name in PAGING] == ["53", "1", "50", "2"]


@pytest.mark.parametrize("aggregate", [False, True])
@pytest.mark.parametrize(
    ("page", "limit", "count", "pages"),
    [
        (1, 7, 7, 4),
        (4, 7, 1, 4),
        (5, 7, 0, 4),
        (1, 22, 22, 1),
        (2, 22, 0, 1),
        (22, 1, 1, 22),
        (1, 1000, 22, 1),
        (10**15, 1000, 0, 1),
    ],
)
async def test_every_page_has_the_true_totals(
    project: Client, page: int, limit: int, count: int, pages: int, aggregate: bool
) -> None:
    await asyncio.gather(*(project.put("d", f"k{n}") for n in range(22)))
    query = {"aggregate": "true"} if aggregate else {}
    reply = await project.get("d", page=page, limit=limit, **query)
    assert [reply.headers[name] for name in PAGING] == ["22", str(page), str(limit), str(pages)]
    assert len(reply.json["items"] if aggregate else reply.json) == count
    if aggregate:
        assert list(reply.json) == ["category", "items", "totalCount", "page", "pageSize", "totalPages"]
        totals = {"totalCount": 22, "page": page, "pageSize": limit, "totalPages": pages}
        assert reply.json == {"category": "d", "items": reply.json["items"]} | totals


@pytest.mark.parametrize("aggregate", ["false", "true"])
async def test_a_category_without_documents_is_an_empty_list(project: Client, aggregate: str) -> None:
    reply = await project.get("none", aggregate=aggregate)
    assert [reply.headers[name] for name in PAGING] == ["0", "1", "50", "0"]
    totals = {"category": "none", "items": [], "totalCount": 0, "page": 1, "pageSize": 50, "totalPages": 0}
    assert reply.json == (totals if aggregate == "true" else [])


async def test_each_sort_field_sorts_and_desc_is_the_reverse_of_asc(project: Client) -> None:
    for key, size in (("c", 3), ("a", 1), ("b", 2), ("d", 1)):
        await project.put("s", key, b'["%b"]' % (b"x" * size))
    await project.put("s", "a", b'["y"]')
    expected = {"createdAt": "cabd", "updatedAt": "cbda", "size": "adbc", "key": "abcd"}
    for field, order in expected.items():
        assert "".join(await project.keys("s", sortBy=field)) == order
        assert "".join(await project.keys("s", sortBy=field, sortOrder="asc")) == order
        assert "".join(await project.keys("s", sortBy=field, sortOrder="desc")) == order[::-1]
    assert await project.keys("s") == list(expected["createdAt"])


async def test_equal_documents_are_ordered_by_the_bytes_of_their_keys(project: Client) -> None:
    keys = ["a", "B", "é", "z", "日", "\U0001f600", "\uffff", "~", "A", " ", "\x00", "aa"]
    await asyncio.gather(*(project.put("t", key, b"[0]") for key in keys))
    ordered = sorted(keys, key=str.encode)
    for field in ("size", "key"):
        assert await project.keys("t", sortBy=field) == ordered
        assert await project.keys("t", sortBy=field, sortOrder="desc") == ordered[::-1]
        paged = [await project.keys("t", sortBy=field, limit=5, page=page) for page in (1, 2, 3)]
        assert [key for page in paged for key in page] == ordered


async def test_large_pages_are_complete_json_in_both_shapes(project: Client) -> None:
    body = b'{"text":"%b"}' % (b"x" * 100_000)
    await asyncio.gather(*(project.put("d", f"k{n:02}", body) for n in range(40)))
    plain = await project.get("d", sortBy="key")
    assert [item["key"] for item in plain.json] == [f"k{n:02}" for n in range(40)]
    assert plain.body.count(body) == 40
    whole = await project.get("d", sortBy="key", aggregate="true")
    assert whole.json["items"] == plain.json
    assert whole.headers["X-Total-Count"] == plain.headers["X-Total-Count"] == "40"
    assert (await project.ask("HEAD", at("d"))).body == b""


async def test_the_list_of_categories_is_sorted_counted_and_paged(project: Client) -> None:
    names = sorted(["b", "a", "ä", "Z", "10", "9", "\U0001f600", "a/b"], key=str.encode)
    for n, name in enumerate(names):
        for key in range(n + 1):
            await project.put(name, str(key))
    expected = [{"category": name, "count": n + 1} for n, name in enumerate(names)]
    every = await project.ask("GET", DOCUMENTS)
    assert every.json == expected
    assert every.headers["X-Total-Count"] == "8"
    second = await project.get(page=2, limit=3)
    assert second.json == expected[3:6]
    assert [second.headers[name] for name in PAGING] == ["8", "2", "3", "3"]
    totals = {"totalCount": 8, "page": 4, "pageSize": 3, "totalPages": 3}
    assert (await project.get(page=4, limit=3, aggregate="true")).json == {"items": []} | totals
    assert (await project.get(aggregate="true")).json["items"] == expected


async def test_without_a_page_more_than_50_categories_are_all_listed(project: Client) -> None:
    await asyncio.gather(*(project.put(f"c{n:02}", "k") for n in range(60)))
    every = await project.ask("GET", DOCUMENTS)
    assert len(every.json) == 60
    assert every.headers["X-Total-Count"] == "60"
    assert len((await project.get(page=1)).json) == 50


async def test_a_category_that_was_emptied_is_not_listed(project: Client) -> None:
    await project.put("d", "k")
    await project.put("e", "k")
    await project.ask("DELETE", at("d", "k"))
    assert (await project.ask("GET", DOCUMENTS)).json == [{"category": "e", "count": 1}]


async def test_values_in_a_list_are_the_stored_bytes(project: Client) -> None:
    stored = '{"n": 12345678901234567890, "f": 1.50, "e": 1E2, "s": "\\u00e9é", "x": [ ]}'
    await project.put("d", "k", stored.encode())
    for query in ({}, {"aggregate": "true"}):
        listed = (await project.get("d", **query)).body.decode()
        assert stored in listed
        json.loads(listed)
