"""The HTTP application: finds the dialects, and wraps each handler once: caller in, refusal out.

This is the ordinary path, from aiohttp's request to the handler's answer; service/hot.py is the fast one. What both
do with every request is in service/middleware.py.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from time import perf_counter

from aiohttp import web
from msgspec.structs import replace

from service import edge, hot, idempotency
from service.cors import METHODS
from service.dialect import Answer, Headers, Request, Service, Stream
from service.dialects import discover
from service.docs import Docs
from service.metrics import Meter
from service.middleware import Middleware
from service.parser import Fault
from service.patience import HELD_BYTES, Arriving
from service.redis.client import Redis
from service.redis.wire import Ask
from service.rendering import lawful
from service.routing import Router
from service.settings import Settings
from service.storage.directory import Directory
from service.storage.errors import Invalid
from service.storage.passwords import ANYONE
from service.storage.runner import Runner
from service.storage.store import Storage
from service.storage.sweeper import Sweeper

Read = Callable[[int], Awaitable[bytes]]
Pieces = Callable[[int], AsyncIterator[bytes]]


class App:
    """One worker's application. `draining` makes every answer ask the client to close its connection."""

    def __init__(self, settings: Settings, redis: Redis, runner: Runner, meter: Meter) -> None:
        self.redis = redis
        storage = Storage(runner)
        self.service = Service(settings, storage, storage.commands, Directory(runner))
        dialects = discover(settings.dialects)
        self.router = Router(dialects)
        self.docs = Docs(dialects if settings.docs else ())
        self.draining = False
        self.in_flight = 0
        self.middleware = Middleware(self.service, meter)
        fast, keepalive = settings.fast_path and hot.supported(), settings.keepalive_seconds
        held = max(HELD_BYTES, 4 * settings.max_document_bytes)
        self._arriving = Arriving(held)
        self.server = (
            hot.HotServer(self, self._serve, unread=held, keepalive_timeout=keepalive)
            if fast
            else edge.Server(self._serve, unread=held, keepalive_timeout=keepalive)
        )
        self._tasks = [
            asyncio.create_task(self.service.directory.watch()),
            asyncio.create_task(Sweeper(runner, storage).run()),
        ]

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await self.redis.close()

    async def _serve(self, request: web.BaseRequest) -> web.StreamResponse:
        if (fault := edge.fault(request)) is not None:
            return await edge.send(request, self._refuse(request, fault), closing=True)
        path, _, query = request.raw_path.partition("?")
        read, pieces = partial(edge.read, request, self._arriving), partial(edge.pieces, request)
        answer = await self.answer(request.method, path, query, request.headers, read, pieces)
        return await edge.send(request, answer, closing=self.draining)

    def _refuse(self, request: web.BaseRequest, fault: Fault) -> Answer:
        """The answer to a message that is not routed, in the shape of the dialect that its path belongs to."""
        dialect = self.router.owner(request.raw_path)
        answer = self.middleware.refused(dialect, (), Invalid(fault.message), request.headers)
        answer = replace(answer, status=fault.status)
        return self.middleware.answered(answer, dialect, "", request.method, request.headers, perf_counter())

    async def answer(
        self, method: str, path: str, query: str, headers: Headers, read: Read, pieces: Pieces
    ) -> Answer | Stream:
        """Answer one request, whatever it is."""
        started = perf_counter()
        dialect, template = self.router.owner(path), ""
        params: tuple[str, ...] = ()
        answer: Answer | Stream
        self.in_flight += 1
        try:
            if path == "*":  # OPTIONS, of the service as a whole (RFC 9110, section 9.3.7)
                answer = Answer(204, headers=(("Allow", f"{METHODS}, OPTIONS"),))
            elif dialect is None:
                page = self.docs.find(method, path)
                template, answer = page.path, page.answer(headers)
            else:
                dialect, route, params = self.router.find(method, path)
                template = route.template
                caller = ANYONE if route.open else await self.middleware.admit(dialect, headers)
                asked = Request(method, params, query, headers, read, caller, self.service, pieces)
                answer = await idempotency.handled(route.handler, asked, path)
                answer = lawful(await edge.opened(answer) if isinstance(answer, Stream) else answer)
        except ConnectionError:  # the client is gone
            raise
        except Exception as error:
            preflight = self.middleware.cors.preflight(method, headers)
            answer = preflight or self.middleware.refused(dialect, params, error, headers)
        finally:
            self.in_flight -= 1
        return self.middleware.answered(answer, dialect, template, method, headers, started)


async def start(settings: Settings, redis_url: str, meter: Meter) -> App:
    """Connect to Redis, make it know the scripts, and serve. Raises NotSent, in words, if Redis cannot be reached."""

    async def load(ask: Ask) -> None:
        await runner.load(ask)

    redis = Redis.open(
        redis_url,
        timeout=settings.request_timeout,
        max_commands=settings.max_in_flight,
        on_connect=load,
        read_replicas=settings.read_replicas,
        bulk=True,
    )
    runner = Runner(redis)
    await redis.connect()
    return App(settings, redis, runner, meter)
