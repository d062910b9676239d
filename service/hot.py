"""The fast path: answers a request that is one command of Redis from the connection itself.

aiohttp's own parser has read the message and the same router finds the route; then there is no task, no stream, no
coroutine and no future, only the route's `direct` function, the command, and its reply told. A request takes this path
when its route has such a function, it has arrived whole, its caller is known, and nothing about it or its connection is
unusual. Every other request is left to aiohttp, untouched: limits, chunked bodies, `Expect`, upgrades, HTTP/1.0, slow
readers and broken messages are aiohttp's business, as ever, and so is what Redis could not do at once.

This leans on names inside aiohttp (`LEANS_ON`). Where one of them is missing, `supported` says so: the service does
without the fast path, and a test fails. `POLYSTOW_FAST_PATH=false` switches it off.
"""

import logging
from asyncio import get_running_loop
from collections.abc import Callable
from email.utils import formatdate
from http import HTTPStatus
from time import perf_counter, time
from typing import TYPE_CHECKING, Any

from aiohttp.http import HttpRequestParser, HttpVersion11, RawRequestMessage
from aiohttp.streams import EMPTY_PAYLOAD, StreamReader
from aiohttp.web_protocol import RequestHandler
from msgspec import Struct

from service.dialect import BODILESS, Answer, Dialect, Direct, Request, Route
from service.edge import Connection, Server
from service.idempotency import HEADER
from service.redis.errors import Failed
from service.storage.runner import refusal, repairable

if TYPE_CHECKING:
    from service.app import App

log = logging.getLogger(__name__)

LEANS_ON = (
    "_buffer_paused", "_close", "_force_close", "_handler_waiter", "_keepalive_handle", "_keepalive_timeout", "_loop",
    "_messages", "_next_keepalive_close_time", "_parser", "_paused", "_process_keepalive", "_reading_paused",
    "_request_in_progress", "_waiter",
)  # fmt: skip


def supported() -> bool:
    """Does this aiohttp have the names that the fast path leans on?"""
    return all(hasattr(RequestHandler, name) for name in LEANS_ON) and hasattr(HttpRequestParser, "message_consumed")


class HotServer(Server):
    """The server, with connections that know the fast path."""

    def __init__(self, app: "App", handler: Any, **options: Any) -> None:
        super().__init__(handler, **options)
        self._app = app

    def __call__(self) -> RequestHandler:
        return HotConnection(self._app, self, loop=self._loop, **self._kwargs)


class HotConnection(Connection):
    """One connection. While `_exchange` is not None, a hot request is being answered; the next one waits behind it in
    `_messages`, so answers keep the order of their requests, and one that the client is slow to read holds up the rest.
    Only an exchange's end writes meanwhile: if writing is paused, it has been answered."""

    __slots__ = ("_app", "_exchange")

    def __init__(self, app: "App", server: Server, **options: Any) -> None:
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
        # exception inside, a quarter of what a small PUT costs outside of this service. Where an ordinary request reads
        # it may: the parser can stand still while reading is not paused (after a body of 16,385 chunks, say).
        if self._reading_paused or (resume_parser and self._exchange is None):
            super().resume_reading(resume_parser)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._exchange is not None:
            self._go_on()

    def connection_lost(self, exc: BaseException | None) -> None:
        super().connection_lost(exc)
        if self._paused and self._exchange is not None:
            self._leave()

    def _process_keepalive(self) -> None:
        if self._exchange is None:
            super()._process_keepalive()
        else:  # aiohttp's task is idle, the connection is not
            self._keepalive_handle = self._loop.call_later(self._keepalive_timeout, self._process_keepalive)

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
        """Begin to answer the first message, if it is one for this path and one command is enough."""
        app = self._app
        if (
            type(message) is not RawRequestMessage or message.should_close or message.version != HttpVersion11
            or message.upgrade or not payload.is_eof()
            or self._paused or self._buffer_paused or app.draining or self._keepalive_handle is None
        ):  # fmt: skip
            return False
        method, headers = message.method, message.headers
        path, _, query = message.path.partition("?")
        try:
            dialect, route, params = app.router.find(method, path)
            if route.direct is None or method == "HEAD" or (method != "GET" and HEADER in headers):
                return False
            caller = app.middleware.known(dialect, headers)
        except Exception:  # the ordinary path meets it too, and says it
            return False
        if caller is None:
            return False
        request = Request(method, params, query, headers, _arrived, caller, app.service)
        self._exchange = exchange = Exchange(self, app, dialect, route, request, perf_counter())
        self._request_in_progress = True
        app.in_flight += 1
        if payload is not EMPTY_PAYLOAD:
            exchange.body = payload.read_nowait()  # may parse what comes behind: it only queues, an exchange is on
        if exchange.begin(route.direct):
            return True
        self._restore(exchange.body)
        return False

    def end(self, response: bytes) -> None:
        """Answer. A response that is made while draining has announced the connection's end."""
        self._messages.popleft()
        if self._parser is not None:
            self._parser.message_consumed()
        self._next_keepalive_close_time = self._loop.time() + self._keepalive_timeout
        if self.transport is not None:
            self.transport.write(response)
        self._close = self._close or self._app.draining
        if self.transport is None or not self._paused:  # else the client is slow: `resume_writing` goes on
            self._go_on()

    def _go_on(self) -> None:
        """The exchange is over: on to the next message, or to the end of the connection."""
        self._leave()
        if self._close:
            self.force_close()
        elif self._messages:
            self._advance()

    def break_off(self, body: bytes) -> None:
        """The exchange cannot answer: aiohttp does, as if nothing had been."""
        self._restore(body)
        self._hand_over()

    def _restore(self, body: bytes) -> None:
        """Put the message back as it was before its body was read."""
        if body:
            payload = StreamReader(self, len(body), loop=self._loop)  # so long that it never pauses reading
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


def _untold(reply: Any) -> Answer:
    raise RuntimeError("a reply came that nothing was asked for")


class Exchange(Struct):
    """One request and its command; to the lane it is the command's outcome, as a future would be.

    Invariant: it ends exactly once, and whatever fails on the way fails for this request alone.
    """

    connection: HotConnection
    app: "App"
    dialect: Dialect
    route: Route
    request: Request
    started: float  # perf_counter()
    body: bytes = b""
    over: bool = False
    tell: Callable[[Any], Answer] = _untold

    def begin(self, direct: Direct) -> bool:
        """Send the command, if one is enough."""
        try:
            asked = direct(self.request, self.body)
            if asked is None:
                return False
            command, self.tell = asked
            self.app.redis.send(self, command.args, key=command.key, write=command.write)
        except Exception as error:
            self.set_exception(error)
        return True

    def done(self) -> bool:
        return self.over

    def set_result(self, reply: Any) -> None:
        """The reply is here: answer at once, in the midst of the reading of replies."""
        try:
            response = self._response(self.tell(reply))
        except Exception as error:
            self.set_exception(error)
        else:
            self.over = True
            self.connection.end(response)

    def set_exception(self, error: Exception) -> None:
        """It failed. What comes of it may send again, so it must wait until the queues are at rest."""
        self.over = True
        get_running_loop().call_soon(self._fail, error)

    def _fail(self, error: Exception) -> None:
        if repairable(error):
            self.connection.break_off(self.body)
            return
        if isinstance(error, Failed):
            error = refusal(error)
        response = b""
        try:
            params, headers = self.request.params, self.request.headers
            response = self._response(self.app.middleware.refused(self.dialect, params, error, headers))
        except Exception:
            log.exception("a refusal cannot be told")
            self.connection.close()
        self.connection.end(response)

    def _response(self, answer: Answer) -> bytes:
        app, request, route = self.app, self.request, self.route
        method, headers = request.method, request.headers
        answer = app.middleware.answered(answer, self.dialect, route.template, method, headers, self.started)
        return rendered(answer, closing=app.draining)


_STATUS_LINES = {status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n" for status in HTTPStatus}
_last_lines = (0, "")


def rendered(answer: Answer, *, closing: bool) -> bytes:
    """A whole response in one piece; `closing` announces the connection's end."""
    global _last_lines
    head = _STATUS_LINES[answer.status]
    for name, value in answer.headers:
        head += f"{name}: {value}\r\n"
    if closing:
        head += "Connection: close\r\n"
    now = int(time())
    if _last_lines[0] != now:  # made once a second
        _last_lines = (now, f"Date: {formatdate(now, usegmt=True)}\r\nServer: polystow\r\n\r\n")
    if answer.status in BODILESS:
        return f"{head}{_last_lines[1]}".encode()
    body = answer.body
    rest = f"Content-Type: {answer.content_type}\r\nContent-Length: {len(body)}\r\n{_last_lines[1]}"
    return f"{head}{rest}".encode() + body
