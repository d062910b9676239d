"""The operations port: what a cluster and an operator ask the service, answered by the parent process.

Invariant: `/healthz` answers 200 for as long as this process works, whatever Redis and the workers do;
killing the service would bring neither of them back. `/readyz` answers 200 also while Redis refuses writes, and says
that it does: reads are served, and every other instance has the same Redis.
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

PING_SECONDS = 1.0  # a Redis that takes longer is not ready
REMEMBERED_SECONDS = 0.5  # so that probes from many sides cost Redis two PINGs a second
LARGEST_ACCESS_BYTES = 1024 * 1024
WATCH_SECONDS = 2.0
READ_ONLY = "redis refuses writes: it cannot write to its disk, which most often is full"

log = logging.getLogger(__name__)


class Service(Protocol):
    """The part of the service that the operations port uses."""

    def obstacles(self) -> Iterable[str]:
        """Why no request should be sent here, Redis aside; nothing when there is no reason."""

    async def ping(self) -> object:
        """Return when Redis has answered; raise whatever when it has not."""

    async def apply_access(self, document: bytes) -> list[dict[str, Any]]:
        """Apply an access document; the tokens that were generated. Raises Malformed, Unavailable."""


class Pulse:
    """The health of Redis: if it answers, and if it takes writes; asked at most every `REMEMBERED_SECONDS`, whoever
    wants to know."""

    def __init__(self, ping: Callable[[], Awaitable[object]]) -> None:
        self._ping = ping
        self._asking = asyncio.Lock()
        self._asked = float("-inf")
        self._beats = False
        self.read_only = False

    async def beats(self, remembered: float = REMEMBERED_SECONDS) -> bool:
        """Return if the newest PING, at most so many seconds old, was answered in time."""
        async with self._asking:
            if monotonic() - self._asked >= remembered:
                self._beats = await self._answered()
                self._asked = monotonic()
        return self._beats

    async def _answered(self) -> bool:
        read_only = False
        try:
            async with asyncio.timeout(PING_SECONDS):
                await self._ping()
        except Rejected as error:  # MISCONF: PING is refused as writes are, and reads are served
            if error.word != "MISCONF":
                return False
            read_only = True
        except Exception:  # whatever went wrong, Redis did not answer
            return False
        if read_only != self.read_only:
            log.log(*(logging.ERROR, READ_ONLY) if read_only else (logging.WARNING, "redis takes writes again"))
        self.read_only = read_only
        return True

    async def watch(self) -> None:
        """Go on asking, so that the log says when writes begin and cease to be refused. Not at once: what is not there
        while the service starts would be remembered for its first moments."""
        while True:
            await asyncio.sleep(WATCH_SECONDS)
            await self.beats()


class Operations:
    """The handlers."""

    def __init__(self, service: Service, metrics: CollectorRegistry, admin_token: str | None) -> None:
        self._service = service
        self.pulse = Pulse(service.ping)
        self._metrics = metrics
        self._admin_token = admin_token

    async def healthz(self, _: web.Request) -> web.Response:
        return web.json_response({"status": "ok"})

    async def readyz(self, _: web.Request) -> web.Response:
        reasons = list(self._service.obstacles())
        if not await self.pulse.beats():
            reasons.append("redis does not answer")
        if reasons:
            return web.json_response({"status": "unavailable", "reasons": reasons}, status=503)
        if self.pulse.read_only:
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
            raise web.HTTPUnauthorized(text="a wrong or missing admin token", headers={"WWW-Authenticate": "Bearer"})

    def application(self) -> web.Application:
        """The routes; every answer but that of /metrics is JSON."""
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
    """Serve on `opened`; the caller calls `cleanup` on the runner when done."""
    runner = web.AppRunner(application, handle_signals=False, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    await web.SockSite(runner, opened).start()
    return runner
