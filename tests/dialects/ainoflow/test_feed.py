"""Tests the live feed: long polls and server-sent events, and every way in which they end."""

import asyncio
import signal
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from aiohttp import ClientSession

from service.storage.access.directory import FRESH, POLL
from service.storage.feed.watcher import TICK
from tests.dialects.ainoflow.client import Client, at, declare, on_the_wire, open_project
from tests.dialects.ainoflow.events import EVENTS, Stream, feed, follow, keep_journal, listed
from tests.running import Running, soon

Serve = Callable[..., Running]
WAYS = [{}, {"fast_path": False}, {"read_cache_bytes": 0}, {"workers": 2}]


@pytest.fixture
async def journaled(project: Client) -> Client:
    await keep_journal(project)
    return project


async def begun(serve: Serve, http: ClientSession, **settings: object) -> Client:
    """Start a service for this test, and return a project in it that keeps a journal."""
    project = await open_project(serve(**settings), http)
    await keep_journal(project)
    return project


async def gauge(project: Client, name: str) -> float:
    """Return a metric of the service; its workers report it every second."""
    (value,) = await gauges(project, name)
    return value


async def gauges(project: Client, *names: str) -> list[float]:
    async with project.http.get(project.running.ops_url + "/metrics") as response:
        lines = (await response.text()).splitlines()
    return [next(float(line.split()[-1]) for line in lines if line.startswith(name)) for name in names]


async def change(project: Client, category: str) -> None:
    """Make one change of each kind that a client can make."""
    await project.ask("POST", at(category, "a"), b'{"n":\n1}')
    await project.put(category, "a", b'{"n":  2}')
    await project.ask("PATCH", at(category, "a"), b'{"m":3}')
    await project.ask("DELETE", at(category, "a"))


@pytest.mark.parametrize("settings", WAYS, ids=str)
async def test_a_stream_has_each_change_as_the_page_has_it(
    serve: Serve, http: ClientSession, settings: dict[str, object]
) -> None:
    project = await begun(serve, http, **settings)
    await change(project, "c")
    stream = await follow(project, "c")
    live = await follow(project, "c", since="now")
    await change(project, "c")
    pages = await listed(project, "c")
    assert [each["op"] for each in pages] == ["create", "put", "patch", "delete"] * 2
    found = await stream.take(8)
    assert [event.data for event in found] == pages
    assert [event.cursor for event in found] == [each["cursor"] for each in pages]
    assert {event.name for event in found} == {"change"}
    assert await live.take(4) == found[4:]


@pytest.mark.parametrize("settings", WAYS, ids=str)
async def test_a_poll_is_answered_as_soon_as_there_is_a_change(
    serve: Serve, http: ClientSession, settings: dict[str, object]
) -> None:
    project = await begun(serve, http, **settings)
    now = (await project.ask("GET", feed("c", since="now"))).json
    assert now["changes"] == []
    polls = [asyncio.create_task(project.ask("GET", feed("c", since=now["next"], wait=60))) for _ in range(5)]
    await asyncio.sleep(0.3)
    assert not any(poll.done() for poll in polls)
    await project.put("c", "k")
    pages = await listed(project, "c")
    async with asyncio.timeout(20):
        for poll in polls:
            assert (await poll).json == {
                "category": "c",
                "changes": pages,
                "next": pages[-1]["cursor"],
                "more": False,
            }


async def test_a_poll_without_a_change_ends_after_its_wait_with_the_same_cursor(journaled: Client) -> None:
    now = (await journaled.ask("GET", feed("c", since="now"))).json["next"]
    answer = await journaled.ask("GET", feed("c", since=now, wait=1))
    assert answer.json == {"category": "c", "changes": [], "next": now, "more": False}


async def test_a_poll_with_changes_does_not_wait(journaled: Client) -> None:
    await journaled.put("c", "k")
    async with asyncio.timeout(20):
        assert len((await journaled.ask("GET", feed("c", wait=60))).json["changes"]) == 1


@pytest.mark.parametrize("wait", ["-1", "61", "x", "1.5"])
async def test_an_invalid_wait_is_refused(journaled: Client, wait: str) -> None:
    assert "`wait`" in (await journaled.ask("GET", feed("c", wait=wait))).refused(400)


async def test_a_stream_is_resumed_after_its_last_event_and_the_header_counts_before_since(journaled: Client) -> None:
    await change(journaled, "c")
    stream = await follow(journaled, "c")
    first = await stream.take(2)
    stream.response.close()
    again = await follow(journaled, "c", first[-1].cursor, since="now")
    assert first + await again.take(2) == await (await follow(journaled, "c")).take(4)


async def test_the_head_of_a_stream_comes_before_its_first_event(journaled: Client) -> None:
    async with asyncio.timeout(20):
        stream = await follow(journaled, "nothing")
    await journaled.put("nothing", "k")
    assert [event.data["key"] for event in await stream.take(1)] == ["k"]


async def test_head_requests_and_http_1_0_clients_are_answered(journaled: Client) -> None:
    await journaled.put("c", "k")
    head = await journaled.ask("HEAD", feed("c"), Accept=EVENTS)
    assert (head.status, head.headers["Content-Type"]) == (200, "text/event-stream")
    assert (await journaled.ask("HEAD", feed("c", wait=60))).status == 200
    request = f"GET {feed('c', since='now', wait=1)} HTTP/1.0\r\nAuthorization: Bearer {journaled.key}\r\n\r\n"
    assert (await on_the_wire(journaled.running, request.encode())).json["changes"] == []


async def test_a_feed_without_a_journal_is_404_and_one_with_a_wrong_cursor_400(project: Client) -> None:
    assert (await project.ask("GET", feed("c"), Accept=EVENTS)).status == 404
    await keep_journal(project)
    assert (await project.ask("GET", feed("c", since="x"), Accept=EVENTS)).status == 400
    assert (await project.ask("GET", feed("c"), Accept=EVENTS, Last_Event_ID="x")).status == 400
    assert (await project.ask("GET", feed("c", since="x", wait=1))).status == 400


async def test_a_cursor_that_was_trimmed_is_410_with_the_oldest(project: Client) -> None:
    await keep_journal(project, entries=1)
    await project.put("c", "k")
    first = (await listed(project, "c"))[0]["cursor"]
    for _ in range(300):
        await project.put("c", "k")
    refused = await project.ask("GET", feed("c"), Accept=EVENTS, Last_Event_ID=first)
    assert refused.status == 410
    oldest = refused.json["error"]["oldest"]
    assert (await project.ask("GET", feed("c", since=oldest, wait=1))).status == 200
    assert (await project.ask("GET", feed("c", since=first, wait=1))).status == 410


async def ended(stream: Stream, poll: "asyncio.Task[Any]") -> Any:
    """Wait until poll and stream have ended; return the answer to the poll."""
    async with asyncio.timeout(20):
        assert await stream.rest() == []
        return await poll


@pytest.mark.parametrize(
    ("section", "status"),
    [({"keys": [{"id": "ID", "remove": True}]}, 401), ({"projects": [{"id": "ID", "remove": True}]}, 404)],
    ids=["key", "journal"],
)
async def test_a_feed_ends_with_the_key_or_the_journal(
    journaled: Client, section: dict[str, list[dict[str, object]]], status: int
) -> None:
    stream = await follow(journaled, "c", since="now")
    poll = asyncio.create_task(journaled.ask("GET", feed("c", since="now", wait=60)))
    busy = await follow(journaled, "busy", since="now")
    other = Client(journaled.http, journaled.running, f"other-{journaled.key}", journaled.project)
    key = {"key": other.key, "id": other.key, "project": journaled.project}
    await declare(journaled.running, journaled.http, {"keys": [key]})
    writing = asyncio.create_task(keep_writing(other, "busy"))
    await busy.take(1)
    named = {name: [entry | {"id": journaled.project} for entry in entries] for name, entries in section.items()}
    await declare(journaled.running, journaled.http, named)
    revoked = datetime.now(UTC)
    assert (await ended(stream, poll)).status == status
    changes = [datetime.fromisoformat(event.data["at"]) for event in await busy.rest()]
    writing.cancel()
    assert max(changes, default=revoked) <= revoked + timedelta(seconds=1)


async def keep_writing(project: Client, category: str) -> None:
    while True:
        await project.put(category, "k")


def test_a_change_of_access_is_noticed_early_enough_to_end_feeds_within_a_second() -> None:
    assert POLL + TICK < FRESH <= 1.0


async def test_a_change_of_access_of_other_callers_ends_no_feed(journaled: Client, http: ClientSession) -> None:
    stream = await follow(journaled, "c", since="now")
    await open_project(journaled.running, http)
    await asyncio.sleep(1)
    await journaled.put("c", "k")
    assert len(await stream.take(1)) == 1


async def test_in_a_drain_polls_get_no_changes_and_streams_end(serve: Serve, http: ClientSession) -> None:
    project = await begun(serve, http)
    now = (await project.ask("GET", feed("c", since="now"))).json["next"]
    stream = await follow(project, "c", since="now")
    poll = asyncio.create_task(project.ask("GET", feed("c", since=now, wait=60)))
    await asyncio.sleep(0.5)
    project.running.send(signal.SIGTERM)
    answer = (await ended(stream, poll)).json
    assert (answer["changes"], answer["next"]) == ([], now)
    assert project.running.ended() == 0


@pytest.mark.parametrize("settings", WAYS[:2], ids=str)
async def test_clients_that_go_away_leave_nothing_behind(
    serve: Serve, http: ClientSession, settings: dict[str, object]
) -> None:
    project = await begun(serve, http, **settings)
    streams = [await follow(project, "c", since="now") for _ in range(10)]
    polls = [asyncio.create_task(project.ask("GET", feed("c", since="now", wait=60))) for _ in range(10)]

    async def followers(count: int) -> bool:
        return await gauge(project, "polystow_feed_followers") == count

    await soon(lambda: followers(20))
    for stream in streams:
        stream.response.close()
    for poll in polls:
        poll.cancel()
    await soon(lambda: followers(0))
    assert await gauge(project, "polystow_requests_in_flight") == 0


async def test_a_client_that_does_not_read_is_cut_off_and_others_are_not(serve: Serve, http: ClientSession) -> None:
    project = await begun(serve, http)
    host, port = project.running.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port), limit=1024)
    writer.write(f"GET {feed('c')} HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\n".encode())
    writer.write(f"Authorization: Bearer {project.key}\r\n\r\n".encode())
    stream = await follow(project, "c")
    body = b'["%b"]' % (b"x" * 30_000)
    count = 0
    while not await gauge(project, "polystow_feed_cut_total"):
        # Far less at once than may wait for a client, so that the one that reads is never cut off.
        await asyncio.gather(*(project.put("c", f"k{number}", body) for number in range(10)))
        count += 10
        assert len(await stream.take(10)) == 10
        assert count < 5_000
    with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
        await reader.readexactly(count * len(body))
    writer.close()


async def test_a_browser_on_another_origin_can_resume_a_stream(serve: Serve, http: ClientSession) -> None:
    running = serve(cors_origins="https://app.example")
    asked = {"Origin": "https://app.example", "Access-Control-Request-Method": "GET"}
    async with http.options(running.url + feed("c"), headers=asked) as response:
        assert "last-event-id" in response.headers["Access-Control-Allow-Headers"].split(", ")
