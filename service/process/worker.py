"""The worker: one process, one event loop, one listening socket that it inherited from the parent.

Invariant: a request that was begun is answered, whatever ends the worker (a signal, the parent's death),
unless it takes longer than `FINISH_SECONDS` or the worker is killed.
"""

import asyncio
import gc
import logging
import signal
import socket
from contextlib import suppress
from functools import partial

from aiohttp import web

from service.http.app import App, start
from service.metrics import Meter, watch_process
from service.process.link import DRAIN, connect, frame
from service.process.ports import BACKLOG
from service.settings import FINISH_SECONDS, Settings

CLOSE_SECONDS = 2.0  # for answers to be sent; aiohttp may take it twice. All of it is under 10 s
POLL_SECONDS = 0.01
REPORT_SECONDS = 1.0

log = logging.getLogger(__name__)


async def work(settings: Settings, listener: socket.socket, link_end: socket.socket) -> int:
    """Serve until told to stop; the exit status. 1 says that it could not start; the log says why."""
    stopping = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopping.set)
    orders, reports = await connect(link_end)
    meter = Meter()
    watch_process(meter)
    try:
        app = await start(settings, settings.redis_url or "", meter)
    except Exception as error:
        log.error("cannot start: %s", error, exc_info=log.isEnabledFor(logging.DEBUG))
        return 1
    _watch(meter, app)
    runner = web.ServerRunner(app.server, handle_signals=False, shutdown_timeout=CLOSE_SECONDS)
    await runner.setup()
    site = web.SockSite(runner, listener, backlog=BACKLOG)
    await site.start()
    _freeze()
    obeying = asyncio.create_task(_obey(orders, app, stopping))
    reporting = asyncio.create_task(_report(reports, meter))
    await stopping.wait()
    app.state.draining = True
    await site.stop()
    await _finish(app)
    await runner.cleanup()
    await app.close()
    obeying.cancel()
    reporting.cancel()
    await _say_goodbye(reports, meter)
    return 0


def _freeze() -> None:
    # What start-up made (modules, routes, scripts) lives as long as the process. Out of the collector's
    # sight, it is not visited again and again: a full collection costs what requests left behind, no more.
    gc.collect()
    gc.freeze()


async def _finish(app: App) -> None:
    # aiohttp's own shutdown stops reading first: a body that is still on its way would never arrive.
    for _ in range(round(FINISH_SECONDS / POLL_SECONDS)):
        if app.state.in_flight == 0:
            return
        await asyncio.sleep(POLL_SECONDS)


def _watch(meter: Meter, app: App) -> None:
    meter.watch("polystow_requests_in_flight", lambda: app.state.in_flight)
    for name in ("commands", "round_trips", "retries", "reconnects"):
        meter.watch(f"polystow_redis_{name}_total", partial(app.redis.total, name))
    meter.watch("polystow_redis_lane_depth", partial(app.redis.total, "depth"))
    cache, tracking = app.cache, app.redis.tracking
    meter.watch("polystow_read_cache_hits_total", lambda: tracking.confirmations - cache.spoiled)
    meter.watch("polystow_read_cache_misses_total", lambda: cache.misses)
    meter.watch("polystow_read_cache_barriers_total", lambda: tracking.barriers)
    meter.watch("polystow_read_cache_invalidations_total", lambda: tracking.invalidations)
    meter.watch("polystow_read_cache_bytes", lambda: cache.bytes)


async def _obey(orders: asyncio.StreamReader, app: App, stopping: asyncio.Event) -> None:
    with suppress(ConnectionError):
        while order := await orders.read(1):
            app.state.draining = app.state.draining or order == DRAIN
    stopping.set()  # the parent is gone, and with it everybody who would stop this process


async def _report(reports: asyncio.StreamWriter, meter: Meter) -> None:
    while True:
        # A parent that does not read (it is stopped, say) must not make this process hoard reports.
        if reports.transport.get_write_buffer_size() == 0:
            reports.write(frame({"ready": True, "metrics": meter.snapshot()}))
        await asyncio.sleep(REPORT_SECONDS)


async def _say_goodbye(reports: asyncio.StreamWriter, meter: Meter) -> None:
    with suppress(ConnectionError, TimeoutError):
        reports.write(frame({"ready": False, "metrics": meter.snapshot()}))
        async with asyncio.timeout(1):
            await reports.drain()
            reports.close()
            await reports.wait_closed()
