"""Tests the memory of streams that nobody reads: all of a worker share a limit, and a client cut off loses nothing."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack

import pytest
from aiohttp import ClientSession

from tests.dialects.ainoflow.client import Client, open_project
from tests.dialects.ainoflow.events import close_all, feed, follow, keep_journal, listed
from tests.dialects.ainoflow.test_feed import gauge
from tests.memory import resident_of_worker
from tests.running import Running, soon

MEBIBYTE = 1 << 20
BODY = b'["%b"]' % (b"x" * 31_896)
CATEGORIES = 40
CHANGES = 8  # of each category: more than the kernel takes of a stream


@pytest.fixture(autouse=True)
async def _closed() -> AsyncIterator[None]:
    """Close the streams that a test has left open."""
    yield
    close_all()


async def begun(serve: Callable[..., Running], http: ClientSession) -> Client:
    project = await open_project(serve(feed_unread_bytes=MEBIBYTE), http)
    await keep_journal(project)
    return project


def unread_stream(project: Client, category: str, since: str) -> socket.socket:
    """Ask for a stream, on a socket with the smallest receive buffer."""
    host, port = project.running.url.removeprefix("http://").split(":")
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.connect((host, int(port)))
    head = f"GET {feed(category, since=since)} HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\n"
    client.sendall(f"{head}Authorization: Bearer {project.key}\r\n\r\n".encode())
    return client


def rest(client: socket.socket) -> bytes | None:
    """Read until the connection ends; return None if it goes on."""
    client.settimeout(2.0)  # what was sent before the end is in the kernel
    got = bytearray()
    try:
        while piece := client.recv(65_536):
            got += piece
    except TimeoutError:
        return None
    except ConnectionError:
        pass
    return bytes(got)


async def first_cut(streams: list[socket.socket]) -> tuple[int, str]:
    """Return the number of the first stream that was cut off, and what it was sent."""
    for number, stream in enumerate(streams):
        if got := await asyncio.to_thread(rest, stream):
            return number, got.decode()
    raise AssertionError("no stream was cut off")


async def test_streams_that_nobody_reads_share_one_limit_and_lose_nothing(
    serve: Callable[..., Running], http: ClientSession
) -> None:
    project = await begun(serve, http)
    for number in range(CHANGES):
        await asyncio.gather(*(project.put(f"c{each}", f"k{number}", BODY) for each in range(CATEGORIES)))
    with ExitStack() as opened:
        streams = [opened.enter_context(unread_stream(project, f"c{each}", "oldest")) for each in range(CATEGORIES)]
        least = CATEGORIES - MEBIBYTE // len(BODY)  # each remaining one has a piece of at least one event

        async def cut() -> bool:
            assert await gauge(project, "polystow_feed_unread_bytes") <= MEBIBYTE
            return await gauge(project, "polystow_feed_cut_total") >= least

        await soon(cut)

        async def at_rest() -> bool:
            left = CATEGORIES - await gauge(project, "polystow_feed_cut_total")
            return await gauge(project, "polystow_feed_followers") == left

        await soon(at_rest)
        number, got = await first_cut(streams)
    last = got.rpartition("\nid: ")[2].partition("\n")[0]
    changes = await listed(project, f"c{number}")
    cursors = [change["cursor"] for change in changes]
    seen = cursors.index(last) + (1 if got.rpartition("\ndata: ")[2].count("\n\n") else 0)
    again = await follow(project, f"c{number}", cursors[seen - 1] if seen else "", since="oldest")
    assert [event.data for event in await again.take(CHANGES - seen)] == changes[seen:]


async def test_many_streams_with_the_same_unread_changes_take_little_memory(
    serve: Callable[..., Running], http: ClientSession
) -> None:
    """The clients wait with the same pieces, which are in memory once, so none is cut off because of their number."""
    project = await begun(serve, http)
    count = 300
    with ExitStack() as opened:
        for _ in range(count):
            opened.enter_context(unread_stream(project, "c", "now"))

        async def all_follow() -> bool:
            return await gauge(project, "polystow_feed_followers") == count

        await soon(all_follow)
        before = await asyncio.to_thread(resident_of_worker, project.running)
        for number in range(CHANGES):
            await project.put("c", f"k{number}", BODY)

        async def unread() -> bool:
            return await gauge(project, "polystow_feed_unread_bytes") > 0

        await soon(unread)
        reader = await follow(project, "c", since="oldest")
        assert len(await reader.take(CHANGES)) == CHANGES

        async def all_are_there() -> bool:
            return await gauge(project, "polystow_feed_followers") == count + 1

        await soon(all_are_there)
        assert await gauge(project, "polystow_feed_cut_total") == 0
        after = await asyncio.to_thread(resident_of_worker, project.running)
    assert after - before < count * len(BODY) // 2  # a copy of one event for each would be twice that
