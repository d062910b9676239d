"""State that the connections of a worker share: routes, what surrounds each handler, how many requests are on their
way."""

from collections.abc import AsyncIterator, Sequence

from msgspec.structs import replace

from service.api.dialect import Answer, Dialect, Service, Stream
from service.http.middleware import Middleware
from service.http.routing import Found, Router
from service.metrics import Meter
from service.openapi.pages import Docs
from service.storage.errors import Refusal


class State:
    """`draining` makes every answer ask the client to close its connection."""

    def __init__(self, service: Service, dialects: Sequence[Dialect], meter: Meter) -> None:
        self.service = service
        self.router = Router(dialects)
        self.docs = Docs(dialects if service.settings.docs else ())
        self.middleware = Middleware(service, meter)
        self.draining = False
        self.in_flight = 0

    def found(self, method: str, path: str) -> Found | None:
        """The route of a request, or None where there is none, or its path is broken."""
        try:
            return self.router.find(method, path)
        except Refusal:
            return None


async def opened(stream: Stream) -> Answer | Stream:
    """A stream whose first pieces were asked for, so that what fails there is still refused properly.

    One that has no second piece is an answer, with its length. A stream that follows something is told when it does.
    """
    first = await anext(stream.pieces, b"")
    if stream.follower is not None:
        return replace(stream, pieces=_begun(first, stream.pieces))
    second = await anext(stream.pieces, None)
    if second is None:
        return Answer(stream.status, first, stream.content_type, stream.headers)
    return replace(stream, pieces=_resumed(first, second, stream.pieces))


async def _resumed(first: bytes, second: bytes, rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield first
    yield second
    async for piece in rest:
        yield piece


async def _begun(first: bytes, rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield first
    async for piece in rest:
        yield piece
