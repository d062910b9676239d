"""The driver: runs the handler of a request on its connection, without a task and without a future.

A handler is a coroutine that awaits replies of Redis (storage/scripts/reply.py). Each reply resumes it directly, from
the code that reads replies. When it ends, its answer is written.
"""

import logging
from collections.abc import AsyncIterator, Callable, Mapping
from time import perf_counter
from typing import Any, Protocol

from msgspec import Struct

from service.api.dialect import Answer, Dialect, Request, Route, Stream
from service.http.heads import Head, parse_target
from service.http.rendering import date_lines, render
from service.http.state import State, start_stream
from service.storage.access.directory import Caller
from service.storage.errors import TooLarge
from service.storage.keys import is_unreserved
from service.storage.scripts.reply import Driver

WHOLE_LINES = 32  # limit of request lines with a query that are cached with one head; more are not cached

log = logging.getLogger(__name__)


class Connection(Protocol):
    """The connection that an exchange answers on."""

    def end(self, response: bytes) -> None:
        """Send the response and end the exchange."""

    def hand_over(self, exchange: "Exchange", answer: Stream) -> None:
        """Let aiohttp's task send a long answer, and end the exchange."""

    def close(self) -> None: ...


class Exchange(Driver):
    """One request and its handler. An error in it never affects another request."""

    connection: Connection
    state: State
    dialect: Dialect
    template: str  # the template of the route
    request: Request
    started: float  # perf_counter()
    learns: tuple[Head, int] | None = None  # head in which the caller is to be cached, and generation of the directory
    streaming: bool = False

    def ended(self, answer: Answer | Stream) -> None:
        """Send the answer."""
        if isinstance(answer, Stream):
            if self.streaming:
                self.connection.hand_over(self, answer)
                return
            self.streaming = True
            self.coroutine = start_stream(answer)
            self.set_result(None)
            return
        if self.learns is not None:
            head, generation = self.learns
            caller = self.request.caller
            if caller.rate is None and caller.expires is None:
                head.callers[self.dialect.name] = KnownCaller(generation, caller, self.request.declared)
        try:
            response = self._response(answer)
        except Exception as error:
            self.failed(error)
        else:
            self.connection.end(response)

    def failed(self, error: BaseException) -> None:
        """Send the refusal for an error."""
        request, response = self.request, b""
        try:
            answer = self.state.middleware.refuse(self.dialect, request.params, error, request.method, request.headers)
            response = self._response(answer)
        except Exception:
            log.exception("a refusal cannot be rendered")
            self.connection.close()
        self.connection.end(response)

    def _response(self, answer: Answer) -> bytes:
        state, request, now = self.state, self.request, perf_counter()
        answer = state.middleware.finish(
            answer, self.dialect, self.template, request.method, request.headers, now - self.started
        )
        return render(answer, self.dialect.lines, date_lines(now), closing=state.draining)


class CompleteBody(Struct):
    """A body that has arrived whole (`api.dialect.Body`)."""

    whole: bytes

    @property
    def complete(self) -> bool:
        return True

    async def read(self, limit: int) -> bytes:
        if len(self.whole) > limit:
            raise TooLarge(f"the body must have at most {limit} bytes")
        return self.whole

    async def pieces(self, limit: int) -> AsyncIterator[bytes]:
        yield await self.read(limit)


EMPTY = CompleteBody(b"")


class KnownTarget(Struct):
    """The route of a request line with a query; or, if `query` is None, of all lines without a query that differ only
    in the last segment of the path, which is a parameter."""

    dialect: Dialect
    route: Route
    method: str
    params: tuple[str, ...]  # without the last parameter if `query` is None
    query: str | None


class KnownCaller(Struct):
    """The caller whose credential a head holds, for one dialect. Valid while the directory has this generation."""

    generation: int
    caller: Caller
    declared: Mapping[str, Any] | None


ExchangeType = Callable[..., Exchange]  # the type of an exchange whose caller is known: Exchange or Recording


def begin_known(
    connection: Connection, state: State, head: Head, line: bytes, body: bytes, make: ExchangeType = Exchange
) -> Exchange | None:
    """Begin the exchange of a message that bypassed the parser; None if its request line is not of the simplest
    form."""
    start, _, last = line.rpartition(b"/")
    known: KnownTarget | None = head.targets.get(start)
    arrived = CompleteBody(body) if body else EMPTY
    if known is not None and known.query is None and (last.isalnum() or is_unreserved(last)):
        params, query = (*known.params, last.decode()), ""
    else:
        known = head.targets.get(line)
        if known is None or known.query is None:
            found = parse_target(line)
            return None if found is None else begin_exchange(connection, state, head, *found, arrived, line, make)
        params, query = known.params, known.query
    caller = head.callers.get(known.dialect.name)
    if caller is None or caller.generation != state.service.directory.generation:
        request = Request(known.method, params, query, head.headers, arrived, state.service)
        return _exchange(connection, state, head, known.dialect, known.route, request, "", make)
    request = Request(known.method, params, query, head.headers, arrived, state.service, caller.caller, caller.declared)
    handling, template = known.route.handler(request), known.route.template
    return make(handling, connection, state, known.dialect, template, request, perf_counter())


def begin_exchange(
    connection: Connection,
    state: State,
    head: Head,
    method: str,
    target: str,
    body: CompleteBody,
    line: bytes = b"",
    make: ExchangeType = Exchange,
) -> Exchange | None:
    """Begin the exchange of a message; None if it has no route, which aiohttp's task then refuses.

    `line` is the request line if its route may be cached with the head.
    """
    path, _, query = target.partition("?")
    if method == "HEAD" or (found := state.find_route(method, path)) is None:
        return None
    dialect, route, params = found
    if query and len(head.targets) < WHOLE_LINES:
        head.remember(line, KnownTarget(dialect, route, method, params, query))
    elif not query and state.router.varies(path):
        head.remember(line.rpartition(b"/")[0], KnownTarget(dialect, route, method, params[:-1], None))
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
    make: ExchangeType,
) -> Exchange:
    generation, caller = state.service.directory.generation, head.callers.get(dialect.name)
    if caller is not None and caller.generation == generation:
        request.caller, request.declared = caller.caller, caller.declared
        return make(route.handler(request), connection, state, dialect, route.template, request, perf_counter())
    learns = (head, generation) if head.count_memory is not None and generation is not None and not route.open else None
    handling = state.middleware.handle(dialect, route, request, path)
    return Exchange(handling, connection, state, dialect, route.template, request, perf_counter(), learns)
