"""Tests the history of a document, and the restoring of an earlier version."""

from typing import Any

import pytest

from service.storage.records.record import etag
from tests.dialects.ainoflow.client import Client, Reply, at
from tests.dialects.ainoflow.test_changes import read

pytestmark = pytest.mark.journal


async def history(project: Client, key: str, **query: object) -> Any:
    reply = await project.get("d", key, "history", **query)
    assert reply.status == 200, reply.body
    assert list(reply.json) == ["category", "key", "changes", "next"]
    return reply.json


async def restore(project: Client, key: str, cursor: str, **headers: str) -> Reply:
    return await project.ask("POST", at("d", key, "history", cursor), None, **headers)


async def test_a_history_is_newest_first_and_comes_in_pages(project: Client) -> None:
    for n in range(5):
        await project.put("d", "k", b"[%d]" % n)
        await project.put("d", "other")
    await project.ask("DELETE", at("d", "k"))
    everything = await history(project, "k")
    changes = everything["changes"]
    assert (everything["category"], everything["key"], everything["next"]) == ("d", "k", None)
    assert [(each["op"], each["version"]) for each in changes] == [
        ("delete", 5),
        *(("put", n) for n in (5, 4, 3, 2, 1)),
    ]
    assert [each.get("size") for each in changes] == [None, 3, 3, 3, 3, 3]
    assert all("value" not in each for each in changes)
    assert "size" not in changes[0]
    pages, before = [], None
    while True:
        page = await history(project, "k", limit=2, **({"before": before} if before else {}))
        pages += page["changes"]
        before = page["next"]
        if before is None:
            break
    assert pages == changes
    feed = [each for each in (await read(project, "d"))["changes"] if each["key"] == "k"]
    assert [each["cursor"] for each in feed] == [each["cursor"] for each in reversed(changes)]


async def test_before_takes_cursors_that_the_journal_does_not_have(project: Client) -> None:
    await project.put("d", "k")
    assert (await history(project, "k", before="0-0"))["changes"] == []
    assert (await history(project, "k", before="0-1"))["changes"] == []
    assert len((await history(project, "k", before="9" * 16 + "-" + "9" * 16))["changes"]) == 1


async def test_an_unknown_key_has_an_empty_history(project: Client) -> None:
    assert await history(project, "none") == {"category": "d", "key": "none", "changes": [], "next": None}


async def test_a_former_version_of_a_document_can_be_read(project: Client) -> None:
    await project.put("d", "k", b'{ "n": 1 }')
    await project.put("d", "k", b"[2]")
    await project.ask("DELETE", at("d", "k"))
    deleted, _, first = (each["cursor"] for each in (await history(project, "k"))["changes"])
    reply = await project.get("d", "k", "history", first)
    assert (reply.status, reply.body, reply.headers["ETag"]) == (200, b'{ "n": 1 }', f'"{etag(reply.body)}"')
    known = await project.ask("GET", at("d", "k", "history", first), If_None_Match=reply.headers["ETag"])
    assert known.status == 304
    for key, cursor in (("k", deleted), ("other", first), ("k", "1-1")):
        (await project.get("d", key, "history", cursor)).refused(404)
        (await restore(project, key, cursor)).refused(404)
    (await project.get("d", "k", "history", "x")).refused(400)
    (await restore(project, "k", "x")).refused(400)


async def test_a_document_can_be_restored(project: Client) -> None:
    await project.put("d", "k", b"[1]")
    await project.put("d", "k", b"[2]", expiresMs=600_000)
    _, first = (each["cursor"] for each in (await history(project, "k"))["changes"])
    reply = await restore(project, "k", first)
    assert reply.json == {"category": "d", "key": "k", "version": 3, "etag": etag(b"[1]"), "expiresAt": None}
    assert (await project.get("d", "k")).body == b"[1]"
    assert (await project.get("d", "k", "meta")).json["expiresAt"] is None
    last = (await read(project, "d"))["changes"][-1]
    assert (last["op"], last["version"], last["value"]) == ("put", 3, [1])
    await project.ask("DELETE", at("d", "k"))
    (await restore(project, "k", first, If_Match="*")).refused(412)
    assert (await restore(project, "k", first)).json["version"] == 1
    (await restore(project, "k", first, If_Match=f'"{etag(b"[2]")}"')).refused(412)
    assert (await restore(project, "k", first, If_Match=f'"{etag(b"[1]")}"')).json["version"] == 2


async def test_a_repeated_restore_is_carried_out_once(project: Client) -> None:
    await project.put("d", "k", b"[1]")
    [change] = (await history(project, "k"))["changes"]
    replies = [await restore(project, "k", change["cursor"], Idempotency_Key="a") for _ in range(3)]
    assert [reply.json["version"] for reply in replies] == [2, 2, 2]
    assert len((await history(project, "k"))["changes"]) == 2


@pytest.mark.parametrize("query", [{"limit": 0}, {"limit": 1001}, {"before": "x"}, {"before": "now"}])
async def test_an_invalid_cursor_or_limit_is_refused(project: Client, query: dict[str, object]) -> None:
    (await project.get("d", "k", "history", **query)).refused(400)
