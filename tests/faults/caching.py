"""Services in the process of the test, which can give them a broken read cache to see that the checkers notice it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import cycle
from time import perf_counter
from typing import Any, cast

import pytest
from aiohttp import web

from service.http.app import App, start
from service.metrics import Meter
from service.operations.apply_access import apply_document
from service.redis import client
from service.redis.tracking import Tracker, Waiter
from service.settings import Settings
from tests.faults.proxy import Proxy
from tests.faults.stand import Stand
from tests.running import ACCESS, Running
from tests.servers import RedisProcess, binaries


class WithoutBarrier(Tracker):
    """A broken tracker: cached answers are not confirmed by Redis."""

    def wait(self, waiter: Waiter) -> None:
        self.shared.confirmations += 1
        self._loop.call_soon(waiter.confirmed, 0, 0.0, perf_counter())


class WithoutClock(Tracker):
    """A broken tracker: cached answers are used after their documents have expired."""

    def wait(self, waiter: Waiter) -> None:
        super().wait(cast(Waiter, Timeless(waiter)))


class Timeless:
    def __init__(self, waiter: Waiter) -> None:
        self.held, self.unconfirmed, self._confirmed = waiter.held, waiter.unconfirmed, waiter.confirmed

    def confirmed(self, clock: int, seconds: float, now: float) -> None:
        self._confirmed(0, seconds, now)


class NotEmptied(Tracker):
    """A broken tracker: the cache is not emptied when the connection is lost."""

    def _empty(self) -> None: ...


class Services:
    """Several services. `url` is the next one of them each time it is read."""

    def __init__(self, apps: list[App], urls: list[str]) -> None:
        self.apps = apps
        self._urls = cycle(urls)

    @property
    def url(self) -> str:
        return next(self._urls)

    @property
    def hits(self) -> int:
        return sum(app.redis.tracking.confirmations - app.cache.spoiled for app in self.apps)

    def worker_pids(self) -> list[int]:
        return []


@asynccontextmanager
async def caching(
    kind: type[Tracker] = Tracker, number: int = 2, **settings: Any
) -> AsyncIterator[tuple[Stand, Services]]:
    """Yield a stand with this number of services, whose trackers are of class `kind`."""
    keeping = ("--appendonly", "yes", "--appendfsync", "always")
    with pytest.MonkeyPatch.context() as patch, RedisProcess(binaries()[0][1], *keeping) as redis:
        patch.setattr(client, "Tracker", kind)
        proxy = Proxy(redis.socket)
        await proxy.start()
        await apply_document(redis.url, ACCESS.read_bytes())
        apps = [await start(Settings(request_timeout=1, **settings), proxy.url, Meter()) for _ in range(number)]
        runners = [web.ServerRunner(app.server, handle_signals=False) for app in apps]
        try:
            urls = [await _serving(runner) for runner in runners]
            services = Services(apps, urls)
            yield Stand(redis, proxy, cast(Running, services)), services
        finally:
            for runner in runners:
                await runner.cleanup()
            await asyncio.gather(*(app.close() for app in apps))
            await proxy.close()


async def _serving(runner: web.ServerRunner) -> str:
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0][:2]
    return f"http://{host}:{port}"
