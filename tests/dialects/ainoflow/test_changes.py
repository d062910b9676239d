"""Tests the feed: all changes of a category after a cursor."""

import asyncio
from datetime import datetime
from typing import Any

import pytest
from aiohttp import ClientSession

from service.storage.records.record import etag
from tests.dialects.ainoflow.client import Client, at, declare, open_project, open_with
from tests.dialects.ainoflow.events import feed
from tests.running import Running, soon

pytestmark = pytest.mark.journal


async def read(project: Client, category: str, **query: object) -> Any:
    reply = await project.ask("GET", feed(category, **query))
    assert reply.status == 200, reply.body
    assert list(reply.json) == ["category", "changes", "next", "more"]
    return reply.json


async def test_each_write_is_a_change(project: Client) -> None:
    await project.ask("POST", at("d", "a"), b'{"n": 1}')
    await project.put("d", "a", b'{"n": 2}')
    await project.ask("PATCH", at("d", "a"), b'{"m":3}')
    meta = (await project.get("d", "a", "meta")).json
    await project.ask("DELETE", at("d", "a"))
    unnamed = (await project.ask("POST", at("d"), b"[]")).json
    found = await read(project, "d")
    assert (found["category"], found["more"]) == ("d", False)
    assert found["next"] == found["changes"][-1]["cursor"]
    changes = found["changes"]
    assert [(each["op"], each["key"], each["version"]) for each in changes] == [
        ("create", "a", 1),
        ("put", "a", 2),
        ("patch", "a", 3),
        ("delete", "a", 3),
        ("create", unnamed["key"], 1),
    ]
    last = etag(b'{"n": 2,"m":3}')
    assert [each["etag"] for each in changes] == [etag(b'{"n": 1}'), etag(b'{"n": 2}'), last, last, etag(b"[]")]
    assert [each.get("value") for each in changes] == [{"n": 1}, {"n": 2}, {"n": 2, "m": 3}, None, []]
    assert "value" not in changes[3]
    assert {each["by"] for each in changes} == {project.project}
    assert changes[2]["at"] == meta["updatedAt"]
    assert list(changes[0]) == ["cursor", "op", "key", "version", "etag", "at", "by", "value"]
    assert [datetime.fromisoformat(each["at"]) for each in changes]


async def test_the_next_page_of_changes_begins_after_the_last_one(project: Client) -> None:
    assert (await read(project, "d"))["changes"] == []
    now = (await read(project, "d", since="now"))["next"]
    for n in range(25):
        await project.put("d", f"k{n}", b"[%d]" % n)
        await project.put("other", f"k{n}")
    found, cursor, more = [], now, True
    while more:
        page = await read(project, "d", since=cursor, limit=10)
        found += page["changes"]
        cursor, more = page["next"], page["more"]
    assert [each["value"] for each in found] == [[n] for n in range(25)]
    assert await read(project, "d", since=cursor) == {"category": "d", "changes": [], "next": cursor, "more": False}
    assert await read(project, "d", since="now") == {"category": "d", "changes": [], "next": cursor, "more": False}
    assert (await read(project, "d", since="oldest"))["changes"] == found
    assert (await read(project, "d", limit=1000))["changes"] == found
    exact = await read(project, "d", limit=25)
    assert (len(exact["changes"]), exact["more"]) == (25, False)


async def test_without_a_journal_there_is_no_feed(service: Running, http: ClientSession) -> None:
    project = await open_project(service, http)
    await project.put("d", "a")
    for target in (feed("d"), at("d", "a", "history"), at("d", "a", "history", "1-0")):
        (await project.ask("GET", target)).refused(404)
    (await project.ask("POST", at("d", "a", "history", "1-0"))).refused(404)


@pytest.mark.parametrize(
    "query", [{"since": "x"}, {"since": "1"}, {"since": "1-"}, {"limit": 0}, {"limit": 1001}, {"limit": "x"}]
)
async def test_an_invalid_cursor_or_limit_is_refused(project: Client, query: dict[str, object]) -> None:
    (await project.ask("GET", feed("d", **query))).refused(400)


async def test_a_trimmed_cursor_is_410(service: Running, http: ClientSession) -> None:
    project = await open_with(service, http, journal={"entries": 10})
    now = (await read(project, "d", since="now"))["next"]
    for n in range(111):
        await project.put("d", "k", b"[%d]" % n)
    reply = await project.ask("GET", feed("d", since=now))
    reply.refused(410)
    found = await read(project, "d", since=reply.json["error"]["oldest"])
    assert found["changes"] == (await read(project, "d"))["changes"]
    kept = [each["value"] for each in found["changes"]]
    assert kept == [[n] for n in range(111 - len(kept), 111)]
    assert 10 <= len(kept) < 111  # a write trims the journal when it has 110 entries, a sweep at any time


async def test_an_expiry_is_a_change(project: Client) -> None:
    saved = await project.put("d", "k", b"[1]", expiresMs=1)

    async def expired() -> bool:
        return len((await read(project, "d"))["changes"]) == 2

    async with asyncio.timeout(20):
        await soon(expired)
    last = (await read(project, "d"))["changes"][-1]
    assert (last["op"], last["key"], last["version"], last["by"]) == ("expire", "k", 1, None)
    assert last["etag"] == saved.json["etag"]
    assert "value" not in last


async def test_values_are_kept_if_the_journal_says_so(service: Running, http: ClientSession) -> None:
    project = await open_with(service, http, journal={"values": False})
    await project.put("d", "k", b"[1]")
    assert "value" not in (await read(project, "d"))["changes"][0]
    project = await open_with(service, http, journal={"values": True})
    await project.put("d", "k", b'["' + b"x" * 40_000 + b'"]')
    await project.put("d", "k", b'["' + b"x" * 31_996 + b'"]')
    first, second = (await read(project, "d"))["changes"]
    assert "value" not in first
    assert second["value"] == ["x" * 31_996]


async def test_the_journal_counts_in_the_quota(service: Running, http: ClientSession) -> None:
    project = await open_with(service, http, quota={"bytes": 1000}, journal={})
    statuses = [(await project.ask("PUT", at("d", "k"), b"[1]")).status for _ in range(12)]
    entry = 64 + 1 + len(project.project) + 3
    written = (1000 - 3) // entry
    assert statuses == [200] * written + [429] * (12 - written)


async def test_a_journal_begins_and_ends_with_its_declaration(service: Running, http: ClientSession) -> None:
    project = await open_project(service, http)

    async def counts(status: int) -> None:
        async def answered() -> bool:
            return (await project.ask("GET", feed("d"))).status == status

        await soon(answered)

    await project.put("d", "k", b"[1]")
    await declare(service, http, {"projects": [{"id": project.project, "journal": {}}]})
    await counts(200)
    await project.put("d", "k", b"[2]")
    assert [each["value"] for each in (await read(project, "d"))["changes"]] == [[2]]
    await declare(service, http, {"projects": [{"id": project.project}]})
    await counts(404)


async def test_racing_writers_are_all_in_the_feed_once(project: Client) -> None:
    async def write(n: int) -> list[tuple[str, int]]:
        done = []
        for step in range(12):
            key = f"k{(n + step) % 3}"
            method = ("PUT", "PATCH", "DELETE", "POST")[(n * 7 + step) % 4]
            body = None if method == "DELETE" else b'{"n":%d}' % n
            reply = await project.ask(method, at("d", key), body)
            if reply.status < 300:
                done.append((f"{method} {key}", reply.json.get("version", 0)))
        return done

    acknowledged = sorted(each for done in await asyncio.gather(*map(write, range(8))) for each in done)
    methods = {"put": "PUT", "patch": "PATCH", "delete": "DELETE", "create": "POST"}
    changes = (await read(project, "d", limit=1000))["changes"]
    assert acknowledged == sorted(
        (f"{methods[each['op']]} {each['key']}", 0 if each["op"] == "delete" else each["version"]) for each in changes
    )
    for key in ("k0", "k1", "k2"):
        version = 0
        for each in (each for each in changes if each["key"] == key):
            assert each["version"] == (version if each["op"] == "delete" else version + 1)
            version = 0 if each["op"] == "delete" else each["version"]
