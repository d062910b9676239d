"""Tests hostile clients of the feed: sockets that are cut, half closed, flooded, or never read."""

import asyncio
import os
import signal
import socket
import struct
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from time import monotonic

import pytest
from aiohttp import ClientSession

from tests.dialects.ainoflow.client import Client, open_project
from tests.dialects.ainoflow.events import EVENTS, feed, keep_journal
from tests.dialects.ainoflow.test_feed import gauge, gauges
from tests.lengths import either
from tests.running import Running, soon

BODY = b'["%b"]' % (b"x" * 31_896)
RESET = struct.pack("ii", 1, 0)  # SO_LINGER: close with a reset


@pytest.fixture
async def project(serve: Callable[..., Running], http: ClientSession) -> Client:
    """A project of a service of its own."""
    return await begun(serve(), http)


@pytest.fixture(scope="module")
def common() -> Iterator[Running]:
    with Running() as running:
        yield running.wait_ready()


@pytest.fixture
async def another(common: Running, http: ClientSession) -> Client:
    """A project of a service that tests share whose requests are answered at once."""
    return await begun(common, http)


async def begun(running: Running, http: ClientSession) -> Client:
    found = await open_project(running, http)
    await keep_journal(found)
    return found


def asking(project: Client, target: str, *lines: str, version: str = "1.1", method: str = "GET") -> bytes:
    """Return a request for a stream."""
    head = [f"{method} {target} HTTP/{version}", "Host: x", f"Authorization: Bearer {project.key}", f"Accept: {EVENTS}"]
    return "\r\n".join([*head, *lines, "", ""]).encode()


def connected(project: Client, received: int = 0) -> socket.socket:
    """Connect; about `received` bytes of answers wait in this side's kernel at most."""
    host, port = project.running.url.removeprefix("http://").split(":")
    client = socket.socket()
    if received:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, received)
    client.settimeout(30)
    client.connect((host, int(port)))
    return client


def head_of(client: socket.socket) -> bytes:
    got = b""
    while b"\r\n\r\n" not in got:
        piece = client.recv(1)
        assert piece, got
        got += piece
    return got


def rest_of(client: socket.socket) -> bytes:
    got = bytearray()
    with suppress(ConnectionError):
        while piece := client.recv(65_536):
            got += piece
    return bytes(got)


async def nothing_is_left(project: Client) -> None:
    async def left() -> bool:
        names = ("polystow_feed_followers", "polystow_feed_unread_bytes", "polystow_requests_in_flight")
        return not any(await gauges(project, *names))

    await soon(left)
    assert "Traceback" not in project.running.log


async def followed(project: Client, count: int) -> None:
    async def all_are() -> bool:
        return await gauge(project, "polystow_feed_followers") == count

    await soon(all_are)


async def test_a_stream_ends_when_the_client_closes_its_side(project: Client) -> None:
    with connected(project) as client:
        client.sendall(asking(project, feed("c", since="now")))
        await asyncio.to_thread(head_of, client)
        client.shutdown(socket.SHUT_WR)
        assert b"event" not in await asyncio.to_thread(rest_of, client)
    await nothing_is_left(project)


async def test_requests_after_a_stream_wait_for_its_end_and_take_little_memory(project: Client) -> None:
    """When the client leaves, its stream is gone with the next events, though nothing is read from it."""
    with connected(project) as client:
        client.sendall(asking(project, feed("c", since="now")))
        await asyncio.to_thread(head_of, client)
        client.setblocking(False)
        flood = asking(project, feed("c")) * 1_000
        sent = 0
        with suppress(BlockingIOError):
            while sent < 50_000_000:
                sent += client.send(flood)
                await asyncio.sleep(0.01)
        assert sent < 50_000_000
        await project.put("c", "k", b"{}")
        client.settimeout(30)
        assert (await asyncio.to_thread(client.recv, 65_536)).count(b"event: change") == 1
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    for number in range(3):
        await project.put("c", f"k{number}", b"{}")
    await nothing_is_left(project)


@pytest.mark.parametrize(
    "cursor",
    [
        "x",
        "-1",
        "1-2-3",
        "9" * 30 + "-0",
        "1-" + "9" * 30,
        "0x1-0",
        "1-0\x01",
        "\u0661-0",
        "\xff",
        "1 - 0",
        "null",
        "+1-0",
    ],
    ids=lambda cursor: ascii(cursor[:12]),
)
async def test_an_invalid_last_event_id_is_refused(another: Client, cursor: str) -> None:
    with connected(another) as client:
        request = asking(another, feed("c"), "Last-Event-ID: CURSOR", "Connection: close")
        client.sendall(request.replace(b"CURSOR", cursor.encode()))
        answer = await asyncio.to_thread(rest_of, client)
    assert answer.startswith(b"HTTP/1.1 400 ")
    await nothing_is_left(another)


async def test_two_last_event_ids_are_refused(another: Client) -> None:
    """One of them would be skipped, and with it changes, or some would be sent again."""
    with connected(another) as client:
        client.sendall(asking(another, feed("c"), "Last-Event-ID: 0-0", "Last-Event-ID: 1-1", "Connection: close"))
        assert (await asyncio.to_thread(rest_of, client)).startswith(b"HTTP/1.1 400 ")


async def test_all_lines_of_accept_count(another: Client) -> None:
    with connected(another) as client:
        head = asking(another, feed("c"), "Connection: close", method="HEAD")
        client.sendall(head.replace(b"Accept: ", b"Accept: application/json\r\nAccept: "))
        assert b"Content-Type: text/event-stream\r\n" in await asyncio.to_thread(rest_of, client)


@pytest.mark.parametrize("cursor", ["9999999999999-0", "1-1", "0-1"])
async def test_an_unknown_last_event_id_is_410(another: Client, cursor: str) -> None:
    await another.put("c", "k", b"{}")
    with connected(another) as client:
        client.sendall(asking(another, feed("c"), f"Last-Event-ID: {cursor}", "Connection: close"))
        assert (await asyncio.to_thread(rest_of, client)).startswith(b"HTTP/1.1 410 ")


def cut(project: Client, number: int) -> None:
    """Ask for a stream or a poll, and reset the connection at one of several moments."""
    request = asking(project, feed(f"c{number % 7}", since="oldest" if number % 2 else "now"))
    if number % 3 == 0:
        request = asking(project, feed("c", since="now", wait=60)).replace(EVENTS.encode(), b"*/*")
    with connected(project) as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        moment = number % 5
        client.sendall(request[: len(request) // 2] if moment == 0 else request)
        if moment >= 2 and number % 3:
            client.recv(1 if moment == 2 else 65_536)
        if moment == 4:
            client.sendall(request)


async def test_thousands_of_connections_that_are_cut_leave_nothing_behind(project: Client) -> None:
    for number in range(7):
        await project.put(f"c{number}", "k", BODY)
    (worker,) = project.running.worker_pids()
    before = len(os.listdir(f"/proc/{worker}/fd"))

    def cuts() -> None:
        for number in range(either(1_000, 10_000)):
            cut(project, number)

    cutting = asyncio.create_task(asyncio.to_thread(cuts))
    while not cutting.done():
        await project.put("c1", "k", b"{}")
        await asyncio.sleep(0.005)
    await cutting
    await nothing_is_left(project)

    async def closed() -> bool:
        return len(os.listdir(f"/proc/{worker}/fd")) <= before + 5

    await soon(closed)


@pytest.mark.parametrize("lines", [(), ("Connection: keep-alive",)], ids=["close", "keep-alive"])
async def test_a_stream_over_http_1_0_ends_with_its_connection(project: Client, lines: tuple[str, ...]) -> None:
    """HTTP/1.0 has no other way to say that an answer of unknown length is over."""
    with connected(project) as client:
        client.sendall(asking(project, feed("c", since="now"), *lines, version="1.0"))
        head = await asyncio.to_thread(head_of, client)
        assert b"Transfer-Encoding" not in head
        assert b"keep-alive" not in head.lower()
        await project.put("c", "k", b"{}")
        assert (await asyncio.to_thread(client.recv, 65_536)).startswith(b"event: change\nid: ")
        project.running.send(signal.SIGTERM)
        assert await asyncio.to_thread(rest_of, client) == b""
    assert project.running.ended() == 0


async def test_a_head_request_leaves_no_follower(project: Client) -> None:
    with connected(project) as client:
        client.sendall(asking(project, feed("c", since="now"), method="HEAD") * 20)
        for _ in range(20):
            assert (await asyncio.to_thread(head_of, client)).startswith(b"HTTP/1.1 200 ")
        await nothing_is_left(project)


async def test_a_stream_that_is_read_byte_by_byte_is_complete(project: Client) -> None:
    for number in range(4):
        await project.put("c", f"k{number}", BODY)
    with connected(project) as client:
        client.sendall(asking(project, feed("c"), version="1.0"))
        await asyncio.to_thread(head_of, client)

        def slowly() -> bytes:
            got, ends = bytearray(), 0
            while ends < 4:
                got += client.recv(1)
                ends += got.endswith(b"\n\n")
            return bytes(got)

        got = await asyncio.to_thread(slowly)
    assert got.count(BODY) == 4
    await nothing_is_left(project)


async def test_a_worker_stops_in_time_while_streams_are_not_read(
    serve: Callable[..., Running], http: ClientSession
) -> None:
    project = await open_project(serve(drain_seconds=0), http)
    await keep_journal(project)
    for number in range(10):
        await project.put("c", f"k{number}", BODY)
    with ExitStack() as opened:
        for _ in range(100):
            client = opened.enter_context(connected(project, received=4096))
            client.sendall(asking(project, feed("c")))
        await followed(project, 100)
        begun = monotonic()
        project.running.send(signal.SIGTERM)
        assert await asyncio.to_thread(project.running.ended) == 0
        assert monotonic() - begun < 30
