"""Between aiohttp and the contract: reads bodies within their limit, sends answers, refuses what is no HTTP.

aiohttp's low-level server is used rather than `web.Application`: routing and refusals are ours (service/routing.py).
"""

import asyncio
import logging
from collections.abc import AsyncIterator
from typing import Any

from aiohttp import web
from aiohttp.http import HttpVersion11
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.web_protocol import MAX_MSG_QUEUE_SIZE, RequestHandler, RequestPayloadError

from service.dialect import BODILESS, JSON, Answer, Stream
from service.patience import BODY_RATE, BODY_SECONDS, HELD_BYTES, Arriving, Unread
from service.storage.errors import Invalid, TooLarge

LINE_BYTES = 65_536  # of a request's first line: so much that a name which is too long is refused by its dialect

log = logging.getLogger(__name__)


class Server(web.Server):
    """aiohttp's low-level server, with connections that refuse in our way what is no HTTP."""

    def __init__(self, handler: Any, *, unread: int = HELD_BYTES, **options: Any) -> None:
        super().__init__(handler, access_log=None, max_line_size=LINE_BYTES, **options)
        self.unread = Unread(unread)

    def __call__(self) -> RequestHandler:
        return Connection(self, loop=self._loop, **self._kwargs)


class Connection(RequestHandler):
    """One connection. What aiohttp itself says of a message that is no HTTP quotes it, perhaps with its credential, and
    it logs a traceback for whatever a stranger sends."""

    __slots__ = ("_unread",)

    def __init__(self, server: "Server", **options: Any) -> None:
        super().__init__(server, **options)
        self._unread = server.unread
        # aiohttp's parser stands still when it thinks that the queue is full, and is woken when the queue has drained
        # from being full. But it counts one too many after a body that came later than its head: then the queue was
        # never full, and the rest of a pipeline waited for ever.
        self._max_msg_queue_size = MAX_MSG_QUEUE_SIZE - 1

    def pause_writing(self) -> None:
        super().pause_writing()
        self._unread.add(self)

    def resume_writing(self) -> None:
        self._unread.remove(self)
        super().resume_writing()

    def connection_lost(self, exc: BaseException | None) -> None:
        self._unread.remove(self)
        super().connection_lost(exc)

    def log_exception(self, *args: Any, **options: Any) -> None:
        # Also where a body that nobody reads any more turns out to be broken (it is no gzip, say).
        if isinstance(error := options.get("exc_info"), RequestPayloadError):
            log.debug("the rest of a body cannot be read: %s", error)
        else:
            super().log_exception(*args, **options)

    def handed_over(self) -> tuple[Any, Stream] | None:
        """An exchange and its answer that was begun on the connection, and is to be sent by aiohttp's task."""
        return None

    def handle_error(
        self, request: web.BaseRequest, status: int = 500, exc: BaseException | None = None, message: str | None = None
    ) -> web.StreamResponse:
        if not isinstance(exc, HttpProcessingError) or request.writer.output_size > 0:
            return super().handle_error(request, status, exc, message)
        log.debug("%s sent what is no HTTP request: %s", request.remote, type(exc).__name__)
        headers = {"Content-Type": JSON, "Server": "polystow"}
        said = b'{"error":{"message":"this is no HTTP request"}}'
        response = web.Response(status=status, body=said, headers=headers)
        response.force_close()
        return response


class Incoming:
    """The body of a request that aiohttp reads."""

    def __init__(self, request: web.BaseRequest, arriving: Arriving) -> None:
        self._request, self._arriving = request, arriving

    async def read(self, limit: int) -> bytes:
        """See Body; Unavailable where there is no room for it among those that are arriving."""
        with self._arriving.body() as body:
            async for piece in self.pieces(limit):
                body.add(piece)
            return bytes(body.received)

    def pieces(self, limit: int) -> AsyncIterator[bytes]:
        return pieces(self._request, limit)


async def pieces(request: web.BaseRequest, limit: int) -> AsyncIterator[bytes]:
    """The body as it arrives; while nobody asks for more, the client is made to wait.

    Raises TooLarge before reading on, as soon as it is known to be over `limit` bytes; Invalid where it is cut off,
    stands still, or does not arrive in time.
    """
    if (request.content_length or 0) > limit:
        raise TooLarge(f"the body is over the limit of {limit} bytes")
    if _awaited(request) and request.transport is not None:
        request.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")  # only now: a refused body is never sent
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
                raise TooLarge(f"the body is over the limit of {limit} bytes")
            yield piece
    except TimeoutError:
        raise Invalid(f"the body stood still, or did not arrive within {seconds:.0f} seconds") from None
    except (RequestPayloadError, HttpProcessingError, ConnectionError):
        raise Invalid("the body is cut off, or not in the encoding that its headers name") from None


def _awaited(request: web.BaseRequest) -> bool:
    """Does the client wait to be told before it sends the body? (RFC 9110, section 10.1.1)"""
    expects = request.headers.get("Expect", "").lower() == "100-continue"
    return expects and request.version >= HttpVersion11 and not request.content.is_eof()


async def send(
    request: web.BaseRequest, answer: Answer | Stream, more: tuple[tuple[str, str], ...], *, closing: bool
) -> web.StreamResponse:
    """Send an answer with some headers more; `closing` asks the client not to use the connection again."""
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
    """Send pieces as fast as the client reads them: `write` waits while the connection's buffer is full."""
    if closing:
        response.force_close()
    response.content_length = answer.length
    await response.prepare(request)
    if request.method != "HEAD":
        async for piece in answer.pieces:
            await response.write(piece)
    await response.write_eof()
    return response
