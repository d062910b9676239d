"""The HTTP application: wraps each dialect's handlers once, caller in, refusal out.

Everything that is the same for all dialects happens here and nowhere else: routing, authentication, rates, CORS, request
ids, what a refusal adds to the headers, what is measured and logged. How a refusal reads is the dialect's.
"""

import asyncio
import logging
import math
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from functools import partial
from time import perf_counter
from uuid import uuid4

import orjson
from aiohttp import web

from service import edge
from service.cors import Cors
from service.dialect import Answer, Dialect, Failure, NoSuchMethod, Request, Route, Service, Stream
from service.dialects import discover
from service.metrics import Meter
from service.redis.client import Redis
from service.redis.wire import Ask
from service.routing import Router
from service.settings import Settings
from service.storage.directory import Caller, Directory
from service.storage.errors import Invalid, OutcomeUnknown, Refusal, Throttled, Unauthenticated, Unavailable
from service.storage.runner import Runner
from service.storage.store import Storage
from service.storage.sweeper import Sweeper

log = logging.getLogger(__name__)

Headers = Mapping[str, str]
Read = Callable[[int], Awaitable[bytes]]

RETRY_SECONDS = "1"  # when to come again after a 503: a restarted Redis is back by then
_lawful_id = re.compile(r"[A-Za-z0-9._-]{1,64}").fullmatch


class App:
    """One worker's application. `draining` makes every answer ask the client to close its connection."""

    def __init__(self, settings: Settings, redis: Redis, runner: Runner, meter: Meter) -> None:
        self.redis = redis
        self.service = Service(settings, Storage(runner), Directory(runner))
        self.router = Router(discover(settings.dialects))
        self.draining = False
        self.in_flight = 0
        self._meter = meter
        self._cors = Cors(settings.cors_origins)
        self._log_requests = settings.access_log
        self.server = web.Server(self._serve, access_log=None, keepalive_timeout=settings.keepalive_seconds)
        self._tasks = [
            asyncio.create_task(self.service.directory.watch()),
            asyncio.create_task(Sweeper(runner, self.service.storage).run()),
        ]

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await self.redis.close()

    async def _serve(self, request: web.BaseRequest) -> web.StreamResponse:
        path, _, query = request.raw_path.partition("?")
        answer = await self.answer(request.method, path, query, request.headers, partial(edge.read, request))
        return await edge.send(request, answer, closing=self.draining)

    async def answer(self, method: str, path: str, query: str, headers: Headers, read: Read) -> Answer | Stream:
        """Answer one request, whatever it is."""
        started = perf_counter()
        try:
            dialect, route, params = self.router.find(method, path)
        except Refusal as refusal:
            owner = self.router.owner(path)
            answer = self._cors.preflight(method, headers) or self._refused(owner, (), refusal, headers)
            return self._answered(answer, owner, "", method, headers, started)
        return await self.handle(dialect, route, params, method, query, headers, read)

    async def handle(
        self, dialect: Dialect, route: Route, params: tuple[str, ...],
        method: str, query: str, headers: Headers, read: Read,
    ) -> Answer | Stream:  # fmt: skip
        """Answer a request whose route was found."""
        started = perf_counter()
        self.in_flight += 1
        try:
            caller = await self._caller(dialect, headers)
            answer = await route.handler(Request(method, params, query, headers, read, caller, self.service))
            if isinstance(answer, Stream):
                answer = await edge.opened(answer)
        except Refusal as refusal:
            answer = self._refused(dialect, params, refusal, headers)
        except (asyncio.CancelledError, ConnectionError):
            raise
        except Exception as error:
            failure = Failure("the service failed to answer")
            failure.__cause__ = error
            answer = self._refused(dialect, params, failure, headers)
        finally:
            self.in_flight -= 1
        return self._answered(answer, dialect, route.template, method, headers, started)

    async def _caller(self, dialect: Dialect, headers: Headers) -> Caller:
        """Who calls. Raises Unauthenticated, Throttled."""
        token = dialect.credential(headers)
        directory = self.service.directory
        caller = directory.kept_caller(dialect.name, token) or await directory.caller(dialect.name, token)
        if caller.rate is not None:
            await self.service.storage.throttle(dialect.name, caller.id, *caller.rate)
        return caller

    def _refused(self, dialect: Dialect | None, params: tuple[str, ...], refusal: Refusal, headers: Headers) -> Answer:
        """The dialect's way to say no, with the headers that HTTP wants beside it.

        The cause of a fault of our own goes to the log, under the id that the client is told.
        """
        request_id = _identify(headers)
        if isinstance(refusal, Failure):
            log.error("a request failed", exc_info=refusal.__cause__, extra={"request_id": request_id})
        self._meter.refused(dialect.name if dialect else "", type(refusal).__name__)
        answer = dialect.refuse(refusal, params) if dialect else _refuse(refusal)
        return replace(answer, headers=(*answer.headers, *_explained(refusal), ("X-Request-Id", request_id)))

    def _answered(
        self, answer: Answer | Stream, dialect: Dialect | None, template: str,
        method: str, headers: Headers, started: float,
    ) -> Answer | Stream:  # fmt: skip
        """What is done with every answer: measured, logged if so wished, and its last headers added."""
        seconds = perf_counter() - started
        self._meter.observe(dialect.name if dialect else "", template, method, answer.status, seconds)
        extra = self._cors.shared(headers)
        if answer.status < 400 and "X-Request-Id" in headers:
            extra = (*extra, ("X-Request-Id", _identify(headers)))
        if extra:
            answer = replace(answer, headers=(*answer.headers, *extra))
        if self._log_requests:
            _log(answer, dialect, template, method, seconds)
        return answer


def _identify(headers: Headers) -> str:
    """The client's own id of the request if it is lawful, else a new one."""
    given = headers.get("X-Request-Id", "")
    return given if _lawful_id(given) else uuid4().hex


def _explained(refusal: Refusal) -> tuple[tuple[str, str], ...]:
    """What HTTP says beside a refusal (RFC 9110, sections 10.2.1, 10.2.3 and 11.6.1)."""
    if isinstance(refusal, NoSuchMethod):
        return (("Allow", refusal.allowed),)
    if isinstance(refusal, Throttled):
        return (("Retry-After", str(math.ceil(refusal.retry_after))),)
    if isinstance(refusal, Unavailable | OutcomeUnknown):
        return (("Retry-After", RETRY_SECONDS),)
    if isinstance(refusal, Unauthenticated):
        return (("WWW-Authenticate", "Bearer"),)
    return ()


def _refuse(refusal: Refusal) -> Answer:
    """The way to say no where no dialect is spoken."""
    return Answer(400 if isinstance(refusal, Invalid) else 404, orjson.dumps({"error": str(refusal)}))


def _log(answer: Answer | Stream, dialect: Dialect | None, template: str, method: str, seconds: float) -> None:
    request_id = dict(answer.headers).get("X-Request-Id")
    fields = {
        "dialect": dialect.name if dialect else "", "route": template, "method": method,
        "status": answer.status, "seconds": round(seconds, 6),
    }  # fmt: skip
    log.info("request", extra={"request_id": request_id, "fields": fields})


async def start(settings: Settings, redis_url: str, meter: Meter) -> App:
    """Connect to Redis, make it know the scripts, and serve. Raises NotSent, in words, if Redis cannot be reached."""

    async def load(ask: Ask) -> None:
        await runner.load(ask)

    redis = Redis.open(
        redis_url, timeout=settings.request_timeout, max_commands=settings.max_in_flight, on_connect=load
    )
    runner = Runner(redis)
    await redis.connect()
    return App(settings, redis, runner, meter)
