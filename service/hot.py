"""The fast path: answers a request that is one command of Redis from the connection itself.

There is no task, no stream, no coroutine and no future, only the route's `direct` function, the command, and its reply
told. A request takes this path when its route has such a function, it has arrived whole, its caller is known, and
nothing about it or its connection is unusual. Its message is one that aiohttp's own parser has read, or whose head it
has read before (service/heads.py). Every other request is left to aiohttp, untouched: limits, chunked bodies, `Expect`,
upgrades, HTTP/1.0, slow readers and broken messages are aiohttp's business, as ever, and so is what Redis could not do
at once.

This leans on names inside aiohttp (`LEANS_ON`). Where one of them is missing, `supported` says so: the service does
without the fast path, and a test fails. `POLYSTOW_FAST_PATH=false` switches it off.
"""

from typing import TYPE_CHECKING, Any

from aiohttp.http import HttpRequestParser
from aiohttp.streams import EMPTY_PAYLOAD, StreamReader
from aiohttp.web_protocol import RequestHandler

from service.edge import Connection, Server
from service.exchange import Exchange, begun, recognised
from service.heads import UNKNOWN, Heads, plain

if TYPE_CHECKING:
    from service.app import App

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
        self._heads = Heads()

    def __call__(self) -> RequestHandler:
        return HotConnection(self._app, self._heads, self, loop=self._loop, **self._kwargs)


class HotConnection(Connection):
    """One connection. While `_exchange` is not None, a hot request is being answered; the next one waits behind it in
    `_messages`, so answers keep the order of their requests, and one that the client is slow to read holds up the rest.
    Only an exchange's end writes meanwhile: if writing is paused, it has been answered.

    `_unparsed` are the bytes of the exchange's message where the parser did not see them; b"" where it did, and the
    message is the first of `_messages`. `_owed` counts what is to come of the message that the parser is reading: at 0
    it stands between two messages, and one may be kept from it.
    """

    __slots__ = ("_app", "_exchange", "_heads", "_owed", "_unparsed")

    def __init__(self, app: "App", heads: Heads, server: Server, **options: Any) -> None:
        super().__init__(server, **options)
        self._app = app
        self._heads = heads
        self._exchange: Exchange | None = None
        self._unparsed = b""
        self._owed = 0

    def data_received(self, data: bytes) -> None:
        waiter = self._waiter
        if waiter is None or waiter.done():  # aiohttp is at work on an earlier request and will see to this one
            self._parse(data)
            return
        if self._owed == 0 and self._exchange is None and not self._messages:
            found = self._heads.read(data)
            if found is not None:
                head, line, body = found
                if not self._begin(recognised(self, self._app, head, line, body), data):
                    self._parse(data)  # which wakes aiohttp
                return
        self._waiter = None  # so that aiohttp parses, but does not wake its task: that is decided below
        try:
            if self._unparsed:  # this data is behind an exchange's: it becomes one like all others
                unparsed, self._unparsed = self._unparsed, b""
                self._parse(unparsed)
            self._parse(data)
        finally:
            self._waiter = waiter
        if self._exchange is None:
            self._advance()

    def _parse(self, data: bytes) -> None:
        """Let aiohttp parse, and see where in a message that ends."""
        count = len(self._messages)
        super().data_received(data)
        if self._owed:
            self._owed = max(self._owed - len(data), UNKNOWN)
        elif len(self._messages) == count + 1:
            self._owed = self._heads.learn(data, self._messages[-1][0])
        elif data:
            self._owed = UNKNOWN

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
            message: Any = self._messages[0][0]
            payload = self._messages[0][1]
            head = plain(message) if payload.is_eof() else None
            exchange = begun(self, self._app, head, message.method, message.path) if head is not None else None
            if not self._begin(exchange, b"", payload):
                self._hand_over()
                return

    def _hand_over(self) -> None:
        """Let aiohttp answer what waits in `_messages`."""
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _begin(self, exchange: Exchange | None, unparsed: bytes, payload: StreamReader = EMPTY_PAYLOAD) -> bool:
        """Begin to answer, if this is for this path and one command is enough. The body of a message that was parsed is
        in its payload."""
        if (
            exchange is None or self._paused or self._buffer_paused or self._close or self._force_close
            or self._keepalive_handle is None
        ):  # fmt: skip
            return False
        app = self._app
        self._exchange = exchange
        self._unparsed = unparsed
        self._request_in_progress = True
        app.in_flight += 1
        if payload is not EMPTY_PAYLOAD:
            exchange.body = payload.read_nowait()  # may parse what comes behind: it only queues, an exchange is on
        if exchange.ask():
            return True
        if not unparsed:
            self._restore(exchange.body)
        self._leave()
        return False

    def end(self, response: bytes) -> None:
        """Answer. A response that is made while draining has announced the connection's end."""
        if self._unparsed:
            self._unparsed = b""
        else:
            self._messages.popleft()
            if self._parser is not None:
                self._parser.message_consumed()
        self._next_keepalive_close_time = self._loop.time() + self._keepalive_timeout
        self._close = self._close or self._app.draining
        if self.transport is not None:
            self.transport.write(response)
            if self._paused:  # the client is slow: `resume_writing` goes on
                return
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
        unparsed = self._unparsed
        if not unparsed:
            self._restore(body)
        self._leave()
        if unparsed:
            self._parse(unparsed)  # which wakes aiohttp
        else:
            self._hand_over()

    def _restore(self, body: bytes) -> None:
        """Put the message back as it was before its body was read."""
        if body:
            payload = StreamReader(self, len(body), loop=self._loop)  # so long that it never pauses reading
            payload.feed_data(body)
            payload.feed_eof()
            self._messages[0] = (self._messages[0][0], payload)

    def _leave(self) -> None:
        self._exchange = None
        self._unparsed = b""
        self._request_in_progress = False
        self._app.in_flight -= 1
        if self._handler_waiter is not None and not self._handler_waiter.done():
            self._handler_waiter.set_result(None)
