"""The supervisor: the parent process, which starts all parts of the service, restarts them, and stops them.

The order of the start is: ports, operations port, embedded Redis, workers. Invariant: in whatever way the service
ends, every part that was started is stopped, in the reverse order: the workers finish the requests in flight, Redis
saves and ends, and the operations port is closed last.

The ports are opened first, so that a second service on the same ports fails at once with a clear message. Clients that
connect while Redis still loads its files wait in the accept queue.
"""

import asyncio
import logging
import socket
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from service import __version__
from service.api.access_document import Malformed
from service.api.signing import stored_key
from service.dialects import discover
from service.metrics import Meter
from service.operations.apply_access import apply_document, apply_in_subprocess
from service.operations.exposition import Totals, registry
from service.operations.port import PING_SECONDS, Operations, RedisHealth, listen
from service.process.ports import PortTaken, listeners, url
from service.process.signals import Stop
from service.process.workers import StartFailed, Worker, environment
from service.redis.binary import Unusable
from service.redis.check import check
from service.redis.client import Redis
from service.redis.embedded import Embedded
from service.redis.errors import Failed
from service.settings import BadSetting, Settings
from service.storage.errors import Unavailable

SMALL = 16 * 1024  # a longer access document is read by a subprocess, which takes 0.5 s; here, this takes 20 ms
STOP_SECONDS = 12.0  # workers that run longer after a stop are killed; they should end within 10 s
SIGNING_KEY = "signing.key"  # file in the data directory
UNSIGNED = (
    "it is required with POLYSTOW_REDIS_URL, and must be the same for every instance on that Redis;"
    " make a key with openssl rand -hex 32"
)

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Serving:
    """Facts about the running service, for the operator."""

    url: str
    ops_url: str
    tokens: list[dict[str, Any]]  # tokens generated for the access document; they cannot be shown again


Announce = Callable[[Serving], None]


class Supervisor:
    """The whole service. The operations port calls `unready_reasons`, `ping` and `apply_access`."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._listeners: list[socket.socket] = []
        self._workers: list[Worker] = []
        self._keeping: list[asyncio.Task[None]] = []
        self._redis_url: str | None = None
        self._redis: Redis | None = None
        self._draining = False
        self._meter = Meter()
        self._totals = Totals(self._meter)
        self._meter.watch("polystow_workers", lambda: sum(worker.ready for worker in self._workers))
        self._meter.watch("polystow_worker_restarts_total", lambda: sum(worker.restarts for worker in self._workers))
        self._meter.watch("polystow_build_info", lambda: 1, __version__)

    def unready_reasons(self) -> Iterator[str]:
        if self._draining:
            yield "the service is stopping"
        if not any(worker.ready for worker in self._workers):
            yield "no worker is ready"

    async def ping(self) -> None:
        if self._redis is None:
            raise Unavailable("the service is starting")
        await self._redis.ping()

    async def apply_access(self, document: bytes) -> list[dict[str, Any]]:
        if self._redis_url is None:
            raise Unavailable("the service is starting")
        if len(document) <= SMALL:
            return await apply_document(self._redis_url, document)
        settings = Settings(redis_url=self._redis_url, log_level="error")
        return await apply_in_subprocess(environment(settings), document)

    async def run(self, stop: Stop, announce: Announce) -> None:
        """Start the service, serve until a signal comes, drain and stop. Raises StartFailed, PortTaken, BadSetting."""
        async with AsyncExitStack() as stack:
            asked = asyncio.create_task(stop.asked.wait())
            stack.callback(asked.cancel)
            starting = asyncio.create_task(self._start(stack))
            await asyncio.wait({starting, asked}, return_when=asyncio.FIRST_COMPLETED)
            if asked.done():
                starting.cancel()
                with suppress(asyncio.CancelledError):
                    await starting
                return
            announce(starting.result())
            await asyncio.wait({asked, *self._keeping}, return_when=asyncio.FIRST_COMPLETED)
            if not asked.done():
                raise StartFailed("a worker cannot be started again; its log has the reason")
            await self._drain(stop)

    async def _start(self, stack: AsyncExitStack) -> Serving:
        settings = self._settings
        document = _read(settings.access)
        self._listeners = _opened(stack, settings.host, settings.port, settings.workers)
        (ops,) = _opened(stack, settings.host, settings.ops_port, 1)
        operations = Operations(self, registry(self._totals), settings.admin_token)
        runner = await listen(operations.application(), ops)
        stack.push_async_callback(runner.cleanup)
        stack.callback(asyncio.create_task(operations.redis_health.watch()).cancel)
        redis_url = await self._start_redis(stack)
        tokens = await self._apply_at_start(document, operations.redis_health)
        await self._start_workers(stack, redis_url)
        return Serving(url(self._listeners[0]), url(ops), tokens)

    async def _start_redis(self, stack: AsyncExitStack) -> str:
        settings = self._settings
        redis_url = settings.redis_url
        if redis_url is None:
            server = str(settings.redis_server) if settings.redis_server else None
            embedded = Embedded(settings.data_dir, server=server, appendfsync=settings.appendfsync)
            stack.push_async_callback(embedded.stop)
            try:
                await embedded.start()
            except Unusable as error:
                raise StartFailed(str(error)) from error
            self._meter.watch("polystow_embedded_redis_restarts_total", lambda: embedded.restarts)
            redis_url = embedded.url
        self._redis_url = redis_url
        try:
            redis = Redis.open(redis_url, timeout=PING_SECONDS)
            stack.push_async_callback(redis.close)
            await redis.connect()
            await _check(redis)
            self._redis = redis
        except (Failed, ValueError) as error:
            raise StartFailed(f"redis: {error}") from error
        return redis_url

    async def _apply_at_start(self, document: bytes | None, redis_health: RedisHealth) -> list[dict[str, Any]]:
        if document is None:
            return []
        try:
            return await self.apply_access(document)
        except Malformed as error:
            raise BadSetting(f"{self._settings.access}: {error}") from error
        except Unavailable as error:
            if not (await redis_health.answers(0) and redis_health.read_only):
                raise StartFailed(str(error)) from error
            log.error(
                "redis refuses writes: the access document was not applied; the entries applied before stay in force"
            )
            return []

    async def _start_workers(self, stack: AsyncExitStack, redis_url: str) -> None:
        # A worker does not need the admin token, so it does not get it.
        worker_environment = environment(
            replace(self._settings, redis_url=redis_url, admin_token=None, signing_key=_signing(self._settings))
        )
        stack.push_async_callback(self._stop_workers)
        for index, listener in enumerate(self._listeners):
            worker = Worker(index, listener, worker_environment, self._totals)
            self._workers.append(worker)
            self._keeping.append(asyncio.create_task(worker.keep()))
        await asyncio.gather(*(worker.started for worker in self._workers))

    async def _drain(self, stop: Stop) -> None:
        """Keep serving for `drain_seconds`, so that load balancers see `/readyz` fail and send requests elsewhere."""
        self._draining = True
        for worker in self._workers:
            worker.drain()
        with suppress(TimeoutError):
            await asyncio.wait_for(stop.hurry.wait(), self._settings.drain_seconds)

    async def _stop_workers(self) -> None:
        self._draining = True
        for listener in self._listeners:
            listener.close()
        for worker in self._workers:
            worker.stop()
        _, late = await asyncio.wait(self._keeping, timeout=STOP_SECONDS)
        if late:
            log.error("%d workers did not stop within %g s and are killed", len(late), STOP_SECONDS)
            for worker in self._workers:
                worker.kill()
            await asyncio.wait(late)


async def _check(redis: Redis) -> None:
    # In a cluster only the connected nodes are checked, because the others cannot be asked.
    lanes = [lane for lane in redis.lanes if lane.connected] or redis.lanes
    asked = [await check(partial(lane.execute, write=False), cluster=redis.cluster) for lane in lanes]
    found = list(dict.fromkeys(finding for findings in asked for finding in findings))
    for finding in found:
        log.warning("redis: %s", finding.text)
    if refused := [finding.text for finding in found if finding.level == "refuse"]:
        raise StartFailed("redis: " + "; ".join(refused))


def _signing(settings: Settings) -> tuple[str, ...]:
    """Return the signing keys of the settings, or else the key in the data directory. Raises StartFailed."""
    if settings.signing_key or settings.redis_url is not None:
        return settings.signing_key
    try:
        return (stored_key(settings.data_dir / SIGNING_KEY),)
    except (OSError, ValueError) as error:
        raise StartFailed(f"the signing key {settings.data_dir / SIGNING_KEY} cannot be used: {error}") from error


def _read(document: Path | None) -> bytes | None:
    try:
        return document.read_bytes() if document else None
    except OSError as error:
        raise BadSetting(f"{document}: {error.strerror}") from error


def _opened(stack: AsyncExitStack, host: str, port: int, count: int) -> list[socket.socket]:
    opened = listeners(host, port, count)
    for each in opened:
        stack.callback(each.close)
    return opened


async def serve(settings: Settings, announce: Announce) -> int:
    """Run the service in the foreground and return the exit status.

    Raises BadSetting for unknown dialects, a missing signing key or a wrong access document.
    """
    try:
        dialects = discover(settings.dialects)
    except ValueError as error:
        raise BadSetting(f"POLYSTOW_DIALECTS: {error}") from error
    # All instances on one Redis must use the same key. They share no file in which a generated key could be kept.
    if settings.redis_url is not None and not settings.signing_key and any(dialect.signs for dialect in dialects):
        raise BadSetting(f"POLYSTOW_SIGNING_KEY: {UNSIGNED}")
    try:
        await Supervisor(settings).run(Stop(), announce)
    except (StartFailed, PortTaken) as error:
        log.error("%s", error)
        return 1
    return 0
