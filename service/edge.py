"""Between aiohttp and the contract: reads a body within its limit, and sends an Answer or a Stream.

aiohttp's low-level server is used rather than `web.Application`: routing and refusals are ours (service/routing.py).
"""

from collections.abc import AsyncIterator

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.web_protocol import RequestPayloadError
from msgspec.structs import replace

from service.dialect import BODILESS, Answer, Stream
from service.storage.errors import Invalid, TooLarge


async def read(request: web.BaseRequest, limit: int) -> bytes:
    """The body. Raises TooLarge before reading on, as soon as it is known to be over `limit` bytes; Invalid."""
    if (request.content_length or 0) > limit:
        raise TooLarge(f"the body is over the limit of {limit} bytes")
    if request.headers.get("Expect", "").lower() == "100-continue" and request.transport is not None:
        request.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")  # only now: a refused body is never sent
    body = bytearray()
    try:
        async for piece in request.content.iter_any():
            body += piece
            if len(body) > limit:
                raise TooLarge(f"the body is over the limit of {limit} bytes")
    except (RequestPayloadError, HttpProcessingError, ConnectionError) as error:
        raise Invalid(f"the body cannot be read: {error}") from None
    return bytes(body)


async def opened(stream: Stream) -> Answer | Stream:
    """A stream whose first pieces were asked for, so that what fails there is still refused properly.

    One that has no second piece is an answer, with its length.
    """
    first = await anext(stream.pieces, b"")
    second = await anext(stream.pieces, None)
    if second is None:
        return Answer(stream.status, first, stream.content_type, stream.headers)
    return replace(stream, pieces=_resumed(first, second, stream.pieces))


async def _resumed(first: bytes, second: bytes, rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield first
    yield second
    async for piece in rest:
        yield piece


async def send(request: web.BaseRequest, answer: Answer | Stream, *, closing: bool) -> web.StreamResponse:
    """Send an answer; `closing` asks the client not to use the connection again."""
    headers = [*answer.headers, ("Server", "polystow")]
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
    await response.prepare(request)
    if request.method != "HEAD":
        async for piece in answer.pieces:
            await response.write(piece)
    await response.write_eof()
    return response
