"""Tracking of the keys that were read from a primary: a connection on which Redis reports which keys have changed.

The connection uses `CLIENT TRACKING` in its default mode. Redis remembers the keys that the connection reads, and sends
a push message when one of them changes, expires or is evicted. These messages alone arrive slightly late. So the cached
reads of one tick of the event loop send one `TIME` together on the connection, the *barrier*. They are answered from
the cache when its reply has arrived, if no push message for their keys came before it.

Why this is linearizable: a write that was acknowledged before the read began was executed before the `TIME`, which was
sent after the read began. Redis appends the push message to the output of this connection while it executes the write,
and the reply of `TIME` later, so the push message is read first. The read takes effect at the `TIME`. Its reply is also
the clock for expiries, because Redis sends nothing at the moment of an expiry.

While a reply is late, the reads go the ordinary way. The values are kept: push messages go on arriving, before the
reply of the next barrier.

Invariant: an entry made from keys that were read on a connection is invalidated when a push message names one of the
keys, and when the connection is lost. No push message is missed between a reply and `link`, because both are handled
while the reply is being read.
"""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from time import perf_counter
from typing import Any, Protocol

from msgspec import Struct

from service.redis.errors import Failed, NotSent, Rejected
from service.redis.lane import Lane
from service.redis.outcome import NOBODY, Outcome
from service.redis.pending import Command, Redirect
from service.redis.wire import Ask, Prepare, Wire, pack

WAIT_SECONDS = 0.1  # a reply on this connection that takes longer is late; then reads are sent on the ordinary lane
PAUSE_SECONDS = 0.05  # the cache is not used for this time after a late reply; it doubles with each further late reply
MAX_PAUSE_SECONDS = 1.0
LAST_LOOK_SECONDS = 0.001  # from a deadline until replies count as late, so that replies in the socket are read first
TIME = pack(("TIME",))


class Dependent(Struct, eq=False):
    """A cached value that depends on some keys.

    While none of the keys changes, it is valid up to and including the time `until` (ms; 0: always). `probes` are
    commands that fail if the primary does not serve the slot of the keys any more.
    """

    tracker: "Tracker"
    keys: list[bytes]
    probes: tuple[bytes, ...]  # empty without a cluster
    until: int
    good: bool

    def spoil(self) -> None:
        """Mark the value as invalid. Called once."""
        self.good = False

    def lost(self) -> None:
        """Mark the answer as unusable, because its changes are not reported any more.

        Called once, while the tracker drops everything that depends on it. It must not use the tracker.
        """
        self.good = False


class Waiter(Protocol):
    """A read that waits for a barrier, with the cached value `held` that is its answer."""

    @property
    def held(self) -> Dependent: ...

    def confirmed(self, clock: int, seconds: float, now: float) -> None:
        """Handle the reply of the barrier; the value is valid if it is still `good`. Must not raise.

        `clock` is Redis's time (ms), `seconds` the time since the first read of the barrier, `now` is perf_counter().
        """

    def unconfirmed(self) -> None:
        """Handle a barrier without a reply: it is unknown if the value is valid. Must not raise."""


class Tracking:
    """State that all trackers of a worker share: counters, and `emptied`, which is called with a tracker when all its
    values have become invalid."""

    def __init__(self) -> None:
        self.barriers = self.confirmations = self.invalidations = 0
        self.emptied: Callable[[Tracker], None] = lambda tracker: None


class Tracker(Lane):
    """The tracking connection to one primary, with the cached values that depend on it (see the module and Lane).

    `cluster`: the primary is a node of a cluster. It may lose a slot without a message on this connection.
    """

    def __init__(
        self,
        *arguments: Any,
        shared: Tracking,
        cluster: bool = False,
        on_connect: Prepare | None = None,
        redirect: Redirect | None = None,
        timeout: float = 5.0,
        **options: Any,
    ) -> None:
        super().__init__(*arguments, on_connect=self._track, redirect=self._refused, timeout=WAIT_SECONDS, **options)
        self._silent = timeout
        self.refusal = ""  # the error with which the server refuses tracking; "" if it does not
        self.shared = shared
        self._cluster = cluster
        self._prepare = on_connect
        self._redirect = redirect
        self._dependents: dict[bytes, set[Dependent]] = {}
        self._waiters: list[Waiter] = []
        self._began = 0.0  # when the first of these waiters came
        self._pause = self._paused_until = 0.0  # the last pause, if no barrier has been confirmed since, and its end

    @property
    def ready(self) -> bool:
        """True if keys can be read and tracked on this connection now."""
        wire = self._wire
        return wire is not None and not wire.lost.done() and not self.refusal and not (self._pause and self._resting())

    def _resting(self) -> bool:
        """Return True while a late reply is still missing, and during the pause after it became late."""
        flight = self._pending.flight
        return self._loop.time() < self._paused_until or bool(flight and flight[0].outcome is NOBODY)

    def read(self, command: Command, outcome: Outcome) -> None:
        """Send a reading command on this connection, so that its keys are tracked. `outcome` gets reply or failure."""
        self.send(Command(outcome, command.packed, True, key=command.key))

    def wait(self, waiter: Waiter) -> None:
        """Let a read wait for the next barrier, sent after this call. While a reply is late, no read waits."""
        if not self._waiters:
            if self._pause and self._resting():
                waiter.unconfirmed()
                return
            self._began = perf_counter()
        self._waiters.append(waiter)
        if not self._flushing:
            self._flushing = True
            self._deadline = self._loop.time() + self.timeout
            self._loop.call_soon(self._flush)

    def link(self, dependent: Dependent, keys: Iterable[str | bytes]) -> None:
        """Make a value depend on keys that were read here. Must be called while the reply is being read."""
        for each in keys:
            key = each if isinstance(each, bytes) else each.encode()
            dependent.keys.append(key)
            found = self._dependents.get(key)
            if found is None:
                self._dependents[key] = {dependent}
            else:
                found.add(dependent)

    def unlink(self, dependent: Dependent) -> None:
        """Forget a value."""
        for key in dependent.keys:
            if (found := self._dependents.get(key)) is not None:
                found.discard(dependent)
                if not found:
                    del self._dependents[key]

    def failed(self) -> None:
        """Handle a late reply: do not use this connection for a while. A lost connection is replaced at once."""
        now = self._loop.time()
        if self.connected and now >= self._paused_until:
            self._pause = min(2 * self._pause or PAUSE_SECONDS, MAX_PAUSE_SECONDS)
            self._paused_until = now + self._pause

    def in_time(self) -> None:
        """Handle the reply of a barrier."""
        self._pause = 0.0

    def drain(self) -> list[Command]:
        """Fail the waiting commands and return none, because they are useful on this connection only."""
        for command in super().drain():
            command.outcome.set_exception(NotSent("the node is not needed any more"))
        return []

    async def _serve(self, wire: Wire) -> None:
        wire.listen(self._pushed)
        try:
            await super()._serve(wire)
        finally:
            self._empty()

    async def _track(self, ask: Ask) -> None:
        """Start tracking on a new connection, or keep the error with which the server refuses it."""
        if self._prepare is not None:
            await self._prepare(ask)
        try:
            await start_tracking(ask)
        except Rejected as error:
            self.refusal = error.message
        else:
            self.refusal = ""

    def _ring(self) -> None:
        """Handle deadlines a moment later: if the worker was busy, replies that have arrived are not read yet."""
        self._timer = self._loop.call_later(LAST_LOOK_SECONDS, super()._ring)

    def _empty(self) -> None:
        """Invalidate all values."""
        if not self._dependents:
            return
        former, self._dependents = self._dependents, {}
        for dependents in former.values():
            for dependent in dependents:
                if dependent.good:
                    dependent.lost()
        self.shared.emptied(self)

    def _pushed(self, message: Sequence[Any]) -> None:
        """Handle a push message with the keys that have changed; None stands for all keys."""
        if message[0] != b"invalidate":
            return
        self.shared.invalidations += 1
        if message[1] is None:
            self._empty()
            return
        for key in message[1]:
            for dependent in self._dependents.pop(key, ()):
                if dependent.good:
                    dependent.spoil()

    def _refused(self, command: Command, error: Rejected) -> bool:
        """Fail a refused command, so that it is sent on the ordinary lane. A MOVED also updates the map of slots."""
        if error.word == "MOVED" and self._redirect is not None:
            self._redirect(Command(NOBODY, b"", False), error)
        command.outcome.set_exception(error)
        return True

    def _flush(self) -> None:
        if self._waiters:
            waiters, self._waiters = self._waiters, []
            barrier = Barrier(self, waiters, self._began)
            if self._cluster:
                for probe in {probe for waiter in waiters for probe in waiter.held.probes}:
                    self._pending.add(Command(Probe(barrier, probe), probe, True, self._deadline))
            self._pending.add(Command(barrier, TIME, True, self._deadline))
            self.shared.barriers += 1
        super()._flush()


class Barrier(Struct, eq=False):
    """The outcome of a `TIME`, with the reads that wait for it."""

    tracker: Tracker
    waiters: list[Waiter]
    began: float
    failed: set[bytes] = set()  # the probes that have failed

    def done(self) -> bool:
        return False

    def set_result(self, reply: Sequence[bytes]) -> None:
        if self.failed:
            self._spoil()
        tracker, waiters = self.tracker, self.waiters
        tracker.in_time()
        tracker.shared.confirmations += len(waiters)
        clock, now = int(reply[0]) * 1000 + int(reply[1]) // 1000, perf_counter()
        seconds = now - self.began
        for waiter in waiters:
            waiter.confirmed(clock, seconds, now)

    def _spoil(self) -> None:
        """Invalidate the values of slots that this node does not serve any more, or only in part."""
        for held in {waiter.held for waiter in self.waiters}:
            if held.good and not self.failed.isdisjoint(held.probes):
                held.spoil()

    def set_exception(self, error: Failed) -> None:
        """Send the reads on the ordinary lane, in a later tick, because the queues must not change now."""
        self.tracker.failed()
        asyncio.get_running_loop().call_soon(self._release)

    def _release(self) -> None:
        for waiter in self.waiters:
            waiter.unconfirmed()


class Probe(Struct, eq=False):
    """The outcome of a command that fails if this node does not serve a slot, or serves it only in part."""

    barrier: Barrier
    packed: bytes

    def done(self) -> bool:
        return False

    def set_result(self, reply: Any) -> None: ...

    def set_exception(self, error: Failed) -> None:
        self.barrier.failed.add(self.packed)


def probe(key: str | bytes) -> bytes:
    """Return a command that fails if a primary does not serve the slot of a key, or serves it only in part.

    The command asks for a key that does not exist. While a slot is moved, a node redirects such commands. A key without
    a hash tag has the slot of its whole name.
    """
    text = key.decode() if isinstance(key, bytes) else key
    tag = text[text.index("{") : text.index("}") + 1] if "{" in text else f"{{{text}}}"
    return pack(("EXISTS", f"{tag}?"))


async def start_tracking(ask: Ask) -> None:
    """Turn on tracking on a connection. Raises Rejected if the server refuses it."""
    await ask("HELLO", "3")
    await ask("CLIENT", "TRACKING", "ON")
    await ask("TIME")
