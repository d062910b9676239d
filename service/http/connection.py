"""The fast path: a connection that answers ordinary requests itself, by running their handlers (http/driver.py).

It needs no task, no stream and no future. A request takes the fast path if it has arrived whole, has a route, and
nothing about it or its connection is unusual. Its head was parsed by aiohttp's parser, now or earlier (http/heads.py).
Every other request is left to aiohttp's task, unchanged: chunked bodies, `Expect`, upgrades, HTTP/1.0, slow readers,
malformed messages and messages over a limit. So are long answers (`Stream`). aiohttp's task runs the same handlers.

The fast path uses private names of aiohttp (`PRIVATE_NAMES`). If one of them is missing, `supported` returns False: the
service runs without the fast path, and a test fails. `POLYSTOW_FAST_PATH=false` switches it off.
"""

from typing import Any

from aiohttp.http import HttpRequestParser
from aiohttp.streams import EMPTY_PAYLOAD
from aiohttp.web_protocol import RequestHandler
from multidict import istr

from service.api.dialect import Stream
from service.api.refusal_headers import REQUEST_ID
from service.http.driver import EMPTY, CompleteBody, Exchange, ExchangeType, begin_exchange, begin_known
from service.http.edge import Connection, Server
from service.http.heads import UNKNOWN, Heads, HeadWithLength, ordinary_head
from service.http.read_cache import LONGEST, CachedAnswer, ReadCache
from service.http.recording import Recording
from service.http.rendering import date_lines
from service.http.state import State

PRIVATE_NAMES = (
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

_request_id = istr(REQUEST_ID)  # a request with this header is not recorded, because its answer contains the id


def supported() -> bool:
    """Return True if aiohttp has all private names that this module uses."""
    return all(hasattr(RequestHandler, name) for name in PRIVATE_NAMES) and hasattr(
        HttpRequestParser, "message_consumed"
    )


class FastPathServer(Server):
    """The server whose connections use the fast path."""

    def __init__(self, state: State, handler: Any, cache: ReadCache, **options: Any) -> None:
        super().__init__(handler, **options)
        self._state = state
        self._heads = Heads()
        self._read_cache = cache

    def __call__(self) -> RequestHandler:
        return FastPathConnection(self._state, self._heads, self._read_cache, self, loop=self._loop, **self._kwargs)


class FastPathConnection(Connection):
    """One connection.

    While `_exchange` is not None, a request is being answered; later ones wait in `_messages`, so answers have the
    order of their requests. Responses are written only at the end of an exchange. If writing is paused then, the next
    exchange begins when the client has read enough. `_exchange` is a CachedAnswer while that waits for its barrier.

    `_unparsed` are the bytes of the exchange's message if it bypassed the parser; b"" if not, and the message is then
    the first in `_messages`. `_remaining` counts the bytes still to come of the message that the parser is reading; 0:
    the parser is between two messages, so the next message may bypass it. `_answering`: the loop of `_answer_parsed` is
    running, and goes on by itself after an exchange that ends at once. `_handed` is an answer that aiohttp's task must
    send.
    """

    __slots__ = (
        "_answering",
        "_directory",
        "_exchange",
        "_find",
        "_handed",
        "_heads",
        "_last",
        "_read_cache",
        "_remaining",
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
        self._exchange: Exchange | CachedAnswer | None = None
        self._handed: tuple[Exchange, Stream] | None = None
        self._last: HeadWithLength | None = None
        self._unparsed = b""
        self._remaining = 0
        self._answering = False

    def data_received(self, data: bytes) -> None:
        waiter = self._waiter
        if waiter is None or waiter.done():  # aiohttp's task answers an earlier request, and will answer this one
            self._parse(data)
            return
        if self._remaining == 0 and self._exchange is None and not self._messages and self._may_answer():
            if (
                len(data) <= LONGEST
                and (cached := self._find(data)) is not None
                and cached.generation == self._directory.generation
            ):
                if not cached.used:
                    cached.use()
                self._unparsed = data
                self._exchange = cached
                self._request_in_progress = True
                self._state.in_flight += 1
                cached.tracker.wait(self)
                return
            if self._recognise(data):
                return
        self._read(data)

    def _recognise(self, data: bytes) -> bool:
        """Begin to answer `data` if it is one whole message with a known head. Return False if it is not."""
        found = self._heads.read(data, self._last)
        if found is None:
            return False
        head, line, body, self._last = found
        make: ExchangeType = Exchange
        generation = self._directory.generation
        if self._read_cache.should_record(data) and generation is not None and _request_id not in head.headers:
            make = Recording
        exchange = begin_known(self, self._state, head, line, body, make)
        if exchange is None:
            return False
        if type(exchange) is Recording:
            exchange.cache, exchange.data, exchange.generation = self._read_cache, data, generation
        self._unparsed = data
        self._begin(exchange)
        return True

    @property
    def held(self) -> CachedAnswer:
        """See Waiter: the cached answer that waits for its barrier."""
        cached = self._exchange
        assert isinstance(cached, CachedAnswer)
        return cached

    def confirmed(self, clock: int, seconds: float, now: float) -> None:
        """See Waiter: send the cached answer if it is still valid, else answer the request the ordinary way.

        While the service drains, an answer has one more header, so it is rendered again.
        """
        cached: Any = self._exchange
        if self._state.draining:
            pass
        elif cached.good and (not cached.until or clock <= cached.until):
            cached.count(seconds)
            last = date_lines(now)
            self.end(cached.response if last is cached.last else cached.with_date(last))
            return
        elif cached.good:
            cached.spoil()
        self._read_cache.spoiled += 1
        self.unconfirmed()

    def unconfirmed(self) -> None:
        """See Waiter: answer the request as if nothing had been cached."""
        if self.transport is None:
            self._release()
            return
        self._exchange = None
        self._request_in_progress = False
        self._state.in_flight -= 1
        data, self._unparsed = self._unparsed, b""
        if not data:  # the parser has parsed the message meanwhile
            self._answer_parsed()
        elif not self._recognise(data):
            self._read(data)

    def _read(self, data: bytes) -> None:
        """Let aiohttp parse the data without waking its task, then answer what the fast path can answer."""
        waiter = self._waiter
        self._waiter = None
        try:
            if self._unparsed:  # the parser must first see the message of the current exchange, which bypassed it
                unparsed, self._unparsed = self._unparsed, b""
                self._parse(unparsed)
            self._parse(data)
        finally:
            self._waiter = waiter
        if self._exchange is None:
            self._answer_parsed()

    def _may_answer(self) -> bool:
        """Return True if the connection's state allows the fast path."""
        return not (
            self._paused
            or self._buffer_paused
            or self._close
            or self._force_close
            or self._state.draining
            or self._keepalive_handle is None
        )

    def _parse(self, data: bytes) -> None:
        """Let aiohttp parse the data, and update `_remaining`."""
        count = len(self._messages)
        super().data_received(data)
        if self._remaining:
            self._remaining = max(self._remaining - len(data), UNKNOWN)
        elif len(self._messages) == count + 1:
            self._remaining = self._heads.add(data, self._messages[-1][0])
        elif data:
            self._remaining = UNKNOWN

    def resume_reading(self, resume_parser: bool = True) -> None:
        # aiohttp resumes reading at the end of every body, even if it was not paused. This parses nothing, but raises
        # an exception inside of aiohttp, which took a quarter of its time for a small PUT. So it is ignored during an
        # exchange. It is needed outside of one: the parser may have stopped while reading is not paused (for example
        # after a body of 16,385 chunks).
        if self._reading_paused or (resume_parser and self._exchange is None):
            super().resume_reading(resume_parser)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._exchange is not None:
            self._exchange_over()

    def connection_lost(self, exc: BaseException | None) -> None:
        if self.handed_over() is not None:  # aiohttp's task was woken to send an answer, but has not taken it yet
            self._state.in_flight -= 1
            if self._task_handler is not None:
                self._task_handler.cancel()
        super().connection_lost(exc)
        if isinstance(self._exchange, Exchange):
            self._exchange.request.leave()
        if self._paused and self._exchange is not None:
            self._release()

    def _process_keepalive(self) -> None:
        if self._exchange is None:
            super()._process_keepalive()
        else:  # aiohttp's task is idle, but the connection is not
            self._keepalive_handle = self._loop.call_later(self._keepalive_timeout, self._process_keepalive)

    def _answer_parsed(self) -> None:
        """Answer the parsed messages one by one. The first unusual one, and all after it, are left to aiohttp's
        task."""
        self._answering = True
        try:
            while self._messages and self._exchange is None and not self._close and not self._force_close:
                message: Any = self._messages[0][0]
                payload = self._messages[0][1]
                head = ordinary_head(message) if payload.is_eof() and self._may_answer() else None
                body = EMPTY if payload is EMPTY_PAYLOAD else CompleteBody(b"")
                exchange = begin_exchange(self, self._state, head, message.method, message.path, body) if head else None
                if exchange is None:
                    self._wake()
                    return
                self._exchange = exchange  # messages that are parsed while the body is read must only be queued
                if body is not EMPTY:
                    body.whole = payload.read_nowait()
                self._begin(exchange)
                if self._handed is not None:  # the exchange has ended at once: aiohttp's task sends its answer
                    return
        finally:
            self._answering = False

    def _wake(self) -> None:
        """Wake aiohttp's task, which answers the messages in `_messages`."""
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _begin(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._request_in_progress = True
        self._state.in_flight += 1
        exchange.set_result(None)

    def end(self, response: bytes) -> None:
        """Send the response of the exchange. While draining, the response has `Connection: close`."""
        if self._unparsed:
            self._unparsed = b""
        else:
            self._messages.popleft()
            if self._parser is not None:
                self._parser.message_consumed()
        self._next_keepalive_close_time = self._loop.time() + self._keepalive_timeout
        if self.transport is not None:
            self.transport.write(response)
            if self._paused:  # the client is slow to read: `resume_writing` continues
                return
        self._exchange_over()

    def _exchange_over(self) -> None:
        """Go on to the next message after an exchange, or close the connection."""
        self._release()
        if self._close or self._state.draining:
            self.force_close()
        elif self._messages and not self._answering:
            self._answer_parsed()

    def hand_over(self, exchange: Exchange, answer: Stream) -> None:
        """Let aiohttp's task send a long answer. The request stays in flight until then."""
        unparsed = self._unparsed
        self._release()
        if self._waiter is None or self._waiter.done():  # aiohttp's task has ended, so the connection ends as well
            self.force_close()
            return
        self._state.in_flight += 1
        self._handed = exchange, answer
        if unparsed:
            self._parse(unparsed)  # this wakes aiohttp's task
        else:
            self._wake()

    def handed_over(self) -> tuple[Exchange, Stream] | None:
        handed, self._handed = self._handed, None
        return handed

    def _release(self) -> None:
        self._exchange = None
        self._unparsed = b""
        self._request_in_progress = False
        self._state.in_flight -= 1
        if self._handler_waiter is not None and not self._handler_waiter.done():
            self._handler_waiter.set_result(None)
