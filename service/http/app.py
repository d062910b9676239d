"""The HTTP application of one worker: connects to Redis, finds the dialects, and answers requests in aiohttp's task.

aiohttp's task answers the requests that the fast path leaves to it (http/connection.py). Both run the same handlers and
the same middleware (http/middleware.py).
"""

import asyncio
from time import perf_counter
from typing import Any

from aiohttp import web
from msgspec.structs import replace

from service.api.dialect import Answer, Request, Service, Stream
from service.dialects import discover
from service.http import connection, edge
from service.http.backpressure import HELD_BYTES, IncomingBodies
from service.http.cors import METHODS
from service.http.read_cache import ReadCache
from service.http.rendering import header_lines
from service.http.state import State, start_stream
from service.metrics import Meter
from service.settings import Settings
from service.storage.access.directory import Directory
from service.storage.errors import Invalid
from service.storage.feed.follower import Followers
from service.storage.feed.watcher import Watcher
from service.storage.records import offload
from service.storage.root import Storage
from service.storage.scripts.runner import Runner
from service.storage.sweeper import Sweeper

START_SECONDS = 30.0  # for the connection to Redis, which the parent has reached just before: so Redis is only slow


class App:
    """One worker's application. `server` is the handler factory for aiohttp's runner; call `close` at the end."""

    def __init__(self, settings: Settings, runner: Runner, meter: Meter) -> None:
        self.redis = runner.redis
        watcher, directory = Watcher(runner.redis), Directory(runner)
        watcher.generation = lambda: directory.generation
        followers = Followers(watcher, settings.feed_unread_bytes)
        service = Service(settings, Storage(runner), directory, followers)
        self.state = State(service, discover(settings.dialects), meter)
        self.cache = ReadCache(settings.read_cache_bytes, runner.redis)
        held = max(HELD_BYTES, 4 * settings.max_document_bytes)
        self._incoming = IncomingBodies(held)
        options: dict[str, Any] = {"slow_readers_bytes": held, "keepalive_timeout": settings.keepalive_seconds}
        self.server = (
            connection.FastPathServer(self.state, self._serve, self.cache, **options)
            if settings.fast_path and connection.supported()
            else edge.Server(self._serve, **options)
        )
        self._tasks = [
            asyncio.create_task(service.directory.watch()),
            asyncio.create_task(Sweeper(runner, service.storage).run()),
        ]

    def drain(self) -> None:
        """Ask clients to close their connections, and end the long polls and streams that wait."""
        self.state.draining = True
        self.state.service.followers.watcher.stop()

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        offload.close()
        await self.redis.close()

    async def _serve(self, request: web.BaseRequest) -> web.StreamResponse:
        state, method, headers, started = self.state, request.method, request.headers, perf_counter()
        path, _, query = request.raw_path.partition("?")
        dialect, template, fault = state.router.owner(path), "", edge.fault(request)
        connection = request.protocol
        assert isinstance(connection, edge.Connection)
        handed = connection.handed_over()
        params: tuple[str, ...] = ()
        answer: Answer | Stream
        state.in_flight += handed is None
        try:
            if handed is not None:
                exchange, answer = handed
                template, started, connection.asked = exchange.template, exchange.started, exchange.request
            elif fault is not None:
                refused = state.middleware.refuse(dialect, params, Invalid(fault.message), method, headers)
                answer = replace(refused, status=fault.status)
            elif path == "*":  # OPTIONS, of the service as a whole (RFC 9110, section 9.3.7)
                answer = Answer(204, headers=(("Allow", f"{METHODS}, OPTIONS"),))
            elif dialect is None:
                page = state.docs.find(method, path)
                template, answer = page.path, page.answer(headers)
            else:
                dialect, route, params = state.router.find(method, path)
                template = route.template
                body = edge.IncomingBody(request, self._incoming)
                asked = Request(method, params, query, headers, body, state.service)
                connection.asked = asked
                answer = await state.middleware.handle(dialect, route, asked, path)
                if isinstance(answer, Stream):
                    answer = await start_stream(answer)
            header_lines((*answer.headers, ("Content-Type", answer.content_type)))  # raises if a value is not printable
        except ConnectionError:  # the client is gone
            raise
        except Exception as error:
            answer = state.middleware.refuse(dialect, params, error, method, headers)
        finally:
            state.in_flight -= 1
        answer = state.middleware.finish(answer, dialect, template, method, headers, perf_counter() - started)
        closing = state.draining or fault is not None
        return await edge.send(request, answer, dialect.headers if dialect else (), closing=closing)


async def start(settings: Settings, redis_url: str, meter: Meter) -> App:
    """Connect to Redis, load the function library, and return the application. Raises NotSent if Redis is
    unreachable."""
    runner = Runner.open(
        redis_url,
        timeout=settings.request_timeout,
        max_commands=settings.max_in_flight,
        read_replicas=settings.read_replicas,
        bulk=True,
        tracking=settings.read_cache_bytes > 0 and settings.fast_path,
    )
    await runner.redis.connect(START_SECONDS)
    return App(settings, runner, meter)
