"""State that the connections of a worker share: the router, the middleware, the number of requests in flight."""

from collections.abc import AsyncIterator, Sequence

from msgspec.structs import replace

from service.api.dialect import Answer, Dialect, Service, Stream
from service.http.middleware import Middleware
from service.http.routing import Found, Router
from service.metrics import Meter
from service.openapi.pages import Docs
from service.storage.errors import Refusal


class State:
    """The shared state of one worker. While `draining` is set, every answer has `Connection: close`."""

    def __init__(self, service: Service, dialects: Sequence[Dialect], meter: Meter) -> None:
        self.service = service
        self.router = Router(dialects)
        self.docs = Docs(dialects if service.settings.docs else ())
        self.middleware = Middleware(service, dialects, meter)
        self.draining = False
        self.in_flight = 0

    def find_route(self, method: str, path: str) -> Found | None:
        """Return the route of a request; None if there is none, or the path is malformed."""
        try:
            return self.router.find(method, path)
        except Refusal:
            return None


async def start_stream(stream: Stream) -> Answer | Stream:
    """Read the first two pieces of a stream, so that an early failure is still rendered as a refusal.

    A stream with at most one piece is returned as an Answer, with its length. Of a stream that follows changes,
    only the first piece is read, which is empty: the next one may come much later.
    """
    first = await anext(stream.pieces, b"")
    if stream.follower is not None:
        return stream
    second = await anext(stream.pieces, None)
    if second is None:
        return Answer(stream.status, first, stream.content_type, stream.headers)
    return replace(stream, pieces=_resumed(first, second, stream.pieces))


async def _resumed(first: bytes, second: bytes, rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield first
    yield second
    async for piece in rest:
        yield piece
