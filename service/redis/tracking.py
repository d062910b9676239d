"""Tracking of the keys that were read from a primary: one connection on which Redis tells which have changed.

`CLIENT TRACKING` in its default mode: Redis remembers the keys that this connection reads, and sends a push message
when one of them is changed, expires or is evicted. A client that answers from memory on that alone is a moment late. A
`Tracker` is not: the reads that arrive in one tick of the event loop send together one `TIME` on the connection, the
*barrier*, and are answered when its reply is there, if no push came before it.

Why that is linearizable: a write that was acknowledged before the read began was executed before the `TIME`, which was
sent after the read began. While Redis executes a write it appends the push to this connection's output, and later the
reply of the `TIME` behind it, so the push is read first. The read takes effect at the `TIME`. Its reply is also the
clock by which an expiry is judged, for at the moment of an expiry Redis sends nothing.

Invariant: what was made of keys that were read on one connection is spoiled when a push names one of them, when the
connection is lost, and when a barrier is late. No push is missed between a reply and `link`: both happen while that
reply is being read.
"""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from time import perf_counter
from typing import Any, Protocol

from msgspec import Struct

from service.redis.errors import Failed, NotSent, Rejected
from service.redis.lane import Lane
from service.redis.pending import NOBODY, Command, Outcome, Redirect
from service.redis.wire import Ask, Prepare, Wire, pack

PATIENCE = 0.1  # seconds after which what waits for this connection goes the ordinary way
PAUSE = 1.0  # seconds without the cache after that
TIME = pack(("TIME",))


class Dependent(Struct, eq=False):
    """Something that was made of what some keys held. While none of them changes, it is right up to and including the
    moment `until` (ms), 0 for ever. `probes` are commands that fail where the primary does not serve the keys' slot."""

    tracker: "Tracker"
    keys: list[bytes]
    probes: tuple[bytes, ...]  # none but in a cluster
    until: int
    good: bool

    def spoil(self) -> None:
        """It is not right any more. Called once."""
        self.good = False


class Waiter(Protocol):
    """A waiter for a barrier, with the entry that it depends on."""

    @property
    def held(self) -> Dependent: ...

    def confirmed(self, clock: int, seconds: float, now: float) -> None:
        """The barrier was passed at `clock` (ms, Redis's), `seconds` after the first of its reads came; `now` is
        perf_counter(). It must not raise."""

    def unconfirmed(self) -> None:
        """There is no telling whether it is right. It must not raise."""


class Tracking:
    """State that all trackers of a worker share: counts, and the receiver that is told when all that depends on one is
    spoiled."""

    def __init__(self) -> None:
        self.barriers = self.confirmations = self.invalidations = 0
        self.emptied: Callable[[Tracker], None] = lambda tracker: None


class Tracker(Lane):
    """The tracking connection to one primary, and all that depends on it. See the module, and Lane for parameters.

    `cluster`: it is a node of one, which may lose a slot without a word on this connection.
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
        super().__init__(*arguments, on_connect=self._track, redirect=self._refused, timeout=PATIENCE, **options)
        self._silent = timeout
        self.refusal = ""  # why this server cannot be used so; "" where it can
        self.shared = shared
        self._cluster = cluster
        self._prepare = on_connect
        self._elsewhere = redirect
        self._dependents: dict[bytes, set[Dependent]] = {}
        self._waiters: list[Waiter] = []
        self._began = 0.0  # when the first of these came
        self._paused_until = 0.0

    @property
    def ready(self) -> bool:
        """May keys be read on this connection, so that they are tracked?"""
        wire = self._wire
        return (
            wire is not None
            and not wire.lost.done()
            and not self.refusal
            and (not self._paused_until or self._loop.time() >= self._paused_until)
        )

    def read(self, command: Command, outcome: Outcome) -> None:
        """Send a reading command here, so that its keys are tracked; any failure is told to `outcome`."""
        self.send(Command(outcome, command.packed, True, key=command.key))

    def wait(self, waiter: Waiter) -> None:
        """Let it wait for a barrier that is sent after this."""
        if not self._waiters:
            self._began = perf_counter()
        self._waiters.append(waiter)
        if not self._flushing:
            self._flushing = True
            self._deadline = self._loop.time() + self.timeout
            self._loop.call_soon(self._flush)

    def link(self, dependent: Dependent, keys: Iterable[str | bytes]) -> None:
        """Let something depend on keys that were read here; to be called while the reply is being read."""
        for each in keys:
            key = each if isinstance(each, bytes) else each.encode()
            dependent.keys.append(key)
            found = self._dependents.get(key)
            if found is None:
                self._dependents[key] = {dependent}
            else:
                found.add(dependent)

    def unlink(self, dependent: Dependent) -> None:
        """Forget something."""
        for key in dependent.keys:
            if (found := self._dependents.get(key)) is not None:
                found.discard(dependent)
                if not found:
                    del self._dependents[key]

    def failed(self) -> None:
        """A reply was late: do without for a while. Where the connection was lost instead, there is a new one soon."""
        if self.connected:
            self._paused_until = self._loop.time() + PAUSE
            self._empty()

    def drain(self) -> list[Command]:
        """None: what was sent here is of use here only, and the node is being left."""
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
        """Make a new connection one that is told of changes, if the server has that and lets us."""
        if self._prepare is not None:
            await self._prepare(ask)
        try:
            await start_tracking(ask)
        except Rejected as error:
            self.refusal = error.message
        else:
            self.refusal = ""

    def _empty(self) -> None:
        """Spoil everything."""
        if not self._dependents:
            return
        spoiled, self._dependents = self._dependents, {}
        for dependents in spoiled.values():
            for dependent in dependents:
                dependent.good = False
        self.shared.emptied(self)

    def _pushed(self, message: Sequence[Any]) -> None:
        """A push message: keys that have changed, None for all."""
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
        """Whatever it is, who sent it goes the ordinary way. That a slot is elsewhere is passed on."""
        if error.word == "MOVED" and self._elsewhere is not None:
            self._elsewhere(Command(NOBODY, b"", False), error)
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
    """The outcome of a `TIME`, and those who wait for it."""

    tracker: Tracker
    waiters: list[Waiter]
    began: float
    failed: set[bytes] = set()  # probes

    def done(self) -> bool:
        return False

    def set_result(self, reply: Sequence[bytes]) -> None:
        if self.failed:
            self._spoil()
        tracker, waiters = self.tracker, self.waiters
        tracker.shared.confirmations += len(waiters)
        clock, now = int(reply[0]) * 1000 + int(reply[1]) // 1000, perf_counter()
        seconds = now - self.began
        for waiter in waiters:
            waiter.confirmed(clock, seconds, now)

    def _spoil(self) -> None:
        """Spoil what is of slots that this node does not serve any more, or not alone."""
        for held in {waiter.held for waiter in self.waiters}:
            if held.good and not self.failed.isdisjoint(held.probes):
                held.spoil()

    def set_exception(self, error: Failed) -> None:
        """Let all go the ordinary way, once the queues are at rest."""
        self.tracker.failed()
        asyncio.get_running_loop().call_soon(self._release)

    def _release(self) -> None:
        for waiter in self.waiters:
            waiter.unconfirmed()


class Probe(Struct, eq=False):
    """The outcome of a command that fails where a slot is not, or not only, this node's."""

    barrier: Barrier
    packed: bytes

    def done(self) -> bool:
        return False

    def set_result(self, reply: Any) -> None: ...

    def set_exception(self, error: Failed) -> None:
        self.barrier.failed.add(self.packed)


def probe(key: str | bytes) -> bytes:
    """The command that fails where a primary does not serve the slot of this key, or not alone: it asks for a key that
    is not there, and while a slot moves, such keys are asked for elsewhere."""
    text = key.decode() if isinstance(key, bytes) else key
    return pack(("EXISTS", f"{text[text.index('{') : text.index('}') + 1]}?"))


async def start_tracking(ask: Ask) -> None:
    """Have a connection told of changes to the keys that it reads. Raises Rejected where the server does not do so."""
    await ask("HELLO", "3")
    await ask("CLIENT", "TRACKING", "ON")
    await ask("TIME")
