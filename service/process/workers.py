"""Worker processes, managed by the parent: start, reports, restart and stop.

Invariant: until the service stops, a worker that dies is started again on the same listening socket.
"""

import asyncio
import logging
import os
import signal
import site
import socket
import sys
from asyncio.subprocess import DEVNULL, Process
from pathlib import Path
from time import monotonic

from service.operations.exposition import Totals
from service.process import link
from service.settings import Settings

FIRST_PAUSE, LONGEST_PAUSE = 0.1, 5.0  # seconds before a restart; the pause doubles while the worker keeps dying
STEADY_SECONDS = 1.0  # after a worker was ready for this time, the next pause is the first one again
SILENT_SECONDS = 10.0  # a worker without a report for this time counts as stuck; it reports every second

log = logging.getLogger(__name__)


class StartFailed(Exception):
    """The service cannot start. The text has the reason."""


class Worker:
    """One worker: its listening socket and the process that serves it now."""

    def __init__(self, index: int, listener: socket.socket, environment: dict[str, str], totals: Totals) -> None:
        self.index = index
        self.restarts = 0
        self.started: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._listener = listener
        self._environment = environment
        self._totals = totals
        self._process: Process | None = None
        self._orders: asyncio.StreamWriter | None = None
        self._ready_since: float | None = None
        self._heard = 0.0
        self._draining = False
        self._stopping = asyncio.Event()

    @property
    def ready(self) -> bool:
        """True while the worker serves and is not stuck."""
        return self._ready_since is not None and monotonic() - self._heard < SILENT_SECONDS

    async def keep(self) -> None:
        """Run the worker, and start a new process each time that one dies, until `stop` is called.

        If the first process cannot start, the future `started` fails.
        """
        pause = FIRST_PAUSE
        while True:
            status, lived = await self._live()
            if self._stopping.is_set():
                return
            if status == 1 and not self.started.done():
                self.started.set_exception(StartFailed(f"worker {self.index} could not start; its log has the reason"))
                return
            pause = FIRST_PAUSE if lived >= STEADY_SECONDS else pause
            cause = f"signal {-status}" if status < 0 else f"status {status}"
            log.warning("worker %d died (%s) and is started again in %.1f s", self.index, cause, pause)
            self.restarts += 1
            try:
                await asyncio.wait_for(self._stopping.wait(), pause)
            except TimeoutError:
                pause = min(pause * 2, LONGEST_PAUSE)

    async def _live(self) -> tuple[int, float]:
        """Run one process to its end. Return its exit status and the seconds for which it was ready."""
        ours, theirs = socket.socketpair()
        with theirs:
            self._process = await self._spawn(theirs)
        reader, self._orders = await link.connect(ours)
        if self._draining:
            self._orders.write(link.DRAIN)
        if self._stopping.is_set():
            self._signal(signal.SIGTERM)
        await self._receive(reader)
        lived = 0.0 if self._ready_since is None else monotonic() - self._ready_since
        self._ready_since = None
        self._orders.close()
        status = await self._process.wait()
        self._totals.retire(self.index)
        return status, lived

    async def _spawn(self, link_end: socket.socket) -> Process:
        descriptors = (self._listener.fileno(), link_end.fileno())
        arguments = ("worker", str(self.index), *map(str, descriptors))
        # -P keeps a directory `service` in the operator's working directory from being imported instead of this
        # package. With its own session a worker does not get Ctrl-C; only the parent does, and stops it in order.
        return await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", "-m", "service", *arguments),
            pass_fds=descriptors,
            env=self._environment,
            stdin=DEVNULL,
            start_new_session=True,
        )

    async def _receive(self, reader: asyncio.StreamReader) -> None:
        try:
            async for report in link.reports(reader):
                self._heard = monotonic()
                self._totals.update(self.index, report["metrics"])
                self._set_ready(bool(report["ready"]))
        except ValueError as error:
            log.error("worker %d: %s", self.index, error)
            self._signal(signal.SIGKILL)

    def _set_ready(self, ready: bool) -> None:
        if not ready:
            self._ready_since = None
        elif self._ready_since is None:
            self._ready_since = monotonic()
            if not self.started.done():
                self.started.set_result(None)

    def drain(self) -> None:
        """Let the worker close connections after each answer, so that clients connect to other instances."""
        self._draining = True
        if self._orders is not None and not self._orders.is_closing():
            self._orders.write(link.DRAIN)

    def stop(self) -> None:
        """Let the worker finish its requests and exit. It is not started again."""
        self._stopping.set()
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        """Kill the worker, if it does not stop in time."""
        self._signal(signal.SIGKILL)

    def _signal(self, number: int) -> None:
        if self._process is not None and self._process.returncode is None:
            self._process.send_signal(number)


def environment(settings: Settings) -> dict[str, str]:
    """Return the environment for a worker: that of this process, with `settings` as its POLYSTOW_ variables."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("POLYSTOW_")}
    root = str(Path(__file__).parents[2])
    if root not in (*site.getsitepackages(), site.getusersitepackages()):
        inherited["PYTHONPATH"] = os.pathsep.join(filter(None, (root, inherited.get("PYTHONPATH"))))
    return inherited | settings.environment()
