"""The connection: answers requests itself, by stepping their handlers (service/http/driver.py).

There is no task, no stream and no future. A request is answered so when it has arrived whole, has a route, and nothing
about it or its connection is unusual. Its message is one that aiohttp's own parser has read, or whose head it has read
before (service/http/heads.py). Every other request is left to aiohttp, untouched: limits, chunked bodies, `Expect`,
upgrades, HTTP/1.0, slow readers and broken messages are aiohttp's business, and so are answers that are sent piece by
piece. aiohttp's task runs the same handlers, as coroutines of its own.

This leans on names inside aiohttp (`LEANS_ON`). Where one of them is missing, `supported` says so: the service does
without it, and a test fails. `POLYSTOW_FAST_PATH=false` switches it off.
"""

from typing import Any

from aiohttp.http import HttpRequestParser
from aiohttp.streams import EMPTY_PAYLOAD
from aiohttp.web_protocol import RequestHandler
from multidict import istr

from service.api.dialect import Stream
from service.api.refusal_headers import REQUEST_ID
from service.http.driver import EMPTY, Arrived, Exchange, Make, begun, recognised
from service.http.edge import Connection, Server
from service.http.heads import UNKNOWN, Heads, Sized, usual_head
from service.http.read_cache import LONGEST, Kept, ReadCache
from service.http.recording import Recording
from service.http.rendering import dated
from service.http.state import State

LEANS_ON = (
    "_buffer_paused",
    "_close",
    "_force_close",
    "_handler_waiter",
    "_keepalive_handle",
    "_keepalive_timeout",
    "_loop",
    "_messages",
    "_next_keepalive_close_time",
    "_parser",
    "_paused",
    "_process_keepalive",
    "_reading_paused",
    "_request_in_progress",
    "_task_handler",
    "_waiter",
)

_request_id = istr(REQUEST_ID)  # what has one is answered it back


def supported() -> bool:
    """Does this aiohttp have the names that this module leans on?"""
    return all(hasattr(RequestHandler, name) for name in LEANS_ON) and hasattr(HttpRequestParser, "message_consumed")


class HotServer(Server):
    """The server, with connections that answer requests themselves."""

    def __init__(self, state: State, handler: Any, cache: ReadCache, **options: Any) -> None:
        super().__init__(handler, **options)
        self._state = state
        self._heads = Heads()
        self._read_cache = cache

    def __call__(self) -> RequestHandler:
        return HotConnection(self._state, self._heads, self._read_cache, self, loop=self._loop, **self._kwargs)


class HotConnection(Connection):
    """One connection. While `_exchange` is not None, it answers a request; the next one waits behind it in `_messages`,
    so answers keep the order of their requests, and one that the client is slow to read holds up the rest. Only an
    exchange's end writes meanwhile: if writing is paused, it has been answered. It is an answer that is `Kept` while
    that waits for its barrier.

    `_unparsed` are the bytes of the exchange's message where the parser did not see them; b"" where it did, and the
    message is the first of `_messages`. `_owed` counts what is to come of the message that the parser is reading: at 0
    the parser is between two messages, so the next one may bypass it. `_advancing`: the loop of `_advance` is running,
    and goes on by itself after an exchange that ends at once. `_handed` is an answer that aiohttp's task is to send.
    """

    __slots__ = (
        "_advancing",
        "_directory",
        "_exchange",
        "_find",
        "_handed",
        "_heads",
        "_last",
        "_owed",
        "_read_cache",
        "_state",
        "_unparsed",
    )

    def __init__(self, state: State, heads: Heads, cache: ReadCache, server: Server, **options: Any) -> None:
        super().__init__(server, **options)
        self._state = state
        self._heads = heads
        self._read_cache = cache
        self._find = cache.answers.get
        self._directory = state.service.directory
        self._exchange: Exchange | Kept | None = None
        self._handed: tuple[Exchange, Stream] | None = None
        self._last: Sized | None = None
        self._unparsed = b""
        self._owed = 0
        self._advancing = False

    def data_received(self, data: bytes) -> None:
        waiter = self._waiter
        if waiter is None or waiter.done():  # aiohttp is at work on an earlier request and will see to this one
            self._parse(data)
            return
        if self._owed == 0 and self._exchange is None and not self._messages and self._open():
            if (
                len(data) <= LONGEST
                and (kept := self._find(data)) is not None
                and kept.generation == self._directory.generation
            ):
                kept.used = True
                self._unparsed = data
                self._exchange = kept
                self._request_in_progress = True
                self._state.in_flight += 1
                kept.tracker.wait(self)
                return
            if self._recognise(data):
                return
        self._read(data)

    def _recognise(self, data: bytes) -> bool:
        """Begin to answer what is one whole message, if its head is known, and nothing unusual about it."""
        found = self._heads.read(data, self._last)
        if found is None:
            return False
        head, line, body, self._last = found
        make: Make = Exchange
        generation = self._directory.generation
        if self._read_cache.again(data) and generation is not None and _request_id not in head.headers:
            make = Recording
        exchange = recognised(self, self._state, head, line, body, make)
        if exchange is None:
            return False
        if type(exchange) is Recording:
            exchange.cache, exchange.data, exchange.generation = self._read_cache, data, generation
        self._unparsed = data
        self._begin(exchange)
        return True

    @property
    def held(self) -> Kept:
        """Hits that wait for a barrier."""
        kept = self._exchange
        assert isinstance(kept, Kept)
        return kept

    def confirmed(self, clock: int, seconds: float, now: float) -> None:
        """See Waiter."""
        kept: Any = self._exchange
        if kept.good and (not kept.until or clock <= kept.until):
            kept.count(seconds)
            last = dated(now)
            self.end(kept.response if last is kept.last else kept.of(last))
            return
        if kept.good:
            kept.spoil()
        self._read_cache.spoiled += 1
        self.unconfirmed()

    def unconfirmed(self) -> None:
        """See Waiter: answer the request as if nothing had been kept."""
        if self.transport is None:
            self._leave()
            return
        self._exchange = None
        self._request_in_progress = False
        self._state.in_flight -= 1
        data, self._unparsed = self._unparsed, b""
        if not data:  # the parser has seen it meanwhile
            self._advance()
        elif not self._recognise(data):
            self._read(data)

    def _read(self, data: bytes) -> None:
        """Let aiohttp parse, but not wake its task: that is decided elsewhere."""
        waiter = self._waiter
        self._waiter = None
        try:
            if self._unparsed:  # this data is behind an exchange's: it becomes one like all others
                unparsed, self._unparsed = self._unparsed, b""
                self._parse(unparsed)
            self._parse(data)
        finally:
            self._waiter = waiter
        if self._exchange is None:
            self._advance()

    def _open(self) -> bool:
        """May a request be answered here now?"""
        return not (
            self._paused
            or self._buffer_paused
            or self._close
            or self._force_close
            or self._state.draining
            or self._keepalive_handle is None
        )

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
        if self.handed_over() is not None:  # aiohttp's task was woken for it, but has not asked for it yet
            self._state.in_flight -= 1
            if self._task_handler is not None:
                self._task_handler.cancel()
        super().connection_lost(exc)
        if isinstance(self._exchange, Exchange) and self._exchange.request.follower is not None:
            self._exchange.request.follower.leave()
        if self._paused and self._exchange is not None:
            self._leave()

    def _process_keepalive(self) -> None:
        if self._exchange is None:
            super()._process_keepalive()
        else:  # aiohttp's task is idle, the connection is not
            self._keepalive_handle = self._loop.call_later(self._keepalive_timeout, self._process_keepalive)

    def _advance(self) -> None:
        """Answer what was parsed, one after the other; the first that is unusual goes to aiohttp, and all after it."""
        self._advancing = True
        try:
            while self._messages and self._exchange is None and not self._close and not self._force_close:
                message: Any = self._messages[0][0]
                payload = self._messages[0][1]
                head = usual_head(message) if payload.is_eof() and self._open() else None
                arrived = EMPTY if payload is EMPTY_PAYLOAD else Arrived(b"")
                exchange = begun(self, self._state, head, message.method, message.path, arrived) if head else None
                if exchange is None:
                    self._wake()
                    return
                self._exchange = exchange  # reading the body may parse what comes behind: it only queues
                if arrived is not EMPTY:
                    arrived.whole = payload.read_nowait()
                self._begin(exchange)
                if self._handed is not None:  # at once; the message is aiohttp's now
                    return
        finally:
            self._advancing = False

    def _wake(self) -> None:
        """Let aiohttp answer what waits in `_messages`."""
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _begin(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._request_in_progress = True
        self._state.in_flight += 1
        exchange.set_result(None)

    def end(self, response: bytes) -> None:
        """Answer. A response that is made while draining has announced the connection's end."""
        if self._unparsed:
            self._unparsed = b""
        else:
            self._messages.popleft()
            if self._parser is not None:
                self._parser.message_consumed()
        self._next_keepalive_close_time = self._loop.time() + self._keepalive_timeout
        if self.transport is not None:
            self.transport.write(response)
            if self._paused:  # the client is slow: `resume_writing` goes on
                return
        self._go_on()

    def _go_on(self) -> None:
        """The exchange is over: on to the next message, or to the end of the connection."""
        self._leave()
        if self._close or self._state.draining:
            self.force_close()
        elif self._messages and not self._advancing:
            self._advance()

    def hand_over(self, exchange: Exchange, answer: Stream) -> None:
        """Let aiohttp's task send this answer, which is a long one. The request stays in flight until then."""
        unparsed = self._unparsed
        self._leave()
        if self._waiter is None or self._waiter.done():  # the connection ends, and aiohttp's task has
            self.force_close()
            return
        self._state.in_flight += 1
        self._handed = exchange, answer
        if unparsed:
            self._parse(unparsed)  # which wakes aiohttp
        else:
            self._wake()

    def handed_over(self) -> tuple[Exchange, Stream] | None:
        handed, self._handed = self._handed, None
        return handed

    def _leave(self) -> None:
        self._exchange = None
        self._unparsed = b""
        self._request_in_progress = False
        self._state.in_flight -= 1
        if self._handler_waiter is not None and not self._handler_waiter.done():
            self._handler_waiter.set_result(None)
