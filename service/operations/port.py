"""The operations port: health, readiness, metrics and the admin API, answered by the parent process.

Invariant: `/healthz` answers 200 as long as this process works, also while Redis or all workers are down: restarting
the service would not help them. `/readyz` answers 200 also while Redis refuses writes, with the status `read-only`:
reads are still served, and every other instance uses the same Redis.
"""

import asyncio
import hmac
import logging
import socket
from collections.abc import Awaitable, Callable, Iterable
from time import monotonic
from typing import Any, Protocol

from aiohttp import web
from aiohttp.typedefs import Handler
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

from service.api.access_document import Malformed
from service.redis.errors import Rejected
from service.storage.errors import Unavailable

PING_SECONDS = 1.0  # a Redis that takes longer to answer is not ready
REMEMBERED_SECONDS = 0.5  # an answer is used again for this time, so many probes cost Redis two PINGs a second
LARGEST_ACCESS_BYTES = 1024 * 1024
WATCH_SECONDS = 2.0
READ_ONLY = "redis refuses writes: it cannot write to its disk, which usually is full"

log = logging.getLogger(__name__)


class Service(Protocol):
    """The part of the service that the operations port uses."""

    def unready_reasons(self) -> Iterable[str]:
        """Yield the reasons, other than Redis, why this instance should get no requests; none if it is ready."""

    async def ping(self) -> object:
        """Send a PING to Redis and return when it is answered; raise any exception if it is not."""

    async def apply_access(self, document: bytes) -> list[dict[str, Any]]:
        """Apply an access document and return the tokens that were generated. Raises Malformed, Unavailable."""


class RedisHealth:
    """The health of Redis: `answers` returns True if it answers PING; `read_only`: it refuses writes.

    Redis is asked at most every `REMEMBERED_SECONDS`, however many probes there are.
    """

    def __init__(self, ping: Callable[[], Awaitable[object]]) -> None:
        self._ping = ping
        self._asking = asyncio.Lock()
        self._asked = float("-inf")
        self._answered = False
        self.read_only = False

    async def answers(self, max_age: float = REMEMBERED_SECONDS) -> bool:
        """Return True if the latest PING was answered in time; send one if that is older than `max_age` seconds."""
        async with self._asking:
            if monotonic() - self._asked >= max_age:
                self._answered = await self._probe()
                self._asked = monotonic()
        return self._answered

    async def _probe(self) -> bool:
        read_only = False
        try:
            async with asyncio.timeout(PING_SECONDS):
                await self._ping()
        except Rejected as error:  # MISCONF: Redis refuses writes and PING, but serves reads
            if error.word != "MISCONF":
                return False
            read_only = True
        except Exception:  # any other failure counts as no answer
            return False
        if read_only != self.read_only:
            log.log(*(logging.ERROR, READ_ONLY) if read_only else (logging.WARNING, "redis accepts writes again"))
        self.read_only = read_only
        return True

    async def watch(self) -> None:
        """Ask Redis every `WATCH_SECONDS`, so that the log says when Redis begins and ends to refuse writes.

        The first question is not sent at once: Redis may still be starting, and its silence would be remembered.
        """
        while True:
            await asyncio.sleep(WATCH_SECONDS)
            await self.answers()


class Operations:
    """The handlers of the operations port."""

    def __init__(self, service: Service, metrics: CollectorRegistry, admin_token: str | None) -> None:
        self._service = service
        self.redis_health = RedisHealth(service.ping)
        self._metrics = metrics
        self._admin_token = admin_token

    async def healthz(self, _: web.Request) -> web.Response:
        return web.json_response({"status": "ok"})

    async def readyz(self, _: web.Request) -> web.Response:
        reasons = list(self._service.unready_reasons())
        if not await self.redis_health.answers():
            reasons.append("redis does not answer")
        if reasons:
            return web.json_response({"status": "unavailable", "reasons": reasons}, status=503)
        if self.redis_health.read_only:
            return web.json_response({"status": "read-only", "reasons": [READ_ONLY]})
        return web.json_response({"status": "ok"})

    async def metrics(self, _: web.Request) -> web.Response:
        shown = generate_latest(self._metrics)
        return web.Response(body=shown, headers={"Content-Type": CONTENT_TYPE_PLAIN_0_0_4})

    async def put_access(self, request: web.Request) -> web.Response:
        self._authorize(request)
        document = await request.read()
        try:
            tokens = await self._service.apply_access(document)
        except Malformed as error:
            return _refusal(422, str(error))
        except Unavailable as error:
            return _refusal(503, str(error))
        return web.json_response({"tokens": tokens}, headers={"Cache-Control": "no-store"})

    def _authorize(self, request: web.Request) -> None:
        if self._admin_token is None:
            raise web.HTTPNotFound(text="the admin API is off: POLYSTOW_ADMIN_TOKEN is not set")
        given = request.headers.get("Authorization", "")
        if not hmac.compare_digest(given.encode(errors="surrogateescape"), f"Bearer {self._admin_token}".encode()):
            text = "the admin token is missing or wrong: send Authorization: Bearer ADMIN_TOKEN"
            raise web.HTTPUnauthorized(text=text, headers={"WWW-Authenticate": "Bearer"})

    def application(self) -> web.Application:
        """Return the application with all routes. Every answer is JSON, except that of /metrics."""
        app = web.Application(middlewares=[_json_errors], client_max_size=LARGEST_ACCESS_BYTES)
        app.router.add_get("/healthz", self.healthz)
        app.router.add_get("/readyz", self.readyz)
        app.router.add_get("/metrics", self.metrics)
        app.router.add_put("/admin/access", self.put_access)
        return app


def _refusal(status: int, message: str, **headers: str) -> web.Response:
    return web.json_response({"error": {"message": message}}, status=status, headers=headers)


@web.middleware
async def _json_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except web.HTTPException as error:
        kept = {name: error.headers[name] for name in ("Allow", "WWW-Authenticate") if name in error.headers}
        return _refusal(error.status, error.text or error.reason, **kept)


async def listen(application: web.Application, opened: socket.socket) -> web.AppRunner:
    """Serve the application on a listening socket. The caller must call `cleanup` on the returned runner."""
    runner = web.AppRunner(application, handle_signals=False, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    await web.SockSite(runner, opened).start()
    return runner
