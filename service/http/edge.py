"""The adapter between aiohttp and the contract of dialects: reads bodies within limits, decompresses, sends answers.

It uses aiohttp's low-level server instead of `web.Application`: routing (http/routing.py) and refusals are our own.
"""

import asyncio
import logging
import socket
import sys
import zlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import suppress
from typing import Any, cast

from aiohttp import web
from aiohttp.http import HttpVersion11
from aiohttp.web_protocol import RequestHandler, RequestPayloadError

from service.api.dialect import BODILESS, Answer, Headers, Request, Stream, Unsupported
from service.http.backpressure import BODY_RATE, BODY_SECONDS, HELD_BYTES, IncomingBodies, SlowReaders
from service.http.parser import BrokenChunks, Fault, Parser
from service.storage.errors import Invalid, TooLarge
from service.storage.feed.follower import Follower

PIECE_BYTES = 262_144  # bytes that are decompressed at a time: 0.3 ms of work
# A compressed body that is stored while it arrives may decompress to at most `FREE_BYTES`, plus `RATIO` bytes for each
# byte received. Without this limit, 61 KB of gzip could become 60 MB in Redis.
FREE_BYTES = 65_536
RATIO = 20
CODINGS = {"gzip": 16 + zlib.MAX_WBITS, "x-gzip": 16 + zlib.MAX_WBITS, "deflate": zlib.MAX_WBITS}
UNSENT_BYTES = 65_536  # limit of the kernel's buffer for a stream that follows changes; by default it has up to 4 MB
LINGER_SECONDS = 2.0  # time for a refused client to close its connection
ACCEPTED = "gzip, deflate, identity"

log = logging.getLogger(__name__)


class Server(web.Server):
    """aiohttp's low-level server, with connections of our own."""

    def __init__(self, handler: Any, *, slow_readers_bytes: int = HELD_BYTES, **options: Any) -> None:
        super().__init__(handler, access_log=None, **options)
        self.slow_readers = SlowReaders(slow_readers_bytes)
        self.slow_followers = SlowReaders(sys.maxsize)

    def __call__(self) -> RequestHandler:
        return Connection(self, loop=self._loop, **self._kwargs)


class Connection(RequestHandler):
    """One connection, with a parser of our own. `asked`: the last request that aiohttp's task got."""

    __slots__ = ("_refused_body", "_server", "_slow_readers", "asked")

    def __init__(self, server: "Server", **options: Any) -> None:
        super().__init__(server, **options)
        self._server = server
        self._slow_readers = server.slow_readers
        self.asked: Request | None = None
        self._parser = parser = Parser(self, self._loop, self._read_bufsize)
        self._refused_body = parser.no_body

    def pause_writing(self) -> None:
        super().pause_writing()
        self._slow_readers.add(self)

    def resume_writing(self) -> None:
        self._slow_readers.remove(self)
        super().resume_writing()

    def follow(self, unsent: int) -> None:
        """Begin to send a stream that follows changes, with a kernel buffer of `unsent` bytes; 0: the stream has ended.

        Its memory is accounted for by its follower (service/storage/feed/unread.py).
        """
        self._slow_readers.remove(self)
        self._slow_readers = self._server.slow_followers if unsent else self._server.slow_readers
        if self._paused:
            self._slow_readers.add(self)
        sock = self.transport.get_extra_info("socket") if self.transport is not None else None
        if sock is not None:
            with suppress(OSError):  # a system without this option has a buffer of its own size
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, unsent)

    def sender(self, *, chunked: bool) -> Callable[[bytes], bool]:
        """Return a function that writes a piece of a stream, and returns False if not all of it could be sent at
        once."""
        transport = self.transport

        def send(piece: bytes) -> bool:
            if transport is None or transport.is_closing():
                return False
            transport.writelines((b"%x\r\n" % len(piece), piece, b"\r\n") if chunked else (piece,))
            return not self._paused

        return send

    async def drain(self) -> None:
        """Wait while the write buffer is full. Raises ConnectionError if the connection is lost."""
        if self._paused:
            await self._drain_helper()

    def connection_lost(self, exc: BaseException | None) -> None:
        self._slow_readers.remove(self)
        self._refused_body.feed_eof()
        if self.asked is not None:
            self.asked.leave()
        if self._waiter is not None and self._waiter.done() and self._task_handler is not None:
            self._task_handler.cancel()  # aiohttp's task was woken, but the connection that it needs is gone
        super().connection_lost(exc)

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        # A refused client may still be sending. Closing the connection at once would make the kernel reset it, and the
        # answer could be lost (RFC 9112, section 9.6): so close only our side, and wait a moment for the client's.
        finished = await super().finish_response(request, resp, start_time)
        if fault(request) is not None and self.transport is not None and not self.transport.is_closing():
            self._lingering_time = LINGER_SECONDS
            self.transport.write_eof()
        return finished

    def log_exception(self, *args: Any, **options: Any) -> None:
        # aiohttp also calls this if the unread rest of a body is malformed, which is not an error of the service.
        if isinstance(error := options.get("exc_info"), RequestPayloadError):
            log.debug("the rest of a body cannot be read: %s", error)
        elif isinstance(error, ConnectionError) and (self.transport is None or self.transport.is_closing()):
            log.debug("the client has left: %s", error)
        else:
            super().log_exception(*args, **options)

    def handed_over(self) -> tuple[Any, Stream] | None:
        """Return an exchange whose answer aiohttp's task has to send, if the fast path has handed one over."""
        return None


def fault(request: web.BaseRequest) -> Fault | None:
    """Return the reason to refuse a request before it is routed, or None (http/parser.py)."""
    return getattr(request._message, "fault", None)


class IncomingBody:
    """The body of a request in aiohttp's task (`api.dialect.Body`)."""

    @property
    def complete(self) -> bool:
        return False

    def __init__(self, request: web.BaseRequest, incoming: IncomingBodies) -> None:
        self._request, self._incoming = request, incoming

    async def read(self, limit: int) -> bytes:
        """Return the whole body. Raises TooLarge, Invalid, Unsupported, and Unavailable if too many bodies arrive."""
        with self._incoming.body() as body:
            async for piece in pieces(self._request, limit, free=limit):
                body.add(piece)
            return bytes(body.received)

    def pieces(self, limit: int) -> AsyncIterator[bytes]:
        return pieces(self._request, limit)


def pieces(request: web.BaseRequest, limit: int, free: int = FREE_BYTES) -> AsyncIterator[bytes]:
    """Yield the body as it arrives, decompressed. Reading from the client pauses until the next piece is asked for.

    Raises TooLarge as soon as the body has more than `limit` bytes, or decompresses to more than `free` bytes plus
    `RATIO` times the bytes received; Invalid if it is cut off, malformed or too slow; Unsupported for a coding that is
    not in `CODINGS`.
    """
    coding = _coding(request.headers)
    received = _received(request, limit)
    return _unpacked(received, coding, limit, free) if coding else received


def _coding(headers: Headers) -> str:
    """Return the content coding of the body (RFC 9110, section 8.4), "" for none. Raises Unsupported."""
    named = [name.strip().lower() for name in ",".join(headers.getall("Content-Encoding", ())).split(",")]
    codings = [name for name in named if name not in ("", "identity")]
    if not codings:
        return ""
    if len(codings) > 1 or codings[0] not in CODINGS:
        raise Unsupported(f"the body's Content-Encoding must be one of {ACCEPTED}", accepted=ACCEPTED)
    return codings[0]


async def _unpacked(received: AsyncIterator[bytes], coding: str, limit: int, free: int) -> AsyncIterator[bytes]:
    unpacker = zlib.decompressobj(CODINGS[coding])
    packed = size = 0
    try:
        async for piece in received:
            packed += len(piece)
            most = min(limit, free + RATIO * packed)
            unpacked = b"all"
            while unpacked and not unpacker.eof:
                unpacked = unpacker.decompress(piece, PIECE_BYTES)
                piece = unpacker.unconsumed_tail
                size += len(unpacked)
                if size > most:
                    raise TooLarge(
                        f"the decompressed body must have at most {limit} bytes"
                        if size > limit
                        else f"the body decompresses to over {RATIO} times its size: send it without Content-Encoding"
                    )
                if unpacked:
                    yield unpacked
                    await asyncio.sleep(0)
            if unpacker.unused_data:
                raise Invalid(f"the body has bytes after the end of its {coding} data")
    except zlib.error:
        raise Invalid(f"the body is not {coding} data, as its Content-Encoding says") from None
    if not unpacker.eof:
        raise Invalid(f"the body ends before the end of its {coding} data")


async def _received(request: web.BaseRequest, limit: int) -> AsyncIterator[bytes]:
    """Yield the body as it is sent. Raises TooLarge, Invalid."""
    if (request.content_length or 0) > limit:
        raise TooLarge(f"the body must have at most {limit} bytes")
    if _expects_continue(request) and request.transport is not None:
        request.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")  # not sent for a body that is refused
    clock = asyncio.get_running_loop().time
    seconds, size = BODY_SECONDS + (request.content_length or limit) / BODY_RATE, 0
    end = clock() + seconds
    try:
        while True:
            async with asyncio.timeout(min(BODY_SECONDS, end - clock())):
                piece = await request.content.readany()
            if not piece:
                return
            size += len(piece)
            if size > limit:
                raise TooLarge(f"the body must have at most {limit} bytes")
            yield piece
    except TimeoutError:
        raise Invalid(f"the body stopped arriving, or did not arrive within {seconds:.0f} seconds") from None
    except BrokenChunks:
        raise Invalid("the body's chunks are malformed (RFC 9112, section 7.1)") from None
    except (RequestPayloadError, ConnectionError):
        raise Invalid("the body was cut off") from None


def _expects_continue(request: web.BaseRequest) -> bool:
    """Return True if the client waits for 100 Continue before it sends the body (RFC 9110, section 10.1.1)."""
    expects = request.headers.get("Expect", "").lower() == "100-continue"
    return expects and request.version >= HttpVersion11 and not request.content.is_eof()


async def send(
    request: web.BaseRequest, answer: Answer | Stream, more: tuple[tuple[str, str], ...], *, closing: bool
) -> web.StreamResponse:
    """Send an answer with `more` headers; `closing` adds `Connection: close`."""
    headers = [*answer.headers, *more, ("Server", "polystow")]
    if answer.status not in BODILESS:
        headers.append(("Content-Type", answer.content_type))
    if isinstance(answer, Stream):
        return await _stream(request, answer, web.StreamResponse(status=answer.status, headers=headers), closing)
    response = web.Response(status=answer.status, body=answer.body or None, headers=headers)
    if closing:
        response.force_close()
    return response


async def _stream(
    request: web.BaseRequest, answer: Stream, response: web.StreamResponse, closing: bool
) -> web.StreamResponse:
    """Send a stream as fast as the client reads it: `write` waits while the connection's buffer is full."""
    if closing:
        response.force_close()
    response.content_length = answer.length
    if answer.follower is not None:
        await _follow(request, answer, answer.follower, response)
        return response
    await response.prepare(request)
    if request.method != "HEAD":
        async for piece in answer.pieces:
            if piece:
                await response.write(piece)
    await response.write_eof()
    return response


async def _follow(request: web.BaseRequest, answer: Stream, follower: Follower, response: web.StreamResponse) -> None:
    """Send a stream that follows changes.

    There may be thousands of them, so only one piece of each is buffered at a time. The buffer counts as full as soon
    as it contains bytes that the kernel has not accepted, and the kernel accepts at most `UNSENT_BYTES`. All clients
    that get a piece share it, so it is neither copied nor kept.
    """
    transport, connection = request.transport, cast(Connection, request.protocol)
    pieces = cast(AsyncGenerator[bytes, None], answer.pieces)
    try:
        if transport is None:
            raise ConnectionResetError("the client has left")
        follower.abort = transport.abort
        connection.follow(UNSENT_BYTES)
        transport.set_write_buffer_limits(high=0)
        await response.prepare(request)
        follower.send = connection.sender(chunked="Transfer-Encoding" in response.headers)
        while request.method != "HEAD" and (piece := await anext(pieces, None)) is not None:
            if transport.is_closing():
                raise ConnectionResetError("the client has left")
            if piece:
                follower.send(piece)
            del piece
            await connection.drain()
    finally:  # after a lost connection the generator is suspended, and its follower would still be counted
        await pieces.aclose()
        follower.forget_client()
    if transport.is_closing():  # the follower has ended because the client has left
        raise ConnectionResetError("the client has left")
    await response.write_eof()
    transport.set_write_buffer_limits()
    connection.follow(0)
