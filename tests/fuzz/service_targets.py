"""Targets of fuzzing guided by coverage that take a service: all dialects, and connections.

The application runs in this process, on a Redis that is running already (`FUZZ_REDIS`, its URL). For any request, it
must give an answer of its own, never a 5xx.
"""

import asyncio
import os
import re
from collections.abc import AsyncIterator
from functools import cache
from typing import NamedTuple

from multidict import CIMultiDict

from service.api.dialect import Answer, Request, Stream
from service.dialects import discover
from service.http.app import App, start
from service.http.connection import FastPathConnection
from service.http.rendering import header_lines
from service.metrics import Meter
from service.operations.access import apply
from service.settings import Settings
from service.storage.errors import Invalid, TooLarge
from service.verification.conversations import Exchange, load, shipped
from tests.fast_path.rig import Transport, outside_of_tasks
from tests.fuzz.requests import NOT_SERVED, SEEDS
from tests.fuzz.targets import Fuzzed
from tests.running import ACCESS, SIGNING_KEY

ENVIRONMENT = "FUZZ_REDIS"
TOKENS = {"ainoflow": "ak-1", "auravant": "at-owner", "avaamo": "av-edit", "genesys": ""}
STATUS = re.compile(rb"HTTP/\d\.\d (\d{3}) ")
QUIET = 10  # turns of the event loop after which a connection that does nothing is at rest
TURNS = 200  # limit of turns until a connection is at rest or waits for more bytes
_hole = re.compile(r"\{\{(\w+)\}\}")


@cache
def loop() -> asyncio.AbstractEventLoop:
    return asyncio.new_event_loop()


@cache
def app() -> App:
    return loop().run_until_complete(_started())


async def _started() -> App:
    settings = Settings(signing_key=(SIGNING_KEY,), max_document_bytes=100_000)
    started = await start(settings, os.environ[ENVIRONMENT], Meter())
    await apply(started.state.service.directory, started.state.service.storage, ACCESS.read_text(), discover())
    return started


def asked(data: bytes) -> None:
    """Send any request to any route: method, path, query, headers, body."""
    head, _, body = data.partition(b"\n\n")
    try:
        first, *lines = head.decode().split("\n")
        method, target = first.split(" ")
    except ValueError:
        return
    if not (target.isascii() and target.isprintable() and method.isalpha()):
        return  # aiohttp refuses such a request
    path, _, query = target.partition("?")
    pairs = (line.partition(": ") for line in lines)
    headers = CIMultiDict((name, value) for name, _, value in pairs if name.isascii())
    loop().run_until_complete(_asked(app(), method, path, query, headers, body))


async def _asked(app: App, method: str, path: str, query: str, headers: CIMultiDict[str], body: bytes) -> None:
    state, template = app.state, ""
    dialect, params = state.router.owner(path), tuple[str, ...]()
    answer: Answer | Stream
    try:
        if dialect is None:
            answer = state.docs.find(method, path).answer(headers)
        else:
            dialect, route, params = state.router.find(method, path)
            template, arriving = route.template, Body(body, "X-Cut" in headers)
            request = Request(method, params, query, headers, arriving, state.service)
            answer = await state.middleware.handle(dialect, route, request, path)
        if isinstance(answer, Stream):
            async for _ in answer.pieces:
                pass
    except Exception as error:
        answer = state.middleware.refuse(dialect, params, error, method, headers)
    header_lines(state.middleware.finish(answer, dialect, template, method, headers, 0.0).headers)
    assert answer.status < 500, f"{method} {path} {query} {headers} {body!r}: {answer}"


class Body(NamedTuple):
    """A body that arrives in two pieces, and may be cut off after them."""

    whole: bytes
    cut: bool

    @property
    def complete(self) -> bool:
        return False

    async def read(self, limit: int) -> bytes:
        return b"".join([piece async for piece in self.pieces(limit)])

    async def pieces(self, limit: int) -> AsyncIterator[bytes]:
        if len(self.whole) > limit:
            raise TooLarge("too large")
        for piece in filter(None, (self.whole[:7], self.whole[7:])):
            yield piece
        if self.cut:
            raise Invalid("cut off")


def received(data: bytes) -> None:
    """Send any bytes on a connection, in two pieces. The answer must be HTTP."""
    if data:
        loop().run_until_complete(_received(app(), data[1:], data[0]))


async def _received(app: App, data: bytes, cut: int) -> None:
    connection, transport = app.server(), Transport()
    assert isinstance(connection, FastPathConnection)
    connection.connection_made(transport)
    for piece in (data[:cut], data[cut:]):
        if not transport.closed:
            with outside_of_tasks():
                connection.data_received(piece)
        for turn in range(TURNS):
            await asyncio.sleep(0 if turn < QUIET else 0.0002)
            if turn >= QUIET and app.state.in_flight == 0 and connection._exchange is None:
                break
    connection.connection_lost(None)
    await asyncio.sleep(0)
    written = b"".join(transport.written)
    assert not written or STATUS.match(written), f"{data!r}: {written[:200]!r}"
    statuses = map(int, STATUS.findall(written))
    assert all(status < 500 or status in NOT_SERVED for status in statuses), f"{data!r}: {written[:500]!r}"


def _seed(dialect: str, exchange: Exchange) -> bytes:
    """Return a request of a vendor's page as a seed."""
    known = {"token": TOKENS[dialect], "key": TOKENS[dialect], "agent": "8017"}
    start = exchange.request.start.removesuffix(" HTTP/1.1")
    lines = [start, *(f"{name}: {value}" for name, value in exchange.request.headers)]
    body = exchange.request.body
    if "multipart" in "".join(lines):
        body = body.replace("\n", "\r\n")
    return _hole.sub(lambda hole: known.get(hole[1], "1"), "\n".join([*lines, "", body])).encode()


def _pages() -> tuple[bytes, ...]:
    return tuple(_seed(page.parts[-3], exchange) for page in shipped() for exchange in load(page))


TARGETS = {"dialects": Fuzzed(asked, _pages()), "connection": Fuzzed(received, tuple(b"\x40" + seed for seed in SEEDS))}
