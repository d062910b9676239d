"""Tests that a stream of events holds at most one piece in memory, however slowly its client reads."""

import asyncio
import socket
from collections.abc import AsyncIterator

import pytest
from aiohttp import web

from service.api.dialect import Stream
from service.http import edge

PIECE = b"x" * 60_000
PIECES = 200  # more than the kernel buffers


class Follower:
    """The part of a follower that sending uses."""

    def abort(self) -> None: ...

    def forget_client(self) -> None: ...


@pytest.mark.parametrize("follower", [Follower(), None])
async def test_a_stream_gets_its_next_piece_when_the_last_one_was_sent(
    follower: Follower | None,
) -> None:
    left: list[int] = []

    async def pieces(request: web.BaseRequest) -> AsyncIterator[bytes]:
        for _ in range(PIECES):
            assert request.transport is not None
            left.append(request.transport.get_write_buffer_size())
            yield PIECE

    async def handle(request: web.BaseRequest) -> web.StreamResponse:
        stream = Stream(200, pieces(request), "text/event-stream", follower=follower)  # type: ignore[arg-type]
        return await edge.send(request, stream, (), closing=True)

    runner = web.ServerRunner(edge.Server(handle))
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        assert await asyncio.to_thread(read_all, runner.addresses[0][1]) > PIECES * len(PIECE)
    finally:
        await runner.cleanup()
    assert len(left) == PIECES
    assert (max(left) == 0) == (follower is not None)


async def test_a_stream_whose_connection_is_cut_off_is_closed_at_once() -> None:
    ended = asyncio.Event()

    class Cut(Follower):
        def leave(self) -> None: ...

    follower = Cut()

    async def pieces() -> AsyncIterator[bytes]:
        try:
            while True:
                yield PIECE
        finally:
            ended.set()

    body = pieces()  # referenced here, so that only the sender can close it

    async def handle(request: web.BaseRequest) -> web.StreamResponse:
        return await edge.send(request, Stream(200, body, "text/event-stream", follower=follower), (), closing=True)  # type: ignore[arg-type]

    runner = web.ServerRunner(edge.Server(handle))
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        reader, writer = await asyncio.open_connection("127.0.0.1", runner.addresses[0][1], limit=1024)
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        await reader.readuntil(b"\r\n\r\n")
        await asyncio.sleep(0.2)  # long enough to wait for the client
        follower.abort()
        async with asyncio.timeout(20):
            await ended.wait()
        writer.close()
    finally:
        await runner.cleanup()


def read_all(port: int) -> int:
    """Send a request, read until the server closes the connection, and return the number of bytes."""
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect(("127.0.0.1", port))
        client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        count = 0
        while piece := client.recv(4096):
            count += len(piece)
    return count
