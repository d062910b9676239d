"""A lane: one connection to one Redis node, kept alive, that all commands for the node share.

The commands of one tick of the event loop are written together, at its end at the latest. Their replies come in the
same order. A command needs a future and an entry in the queue, but no task, timer or lock.

Invariant: every future that `execute` returned has its outcome by its deadline, whatever happens to the connection.
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

from service.redis.ending import end
from service.redis.errors import NotSent, Rejected
from service.redis.pending import Command, Mend, Pending, Redirect
from service.redis.piecemeal import Piecemeal
from service.redis.wire import CONNECT_SECONDS, Argument, Prepare, Wire, established, next_limit, pack

log = logging.getLogger(__name__)

FIRST_BACKOFF_SECONDS = 0.050  # it doubles
MAX_BACKOFF_SECONDS = 0.500
# A connection that lasted this long is replaced at once. A shorter one counts as a failed attempt, so that a server
# that accepts connections and closes them is not flooded.
STEADY_SECONDS = 1.0
START_SECONDS = 10.0  # for the first connection; several attempts fit in, also on a busy machine
EAGER_COMMANDS = 16  # this many commands are written at once, so that Redis begins with them before the tick ends


class Lane:
    """One lane (see the module). It is made inside a running event loop; `connect` starts it, `close` ends it.

    dial          makes a new redis-py connection that is not yet connected
    timeout       seconds from `execute` to the outcome of a command
    max_commands  largest number of commands without an outcome
    max_bytes     largest size of these commands, packed
    on_connect    runs on each new connection before any command of the queue is sent
    redirect      takes over commands that belong to another node (see Pending)
    mend          returns the command that must be sent before a refused one is sent again (see Pending)
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
        self._silent = timeout  # seconds without any reply, after which the connection is closed
        self._loop = asyncio.get_running_loop()
        self._create_future = self._loop.create_future
        self._wire: Wire | None = None
        self._former = [0, 0]  # commands and writes of the connections before this one
        self._flushing = False  # a flush is scheduled for this tick
        self._deadline = 0.0  # of the commands of this tick
        self._timer: asyncio.TimerHandle | None = None
        self._alarm = 0.0  # the time of `_timer`
        self._keeper: asyncio.Task[None] | None = None
        self._attempted = asyncio.Event()
        self._hopeless = False  # the last attempt failed because of a wrong configuration
        self._closed = False

    @property
    def commands(self) -> int:
        """The number of commands sent, repetitions included."""
        return self._former[0] + (self._wire.commands if self._wire else 0)

    @property
    def round_trips(self) -> int:
        """The number of writes to the connection, each with the commands of one tick."""
        return self._former[1] + (self._wire.writes if self._wire else 0)

    @property
    def retries(self) -> int:
        return self._pending.retries

    @property
    def depth(self) -> int:
        """The number of commands without an outcome, sent or not."""
        return self._pending.depth

    @property
    def connected(self) -> bool:
        return self._wire is not None and not self._wire.lost.done()

    @property
    def reason(self) -> str:
        """The reason why it is not connected, or why the connection before this one was lost."""
        return self._pending.reason

    @property
    def silence(self) -> float:
        """The seconds for which commands have been in flight without any reply."""
        return self._loop.time() - self._wire.heard if self._wire and self._pending.flight else 0.0

    def execute(self, *args: Argument, key: str | bytes = b"", write: bool | None) -> asyncio.Future[Any]:
        """Send a command in this tick. The future gets the reply or one of the failures of `errors`.

        `write` and `key` are those of Command.
        """
        future = self._create_future()
        self.send(Command(future, pack(args), write, key=key))
        return future

    def send(self, command: Command) -> None:
        """Send a command in this tick. Its outcome is called while replies are being read, so it must be quick and must
        not raise."""
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
        """Send a command that another node has refused, with its present deadline."""
        self._pending.readmit(command, self._loop.time())
        self._loop.call_soon(self._advance)

    def asking(self, command: Command) -> bool:
        """Send a command for a slot that this node is importing. Return False if it cannot be sent at once."""
        if self._wire is None or not self._wire.asking(command):
            return False
        self._loop.call_soon(self._watch)
        return True

    def drain(self) -> list[Command]:
        """Remove and return the commands that are not in flight."""
        return self._pending.drain()

    def abort(self, reason: str) -> None:
        """Close the present connection, if there is one. The lane then opens another."""
        if self._wire is not None:
            self._wire.abort(reason)

    def start(self) -> None:
        """Begin to connect, and connect again after each loss, until `close`."""
        if self._keeper is None:
            self._keeper = asyncio.create_task(self._keep_connected())

    async def connect(self, within: float = START_SECONDS) -> None:
        """Wait at most `within` seconds until the lane is connected.

        Raises NotSent, with a text for the operator; without waiting if the configuration is wrong (credentials,
        certificates). The lane goes on trying to connect until it is closed.
        """
        self.start()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within):
                while not self.connected and not self._hopeless:
                    self._attempted.clear()
                    await self._attempted.wait()
        if not self.connected:
            raise NotSent(f"cannot connect to {self.name}: {self.reason}")

    async def close(self) -> None:
        """Disconnect and do not connect again. Commands without an outcome fail now."""
        self._closed = True
        if self._keeper:
            await end(self._keeper)
        if self._timer:
            self._timer.cancel()
        self._pending.close("the lane was closed")

    async def _keep_connected(self) -> None:
        attempt, connecting = 0, CONNECT_SECONDS
        while True:
            if attempt:
                await asyncio.sleep(backoff(attempt))
            began = self._loop.time()
            try:
                wire = await established(self._dial(), self._on_connect, self._silent, connecting)
            except Exception as error:  # after any failure the lane goes on until it is closed
                self._report(error)
                attempt += 1
                connecting = next_limit(connecting, error)
                continue
            connecting = CONNECT_SECONDS
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
        """Serve the queue with this connection until it is lost."""
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
        if reason != self._pending.reason:  # do not log the same reason at each attempt
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
        # A timer that is already set fires before the deadline of any command of this tick.
        if self._timer is None:
            self._watch()

    def _advance(self) -> None:
        """Write the waiting commands and set the timer."""
        self._flush()
        self._watch()

    def _watch(self) -> None:
        """Set the lane's one timer to the next deadline, end of a pause, or limit for a server that does not answer."""
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
        now = max(self._loop.time(), self._alarm)  # uvloop's timers count milliseconds and may fire slightly early
        self._pending.wake(now)
        self._pending.expire(now)
        wire = self._wire
        if wire is not None and self._pending.flight and now >= wire.heard + self._silent:
            wire.abort(f"the server did not answer for {self._silent:g} s")
        self._advance()


class BulkLane(Lane):
    """A lane for long commands, which are written in pieces."""

    _piecemeal = True


def backoff(attempt: int) -> float:
    """Return the seconds to wait after a number of failures, with jitter, so that workers do not connect together."""
    full: float = min(FIRST_BACKOFF_SECONDS * 2 ** min(attempt - 1, 10), MAX_BACKOFF_SECONDS)
    return full * random.uniform(0.5, 1.0)


def hopeless(error: Exception) -> bool:
    """Return True if a failure to connect is caused by a wrong configuration, so that waiting does not help."""
    untrusted = isinstance(error.__context__, ssl.SSLCertVerificationError)
    unauthenticated = isinstance(error, Rejected) and error.word == "NOAUTH"
    return untrusted or unauthenticated or isinstance(error, AuthenticationError)
