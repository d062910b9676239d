"""The worker: one process with one event loop and one listening socket, which it inherits from the parent.

Invariant: a worker that stops, because of a signal or because the parent died, first answers the requests that have
begun. Exceptions are a request that takes longer than `FINISH_SECONDS`, and a worker that is killed.
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

CLOSE_SECONDS = 2.0  # time to send answers; aiohttp may use it twice. With FINISH_SECONDS, a stop takes at most 10 s
POLL_SECONDS = 0.01
REPORT_SECONDS = 1.0

log = logging.getLogger(__name__)


async def work(settings: Settings, listener: socket.socket, link_end: socket.socket) -> int:
    """Serve until the worker is told to stop. Return the exit status: 1 if it could not start; the reason is logged."""
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
    app.drain()
    await site.stop()
    await _finish(app)
    await runner.cleanup()
    await app.close()
    obeying.cancel()
    reporting.cancel()
    await _say_goodbye(reports, meter)
    return 0


def _freeze() -> None:
    # Modules, routes and scripts live as long as the process. After `freeze` the garbage collector does not visit
    # them any more, so a full collection only visits objects that requests have made.
    gc.collect()
    gc.freeze()


async def _finish(app: App) -> None:
    # aiohttp's own shutdown stops reading first, so a request body that is still arriving would be cut off.
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
    followers = app.state.service.followers
    meter.watch("polystow_feed_followers", lambda: followers.now)
    meter.watch("polystow_feed_events_total", lambda: followers.events)
    meter.watch("polystow_feed_cut_total", lambda: followers.cut)
    meter.watch("polystow_feed_unread_bytes", lambda: followers.unread.bytes)
    meter.watch("polystow_feed_reads_total", lambda: followers.watcher.reads)


async def _obey(orders: asyncio.StreamReader, app: App, stopping: asyncio.Event) -> None:
    with suppress(ConnectionError):
        while order := await orders.read(1):
            if order == DRAIN:
                app.drain()
    stopping.set()  # the parent has died, so no other process would stop this one


async def _report(reports: asyncio.StreamWriter, meter: Meter) -> None:
    while True:
        # If the parent does not read, for example because it is suspended, no further reports are buffered.
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
