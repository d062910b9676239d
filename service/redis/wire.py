"""One established connection: bytes of commands out, replies in, flow control, the end.

redis-py connects (TCP, TLS or unix socket, AUTH, SELECT); then its transport is taken over,
so that a reply costs neither a task nor a stream reader.

Invariant: once `lost` is done, no command is taken from the queue for this connection.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from functools import lru_cache
from typing import Any, Protocol, cast

import hiredis
from redis.asyncio.connection import AbstractConnection

from service.redis.errors import Rejected, rejected
from service.redis.pending import NOTHING, Command, Pending, Unexpected

Argument = str | bytes | int | float

# Its stub declares a tuple of exactly one element.
pack = cast(Callable[[tuple[Argument, ...]], bytes], hiredis.pack_command)


# RESP, piece by piece, for who has packed most of a command before: a count of arguments, and of each its size, itself
# and an end. To format a number takes 0.3 us, to remember it 0.06.
counted = lru_cache(maxsize=1024)(lambda count: b"*%d\r\n" % count)
sized = lru_cache(maxsize=4096)(lambda size: b"$%d\r\n" % size)
END = b"\r\n"


@lru_cache(maxsize=4096)
def run(arguments: tuple[Argument, ...]) -> bytes:
    """Arguments in a row that are sent again and again, packed, without the count that begins a command."""
    packed = pack(arguments)
    return packed[packed.index(b"\n") + 1 :]


# Commands of one flush are joined up to this size. A longer one is written alone: to copy it costs more than
# a write does.
JOIN_BYTES = 256 * 1024
CONNECT_SECONDS = 2.0  # for socket, TLS and handshake together
CLIENT_NAME = "polystow"


class Ask(Protocol):
    """Sends one command and awaits its answer. Raises: Rejected, NotSent, Unanswered."""

    async def __call__(self, *args: Argument) -> Any: ...


Prepare = Callable[[Ask], Awaitable[None]]  # makes a new connection ready


class Wire(asyncio.Protocol):
    """Until `open_to` is called, the connection belongs to who uses `ask`; from then on to a lane's queue."""

    def __init__(self, connection: AbstractConnection) -> None:
        self._loop = asyncio.get_running_loop()
        self._connection = connection  # kept: its StreamWriter closes the transport when it is collected
        self._reader = hiredis.Reader(replyError=rejected, notEnoughData=NOTHING)
        self._next_reply: Callable[[], Any] = self._reader.gets
        self._pending = Pending(max_commands=1000, max_bytes=1 << 30)
        self._changed: Callable[[], None] = self.flush
        self._paused = False
        self._leaving = False  # the server is no primary any more: take its last replies, then go
        self.heard = self._loop.time()  # last sign of life, or when the oldest command in flight was written
        self.lost: asyncio.Future[str] = self._loop.create_future()
        self.commands = 0
        self.writes = 0
        self.transport = take_over(connection, self)

    def open_to(self, pending: Pending, changed: Callable[[], None]) -> None:
        """Serve this queue from now on; `changed` is called when it should be flushed or looked at again."""
        self._pending = pending
        self._changed = changed

    def listen(self, pushed: Callable[[Sequence[Any]], None]) -> None:
        """Speak RESP3, where push messages stand between replies: these go to `pushed`, in their order."""
        gets = self._reader.gets

        def next_reply() -> Any:
            while type(reply := gets()) is hiredis.PushNotification:
                pushed(reply)
            return reply

        self._next_reply = next_reply

    async def ask(self, *args: Argument) -> Any:
        """Send one command while the connection is exclusive; refusals that pass are not waited for."""
        future: asyncio.Future[Any] = self._loop.create_future()
        self._pending.add(Command(future, pack(args), write=True, deadline=0.0))
        self.flush()
        return await future

    def flush(self) -> None:
        """Write what waits: one write, unless it is long; none while the transport is full."""
        pending = self._pending
        while pending.waiting and not self._paused and not self._leaving and not self.lost.done():
            if not pending.flight:
                self.heard = self._loop.time()
            parts = pending.take(JOIN_BYTES)
            if not parts:
                return
            self.commands += len(parts)
            self.writes += 1
            self.transport.write(parts[0] if len(parts) == 1 else b"".join(parts))

    def asking(self, command: Command) -> bool:
        """Write ASKING and the command, if anything can be written now."""
        if self._paused or self._leaving or self.lost.done():
            return False
        if not self._pending.flight:
            self.heard = self._loop.time()
        self.transport.write(self._pending.asking(command))
        self.commands += 2
        self.writes += 1
        return True

    def data_received(self, data: bytes) -> None:
        if self.lost.done():  # the queue may be another connection's by now
            return
        self.heard = now = self._loop.time()
        pending = self._pending
        try:
            self._reader.feed(data)
            demoted = pending.answer(self._next_reply, now)
        except (Unexpected, hiredis.ProtocolError) as error:
            self.abort(f"the server does not speak RESP: {error}")
            return
        self._leaving |= demoted
        if self._leaving and not pending.flight:
            self.abort("the server became a read-only replica")
        elif pending.resting:
            self._changed()

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False
        self._changed()

    def connection_lost(self, exc: Exception | None) -> None:
        self._end(str(exc) if exc else "the server closed the connection")

    def abort(self, reason: str) -> None:
        """End the connection at once; its commands get their outcome before this returns."""
        self._end(reason)
        self.transport.abort()

    def _end(self, reason: str) -> None:
        if not self.lost.done():
            self.lost.set_result(reason)
            self._pending.disconnect(reason)

    async def close(self) -> None:
        """Let redis-py release what it holds, once the connection has ended."""
        self.abort("closed")
        await self._connection.disconnect(nowait=True)


def take_over(connection: AbstractConnection, protocol: asyncio.Protocol) -> asyncio.Transport:
    """Make `protocol` receive what comes on a connected redis-py connection, instead of its StreamReader.

    The one private name of redis-py that this package uses is `_writer`, a StreamWriter in redis-py 8.1.
    Nothing is lost in the stream's buffer: the handshake has read every reply that it asked for.
    """
    writer = connection._writer
    assert writer is not None
    transport = cast(asyncio.Transport, writer.transport)
    transport.set_protocol(protocol)
    return transport


async def established(connection: AbstractConnection, prepare: Prepare | None, within: float) -> Wire:
    """Connect, and run `prepare` (in at most `within` seconds) while the connection is still exclusive.

    Raises what redis-py raises when it cannot connect, TimeoutError, and what `prepare` raises.
    """
    try:
        async with limit(CONNECT_SECONDS, "connecting"):
            await connection.connect()  # type: ignore[no-untyped-call]
        wire = Wire(connection)
    except BaseException:
        await connection.disconnect(nowait=True)
        raise
    try:
        async with limit(CONNECT_SECONDS, "the first answer"):
            await _introduce(wire)
        if prepare is not None:
            async with limit(within, "preparing the connection"):
                await prepare(wire.ask)
    except BaseException:
        await wire.close()
        raise
    return wire


async def _introduce(wire: Wire) -> None:
    """Say who we are. Also the first command, with which a server says that it wants a password."""
    try:
        await wire.ask("CLIENT", "SETNAME", CLIENT_NAME)
    except Rejected as error:
        if error.word != "NOPERM":  # an ACL may forbid it
            raise


@asynccontextmanager
async def limit(seconds: float, what: str) -> AsyncIterator[None]:
    """`asyncio.timeout` that says in words what took too long."""
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError as error:
        raise TimeoutError(str(error) or f"{what} took longer than {seconds:g} s") from None
