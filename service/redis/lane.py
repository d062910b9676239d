"""A lane: all commands for one Redis node, on one connection that is kept alive.

Commands of one tick of the event loop are written together, at the latest at its end; their replies come back in the
same order. A command costs a future and an entry in the queue: no task, no timer, no lock of its own.

Invariant: every future that `execute` returned has its outcome by its deadline, whatever the connection does.
"""

import asyncio
import contextlib
import logging
import random
import ssl
from collections.abc import Callable
from typing import Any

from redis.asyncio.connection import AbstractConnection
from redis.exceptions import AuthenticationError

from service.redis.errors import NotSent, Rejected
from service.redis.pending import Command, Mend, Pending, Redirect
from service.redis.piecemeal import Piecemeal
from service.redis.wire import Argument, Prepare, Wire, established, pack

log = logging.getLogger(__name__)

FIRST_BACKOFF_SECONDS = 0.050  # doubles
MAX_BACKOFF_SECONDS = 0.500
# A connection that lived this long is replaced at once; one that did not counts as a failed attempt, so that
# a server which accepts and hangs up is not hammered.
STEADY_SECONDS = 1.0
EAGER_COMMANDS = 16  # are written at once, so that Redis works on them while this process goes on with its tick


class Lane:
    """See the module. Made inside a running event loop; `connect` starts it, `close` ends it.

    dial          makes a fresh redis-py connection, not yet connected
    timeout       seconds from `execute` to a command's outcome
    max_commands  bound on commands without outcome, sent or not
    max_bytes     bound on their packed size
    on_connect    runs on each new connection before any command of the queue is sent on it
    redirect      see Pending: where a command goes that this node is not the one for
    mend          see Pending: what makes it possible to repeat a command that a server refused
    """

    _piecemeal = False

    def __init__(
        self,
        dial: Callable[[], AbstractConnection],
        *,
        name: str = "Redis",
        timeout: float = 5.0,
        max_commands: int = 10_000,
        max_bytes: int = 256 * 1024 * 1024,
        on_connect: Prepare | None = None,
        redirect: Redirect | None = None,
        mend: Mend | None = None,
    ) -> None:
        self.name, self.timeout = name, timeout
        self.reconnects = 0
        self._pending = Pending(max_commands, max_bytes, redirect, mend)
        self._dial = dial
        self._on_connect = on_connect
        self._silent = timeout  # seconds without a sign of life after which the server is given up
        self._loop = asyncio.get_running_loop()
        self._create_future = self._loop.create_future
        self._wire: Wire | None = None
        self._former = [0, 0]  # commands and writes of the connections before this one
        self._flushing = False  # a flush is scheduled for this tick
        self._deadline = 0.0  # of the commands of this tick
        self._timer: asyncio.TimerHandle | None = None
        self._alarm = 0.0  # what `_timer` is set to
        self._keeper: asyncio.Task[None] | None = None
        self._attempted = asyncio.Event()
        self._hopeless = False  # the last attempt failed for a reason that does not pass by itself
        self._closed = False

    @property
    def commands(self) -> int:
        """Commands sent, repetitions included."""
        return self._former[0] + (self._wire.commands if self._wire else 0)

    @property
    def round_trips(self) -> int:
        """Writes, each of which carries commands of one tick."""
        return self._former[1] + (self._wire.writes if self._wire else 0)

    @property
    def retries(self) -> int:
        return self._pending.retries

    @property
    def depth(self) -> int:
        """Commands without outcome, sent or not."""
        return self._pending.depth

    @property
    def connected(self) -> bool:
        return self._wire is not None and not self._wire.lost.done()

    @property
    def silence(self) -> float:
        """Seconds for which commands have been in flight and nothing came."""
        return self._loop.time() - self._wire.heard if self._wire and self._pending.flight else 0.0

    def execute(self, *args: Argument, key: str | bytes = b"", write: bool | None) -> asyncio.Future[Any]:
        """Send a command in this tick; its future gets the reply, or one of the failures of `errors`.

        `write` and `key` are as in Command.
        """
        future = self._create_future()
        self.send(Command(future, pack(args), write, key=key))
        return future

    def send(self, command: Command) -> None:
        """Send a command in this tick. Its outcome is told in the midst of the reading of replies: it must not raise,
        and not take long."""
        if not self._flushing:
            self._flushing = True
            self._deadline = self._loop.time() + self.timeout
            self._loop.call_soon(self._flush)
        pending = self._pending
        command.deadline = self._deadline
        pending.add(command)
        if len(pending.waiting) >= EAGER_COMMANDS and self._wire is not None:
            self._wire.flush()

    def readmit(self, command: Command) -> None:
        """Send a command that another node did not serve, by the deadline that it has."""
        self._pending.readmit(command, self._loop.time())
        self._loop.call_soon(self._advance)

    def asking(self, command: Command) -> bool:
        """Send a command for a slot that this node is importing, or say that it cannot be sent at once."""
        if self._wire is None or not self._wire.asking(command):
            return False
        self._loop.call_soon(self._watch)
        return True

    def drain(self) -> list[Command]:
        """Give away the commands that are not in flight."""
        return self._pending.drain()

    def abort(self, reason: str) -> None:
        """Leave this connection, if there is one, for the next."""
        if self._wire is not None:
            self._wire.abort(reason)

    def start(self) -> None:
        """Begin to connect, and go on until `close`."""
        if self._keeper is None:
            self._keeper = asyncio.create_task(self._keep_connected())

    async def connect(self, within: float = 5.0) -> None:
        """Wait until the lane is connected, for `within` seconds at most.

        Raises NotSent, in words; at once where waiting cannot help (credentials, certificates). The lane goes
        on trying all the same, until it is closed.
        """
        self.start()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within):
                while not self.connected and not self._hopeless:
                    self._attempted.clear()
                    await self._attempted.wait()
        if not self.connected:
            raise NotSent(f"cannot connect to {self.name}: {self._pending.reason}")

    async def close(self) -> None:
        """Disconnect, for good. Commands without outcome fail now."""
        self._closed = True
        if self._keeper:
            self._keeper.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._keeper
        if self._timer:
            self._timer.cancel()
        self._pending.close("the lane was closed")

    async def _keep_connected(self) -> None:
        attempt = 0
        while True:
            if attempt:
                await asyncio.sleep(backoff(attempt))
            began = self._loop.time()
            try:
                wire = await established(self._dial(), self._on_connect, self._silent)
            except Exception as error:  # whatever it is, the lane lives until it is closed
                self._report(error)
                attempt += 1
                continue
            try:
                await self._serve(wire)
            finally:
                self._wire = None
                self._former[0] += wire.commands
                self._former[1] += wire.writes
                await wire.close()
            self.reconnects += 1
            attempt = 0 if self._loop.time() - began >= STEADY_SECONDS else attempt + 1

    async def _serve(self, wire: Wire) -> None:
        """Let the queue use this connection until it is lost."""
        log.info("connected to %s", self.name)
        if self._piecemeal:
            wire.transport = Piecemeal(wire.transport)
        wire.open_to(self._pending, self._advance)
        self._wire = wire
        self._hopeless = False
        self._attempted.set()
        self._advance()
        log.warning("lost the connection to %s: %s", self.name, await wire.lost)

    def _report(self, error: Exception) -> None:
        reason = str(error) or type(error).__name__
        if reason != self._pending.reason:  # once, not at each attempt
            log.warning("cannot connect to %s: %s", self.name, reason)
        self._pending.reason = reason
        self._hopeless = hopeless(error)
        self._attempted.set()

    def _flush(self) -> None:
        self._flushing = False
        if self._closed:
            self._pending.close("the lane was closed")
        elif self._wire is not None:
            self._wire.flush()
        # A timer that is set already rings before the deadline of any command of this tick.
        if self._timer is None:
            self._watch()

    def _advance(self) -> None:
        """Flush, and look again at when time will change something."""
        self._flush()
        self._watch()

    def _watch(self) -> None:
        """Set the lane's one timer to the next deadline, end of a pause, or doubt that the server lives."""
        alarm = self._pending.next_event()
        if alarm is None:
            return
        if self._wire is not None and self._pending.flight:
            alarm = min(alarm, self._wire.heard + self._silent)
        if self._timer is not None:
            if self._alarm <= alarm:
                return
            self._timer.cancel()
        self._alarm = alarm
        self._timer = self._loop.call_at(alarm, self._ring)

    def _ring(self) -> None:
        self._timer = None
        now = max(self._loop.time(), self._alarm)  # uvloop counts milliseconds and may ring a fraction early
        self._pending.wake(now)
        self._pending.expire(now)
        wire = self._wire
        if wire is not None and self._pending.flight and now >= wire.heard + self._silent:
            wire.abort(f"the server was silent for {self._silent:g} s")
        self._advance()


class BulkLane(Lane):
    """A lane for long commands, which it writes a piece at a time."""

    _piecemeal = True


def backoff(attempt: int) -> float:
    """Seconds to wait after this many failures, with jitter so that workers do not come back in step."""
    full: float = min(FIRST_BACKOFF_SECONDS * 2 ** min(attempt - 1, 10), MAX_BACKOFF_SECONDS)
    return full * random.uniform(0.5, 1.0)


def hopeless(error: Exception) -> bool:
    """Return if a failure to connect is one of configuration, which waiting does not mend."""
    untrusted = isinstance(error.__context__, ssl.SSLCertVerificationError)
    unauthenticated = isinstance(error, Rejected) and error.word == "NOAUTH"
    return untrusted or unauthenticated or isinstance(error, AuthenticationError)
