"""The driver: steps the handler of a request on its connection, without a task and without a future.

A handler is a coroutine that awaits replies of Redis (storage/scripts/reply.py). Each reply steps it on, in the midst
of the reading of replies, and at its end the answer is written.
"""

import logging
from collections.abc import AsyncIterator, Callable, Mapping
from time import perf_counter
from typing import Any, Protocol

from msgspec import Struct

from service.api.dialect import Answer, Dialect, Request, Route, Stream
from service.http.heads import Head, target
from service.http.rendering import dated, rendered
from service.http.state import State, opened
from service.storage.access.directory import Caller
from service.storage.errors import TooLarge
from service.storage.keys import is_unreserved
from service.storage.scripts.reply import Driver

WHOLE_LINES = 32  # request lines with a query whose meanings are kept for one head, first come first served

log = logging.getLogger(__name__)


class Connection(Protocol):
    """The connection that an exchange answers on."""

    def end(self, response: bytes) -> None:
        """Send the response; the exchange is over."""

    def hand_over(self, exchange: "Exchange", answer: Stream) -> None:
        """Let aiohttp send an answer that is long; the exchange is over."""

    def close(self) -> None: ...


class Exchange(Driver):
    """One request and its handler. Whatever fails on the way fails for this request alone."""

    connection: Connection
    state: State
    dialect: Dialect
    template: str  # the route's
    request: Request
    started: float  # perf_counter()
    learning: tuple[Head, int] | None = None  # the head that will know the caller, and the directory generation
    streaming: bool = False

    def ended(self, answer: Answer | Stream) -> None:
        """Send the answer."""
        if isinstance(answer, Stream):
            if self.streaming:
                self.connection.hand_over(self, answer)
                return
            self.streaming = True
            self.coroutine = opened(answer)
            self.set_result(None)
            return
        if self.learning is not None:
            head, generation = self.learning
            caller = self.request.caller
            if caller.rate is None and caller.expires is None:
                head.admitted[self.dialect.name] = Admitted(generation, caller, self.request.declared)
        try:
            response = self._response(answer)
        except Exception as error:
            self.failed(error)
        else:
            self.connection.end(response)

    def failed(self, error: BaseException) -> None:
        """Send the dialect's way to say no."""
        request, response = self.request, b""
        try:
            answer = self.state.middleware.refused(self.dialect, request.params, error, request.method, request.headers)
            response = self._response(answer)
        except Exception:
            log.exception("a refusal cannot be told")
            self.connection.close()
        self.connection.end(response)

    def _response(self, answer: Answer) -> bytes:
        state, request, now = self.state, self.request, perf_counter()
        answer = state.middleware.answered(
            answer, self.dialect, self.template, request.method, request.headers, now - self.started
        )
        return rendered(answer, self.dialect.lines, dated(now), closing=state.draining)


class Arrived(Struct):
    """A body that has arrived."""

    @property
    def complete(self) -> bool:
        return True

    whole: bytes

    async def read(self, limit: int) -> bytes:
        if len(self.whole) > limit:
            raise TooLarge(f"the body is over the limit of {limit} bytes")
        return self.whole

    async def pieces(self, limit: int) -> AsyncIterator[bytes]:
        yield await self.read(limit)


EMPTY = Arrived(b"")


class Meaning(Struct):
    """The route of a request line: of a whole one or, where `query` is None, any that begins so, whatever the last
    segment of its path, which is a parameter."""

    dialect: Dialect
    route: Route
    method: str
    params: tuple[str, ...]  # but for the last where `query` is None
    query: str | None


class Admitted(Struct):
    """The caller that a head shows to one dialect. Valid while the directory's generation is the one it was read at."""

    generation: int
    caller: Caller
    declared: Mapping[str, Any] | None


Make = Callable[..., Exchange]  # of an exchange whose caller is known


def recognised(
    connection: Connection, state: State, head: Head, line: bytes, body: bytes, make: Make = Exchange
) -> Exchange | None:
    """The exchange that begins with a message that the parser did not see, if its line is of the plainest form."""
    start, _, last = line.rpartition(b"/")
    meaning: Meaning | None = head.meanings.get(start)
    arrived = Arrived(body) if body else EMPTY
    if meaning is not None and meaning.query is None and (last.isalnum() or is_unreserved(last)):
        params, query = (*meaning.params, last.decode()), ""
    else:
        meaning = head.meanings.get(line)
        if meaning is None or meaning.query is None:
            found = target(line)
            return None if found is None else begun(connection, state, head, *found, arrived, line, make)
        params, query = meaning.params, meaning.query
    admitted = head.admitted.get(meaning.dialect.name)
    if admitted is None or admitted.generation != state.service.directory.generation:
        request = Request(meaning.method, params, query, head.headers, arrived, state.service)
        return _exchange(connection, state, head, meaning.dialect, meaning.route, request, "", make)
    request = Request(
        meaning.method, params, query, head.headers, arrived, state.service, admitted.caller, admitted.declared
    )
    handling, template = meaning.route.handler(request), meaning.route.template
    return make(handling, connection, state, meaning.dialect, template, request, perf_counter())


def begun(
    connection: Connection,
    state: State,
    head: Head,
    method: str,
    target: str,
    body: Arrived,
    line: bytes = b"",
    make: Make = Exchange,
) -> Exchange | None:
    """The exchange that begins with this message, None where no route is found: that is said elsewhere. `line` is what
    it begins with, where its meaning may be kept."""
    path, _, query = target.partition("?")
    if method == "HEAD" or (found := state.found(method, path)) is None:
        return None
    dialect, route, params = found
    if query and len(head.meanings) < WHOLE_LINES:
        head.mean(line, Meaning(dialect, route, method, params, query))
    elif not query and state.router.varies(path):
        head.mean(line.rpartition(b"/")[0], Meaning(dialect, route, method, params[:-1], None))
    request = Request(method, params, query, head.headers, body, state.service)
    return _exchange(connection, state, head, dialect, route, request, path, make)


def _exchange(
    connection: Connection,
    state: State,
    head: Head,
    dialect: Dialect,
    route: Route,
    request: Request,
    path: str,
    make: Make,
) -> Exchange:
    generation, admitted = state.service.directory.generation, head.admitted.get(dialect.name)
    if admitted is not None and admitted.generation == generation:
        request.caller, request.declared = admitted.caller, admitted.declared
        return make(route.handler(request), connection, state, dialect, route.template, request, perf_counter())
    learning = (head, generation) if head.kept is not None and generation is not None and not route.open else None
    handling = state.middleware.handled(dialect, route, request, path)
    return Exchange(handling, connection, state, dialect, route.template, request, perf_counter(), learning)
