"""Tests feeds and histories with unusual requests, and with unusual names of documents."""

import asyncio

import pytest
from aiohttp import ClientSession

from tests.dialects.ainoflow.client import Client, at, declare, open_project
from tests.dialects.ainoflow.events import EVENTS, feed, follow, keep_journal, listed
from tests.running import soon

pytestmark = pytest.mark.journal

ODD = ["a\nb", "a\r\nid: 0-0\r\n\r\nevent: change", "\u2028\u2029\x85", "\0", "data: x\n\ndata:", "\ufeff"]


async def test_a_cursor_of_another_category_or_project_is_410(project: Client, http: ClientSession) -> None:
    other = await open_project(project.running, http)
    await keep_journal(other)
    for each, category in ((project, "c"), (project, "d"), (other, "c")):
        await each.put(category, "k")
    known = {entry["cursor"] for entry in await listed(project, "c")}
    cursors = []
    for each, category in ((project, "d"), (other, "c")):
        while (cursor := (await listed(each, category))[-1]["cursor"]) in known:  # of the same millisecond
            await each.put(category, "k")
        cursors.append(cursor)
    for cursor in (*cursors, "0-1", "9" * 16 + "-" + "9" * 16):
        for answer in (
            await project.ask("GET", feed("c", since=cursor)),
            await project.ask("GET", feed("c", since=cursor, wait=60)),
            await project.ask("GET", feed("c", since=cursor), Accept=EVENTS),
            await project.ask("GET", feed("c", since="now"), Accept=EVENTS, Last_Event_ID=cursor),
        ):
            answer.refused(410)
            assert answer.json["error"]["oldest"] == "0-0"
        assert (await project.get("c", "k", "history", cursor)).status == 404
        assert (await project.ask("POST", at("c", "k", "history", cursor))).status == 404


@pytest.mark.parametrize("cursor", ["-", "+", "$", "(1-1", "1-1\0", "NOW", " now", "9" * 17 + "-0", "1" * 5000 + "-0"])
async def test_an_invalid_cursor_is_400(project: Client, cursor: str) -> None:
    (await project.ask("GET", feed("c", since=cursor))).refused(400)
    (await project.ask("GET", feed("c", since=cursor), Accept=EVENTS)).refused(400)
    (await project.get("c", "k", "history", before=cursor)).refused(400)
    (await project.get("c", "k", "history", cursor)).refused(400)


@pytest.mark.parametrize("wait", ["-1", "61", "1e1", "0x1", "1.0", "1_0", "\u0661", " 1", "9" * 400])
async def test_an_invalid_wait_is_400_for_streams_too(project: Client, wait: str) -> None:
    for headers in ({}, {"Accept": EVENTS}):
        (await project.ask("GET", feed("c", wait=wait), None, **headers)).refused(400)


@pytest.mark.parametrize(
    ("accept", "streamed"),
    [
        ("TEXT/Event-Stream", True),
        ("application/json, text/event-stream; q=0.1", True),
        ("text/event-stream;charset=utf-8", True),
        ("*/*", False),
        ("text/*", False),
        ("text/event-streams", False),
        ("x-text/event-stream", False),
        ("text/event-stream;q=0", False),
        ("text/event-stream; q = 0.000, application/json", False),
    ],
)
async def test_events_are_sent_to_those_who_accept_them(project: Client, accept: str, streamed: bool) -> None:
    head = await project.ask("HEAD", feed("c"), Accept=accept)
    assert (head.status, head.body) == (200, b"")
    assert head.headers["Content-Type"] == (EVENTS if streamed else "application/json")


async def test_conditions_are_ignored_by_a_feed(project: Client) -> None:
    await project.put("c", "k")
    for headers in ({"If_None_Match": "*"}, {"Range": "bytes=0-3"}):
        assert len((await project.ask("GET", feed("c"), None, **headers)).json["changes"]) == 1


async def test_line_ends_in_names_and_documents_do_not_begin_an_event(project: Client) -> None:
    stream = await follow(project, "c")
    for name in ODD:
        await project.put("c", name, '["\u2028\x85",\r\n\n"x\\n"\r]'.encode())
    found = await stream.take(len(ODD))
    assert [event.data["key"] for event in found] == ODD
    assert [event.data for event in found] == await listed(project, "c")
    assert all(event.cursor == event.data["cursor"] for event in found)
    assert found[0].data["value"] == ["\u2028\x85", "x\n"]


async def test_followers_of_a_category_go_on_when_all_of_its_documents_are_deleted(project: Client) -> None:
    stream = await follow(project, "c")
    for number in range(3):
        await project.put("c", f"k{number}")
    for number in range(3):
        await project.ask("DELETE", at("c", f"k{number}"))
    await project.put("c", "k0")
    assert [event.data["op"] for event in await stream.take(7)] == ["put"] * 3 + ["delete"] * 3 + ["put"]


async def test_a_journal_that_is_declared_again_continues_and_is_404_in_between(project: Client) -> None:
    stream = await follow(project, "c", since="now")
    poll = asyncio.create_task(project.ask("GET", feed("other", since="now", wait=60)))
    await project.put("c", "k")
    cursor = (await stream.take(1))[0].cursor
    await declare(project.running, project.http, {"projects": [{"id": project.project, "remove": True}]})
    assert await stream.rest() == []
    assert (await poll).status == 404

    async def gone() -> bool:
        answers = [await project.ask("GET", feed("c", since=cursor), Connection="close") for _ in range(5)]
        return {answer.status for answer in answers} == {404}

    await soon(gone)
    await project.put("c", "k")
    await keep_journal(project)
    await project.put("c", "k")
    found = (await project.ask("GET", feed("c", since=cursor))).json["changes"]
    assert [change["version"] for change in found] == [3]
    assert [event.data for event in await (await follow(project, "c", cursor)).take(1)] == found


async def test_a_write_refused_by_a_quota_is_not_a_change(project: Client) -> None:
    await project.put("c", "k")
    cursor = (await listed(project, "c"))[-1]["cursor"]
    stream = await follow(project, "c", cursor)
    await declare(
        project.running, project.http, {"projects": [{"id": project.project, "journal": {}, "quota": {"bytes": 1}}]}
    )

    async def refused() -> bool:
        return (await project.ask("POST", at("c", "k", "history", cursor))).status == 429

    await soon(refused)
    await project.ask("DELETE", at("c", "k"))
    found = [change["op"] for change in await listed(project, "c")]
    assert found == ["put"] * (len(found) - 1) + ["delete"]
    assert [event.data["op"] for event in await stream.take(len(found) - 1)] == found[1:]
