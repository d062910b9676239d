"""The fast path: answers a request that is one command of Redis from the connection itself.

aiohttp's own parser has read the message and the same router finds the route; then there is no task, no stream, no
coroutine and no future, only the route's `direct` function, the command, and its reply told. A request takes this path
when its route has such a function, it has arrived whole, its caller is known, and nothing about it or its connection is
unusual. Every other request is left to aiohttp, untouched: limits, chunked bodies, `Expect`, upgrades, HTTP/1.0, slow
readers and broken messages are aiohttp's business, as ever, and so is what Redis could not do at once.

This leans on names inside aiohttp (`LEANS_ON`). Where one of them is missing, `supported` says so: the service does
without the fast path, and a test fails. `POLYSTOW_FAST_PATH=false` switches it off.
"""

from asyncio import get_running_loop
from collections.abc import Callable
from email.utils import formatdate
from http import HTTPStatus
from time import perf_counter, time
from typing import TYPE_CHECKING, Any

from aiohttp import web
from aiohttp.http import HttpVersion11, RawRequestMessage
from aiohttp.streams import StreamReader
from aiohttp.web_protocol import RequestHandler

from service.dialect import BODILESS, Answer, Dialect, Request, Route
from service.edge import Connection, Server
from service.middleware import Middleware
from service.redis.errors import Failed
from service.storage.errors import Refusal
from service.storage.runner import refusal, repairable

if TYPE_CHECKING:
    from service.app import App

LEANS_ON = (
    "_buffer_paused", "_close", "_force_close", "_handler_waiter", "_keepalive_timeout", "_messages",
    "_next_keepalive_close_time", "_parser", "_paused", "_read_bufsize", "_reading_paused",
    "_request_in_progress", "_waiter",
)  # fmt: skip


def supported() -> bool:
    """Does this aiohttp have the names that the fast path leans on?"""
    return all(hasattr(RequestHandler, name) for name in LEANS_ON)


class HotServer(Server):
    """The server, with connections that know the fast path."""

    def __init__(self, app: "App", handler: Any, **options: Any) -> None:
        super().__init__(handler, **options)
        self._app = app

    def __call__(self) -> RequestHandler:
        return HotConnection(self._app, self, loop=self._loop, **self._kwargs)


class HotConnection(Connection):
    """One connection. While `_exchange` is not None, a hot request is being answered; the next one waits in
    `_messages`, so answers keep the order of their requests."""

    __slots__ = ("_app", "_exchange")

    def __init__(self, app: "App", server: web.Server, **options: Any) -> None:
        super().__init__(server, **options)
        self._app = app
        self._exchange: Exchange | None = None

    def data_received(self, data: bytes) -> None:
        waiter = self._waiter
        if waiter is None or waiter.done():  # aiohttp is at work on an earlier request and will see to this one
            super().data_received(data)
            return
        self._waiter = None  # so that aiohttp parses, but does not wake its task: that is decided below
        try:
            super().data_received(data)
        finally:
            self._waiter = waiter
        if self._exchange is None:
            self._advance()

    def resume_reading(self, resume_parser: bool = True) -> None:
        # aiohttp resumes at the end of every body, also where nothing was paused: a second parsing of nothing and an
        # exception inside, a quarter of what a small PUT costs outside of this service.
        if self._reading_paused:
            super().resume_reading(resume_parser)

    def _advance(self) -> None:
        """Answer what was parsed, one after the other; the first that is not hot goes to aiohttp, and all after it."""
        while self._messages and self._exchange is None and not self._close and not self._force_close:
            message, payload = self._messages[0]
            if not self._begin(message, payload):
                self._hand_over()
                return

    def _hand_over(self) -> None:
        """Let aiohttp answer what waits in `_messages`."""
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _begin(self, message: Any, payload: StreamReader) -> bool:
        """Begin to answer the first message, if it is one for this path."""
        app = self._app
        if (
            type(message) is not RawRequestMessage or message.should_close or message.version != HttpVersion11
            or message.upgrade or not payload.is_eof()
            or self._paused or self._buffer_paused or app.draining
        ):  # fmt: skip
            return False
        method, headers = message.method, message.headers
        path, _, query = message.path.partition("?")
        try:
            dialect, route, params = app.router.find(method, path)
            if route.direct is None or method == "HEAD":
                return False
            caller = app.middleware.known(dialect, headers)
        except Refusal:
            return False
        if caller is None:
            return False
        self._exchange = exchange = Exchange(self, app.middleware, dialect, route)
        exchange.body = body = payload.read_nowait()  # may parse what comes behind: it only queues, an exchange is on
        exchange.request = Request(method, params, query, headers, _arrived, caller, app.service)
        self._request_in_progress = True
        app.in_flight += 1
        try:
            asked = route.direct(exchange.request, body)
        except Exception as error:
            exchange.refuse(error)
            return True
        if asked is None:
            self._restore(body)
            return False
        command, exchange.tell = asked
        app.redis.send(exchange, command.args, key=command.key, write=command.write)
        return True

    def end(self, response: bytes) -> None:
        """The exchange is over: answer, and go on with the next message."""
        self._messages.popleft()
        if self._parser is not None:
            self._parser.message_consumed()
        self._next_keepalive_close_time = self._loop.time() + self._keepalive_timeout
        if self.transport is not None:
            self.transport.write(response)
        self._leave()
        if self._messages:
            self._advance()

    def break_off(self, body: bytes) -> None:
        """The exchange cannot answer: aiohttp does, as if nothing had been."""
        self._restore(body)
        self._hand_over()

    def _restore(self, body: bytes) -> None:
        """Put the message back as it was before its body was read."""
        if body:
            payload = StreamReader(self, self._read_bufsize, loop=self._loop)
            payload.feed_data(body)
            payload.feed_eof()
            self._messages[0] = (self._messages[0][0], payload)
        self._leave()

    def _leave(self) -> None:
        self._exchange = None
        self._request_in_progress = False
        self._app.in_flight -= 1
        if self._handler_waiter is not None and not self._handler_waiter.done():
            self._handler_waiter.set_result(None)


async def _arrived(limit: int) -> bytes:
    raise RuntimeError("a direct route is given the body")


class Exchange:
    """One request and its command; to the lane it is the command's outcome, as a future would be."""

    __slots__ = ("_connection", "_middleware", "_over", "body", "dialect", "request", "route", "started", "tell")

    body: bytes
    request: Request
    tell: Callable[[Any], Answer]

    def __init__(self, connection: HotConnection, middleware: Middleware, dialect: Dialect, route: Route) -> None:
        self._connection = connection
        self._middleware = middleware
        self._over = False
        self.dialect = dialect
        self.route = route
        self.started = perf_counter()

    def done(self) -> bool:
        return self._over

    def set_result(self, reply: Any) -> None:
        """The reply is here: answer at once, in the midst of the reading of replies."""
        try:
            answer = self.tell(reply)
        except Exception as error:
            self.refuse(error)
        else:
            self.finish(answer)

    def set_exception(self, error: Failed) -> None:
        """The command failed. What comes of it may send again, so it must wait until the queues are at rest."""
        self._over = True
        get_running_loop().call_soon(self._fail, error)

    def _fail(self, error: Failed) -> None:
        if repairable(error):
            self._connection.break_off(self.body)
        else:
            self.refuse(refusal(error))

    def refuse(self, error: Exception) -> None:
        request = self.request
        self.finish(self._middleware.refused(self.dialect, request.params, error, request.headers))

    def finish(self, answer: Answer) -> None:
        self._over = True
        request, middleware = self.request, self._middleware
        template, method, headers = self.route.template, request.method, request.headers
        answer = middleware.answered(answer, self.dialect, template, method, headers, self.started)
        try:
            response = rendered(answer)
        except ValueError as error:
            response = rendered(middleware.refused(self.dialect, request.params, error, headers))
        self._connection.end(response)


_STATUS_LINES = {status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n" for status in HTTPStatus}
_dated = (0, "")


def rendered(answer: Answer) -> bytes:
    """A whole response in one piece. Raises ValueError where a header's value could break out of its line."""
    head = _STATUS_LINES[answer.status]
    for name, value in answer.headers:
        if not value.isprintable():
            raise ValueError(f"the header {name} has a value that is not printable")
        head += f"{name}: {value}\r\n"
    if answer.status in BODILESS:
        return f"{head}Date: {_date()}\r\nServer: polystow\r\n\r\n".encode()
    body = answer.body
    return (
        f"{head}Content-Type: {answer.content_type}\r\nContent-Length: {len(body)}\r\n"
        f"Date: {_date()}\r\nServer: polystow\r\n\r\n"
    ).encode() + body


def _date() -> str:
    """The time as HTTP writes it, made once a second."""
    global _dated
    now = int(time())
    if _dated[0] != now:
        _dated = (now, formatdate(now, usegmt=True))
    return _dated[1]
