"""One established connection: it writes commands, parses replies, and handles flow control and loss.

redis-py makes the connection (TCP, TLS or unix socket, AUTH, SELECT). Then its transport is taken over, so that a reply
needs neither a task nor a stream reader.

Invariant: once `lost` is done, no command is taken from the queue for this connection.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from functools import lru_cache
from typing import Any, Protocol, cast

import hiredis
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import TimeoutError as RedisTimeoutError

from service.redis.confirmation import Backlog
from service.redis.errors import Rejected, rejected
from service.redis.pending import NOTHING, Command, Pending, Unexpected

Argument = str | bytes | int | float

# The stub of this method declares a tuple of exactly one element.
pack = cast(Callable[[tuple[Argument, ...]], bytes], hiredis.pack_command)


# Parts of a command in RESP, for callers that have packed most of a command before: the number of arguments, and for
# each argument its size, its bytes and END. Formatting a number takes 0.3 us, a hit in these caches 0.06 us.
counted = lru_cache(maxsize=1024)(lambda count: b"*%d\r\n" % count)
sized = lru_cache(maxsize=4096)(lambda size: b"$%d\r\n" % size)
END = b"\r\n"


@lru_cache(maxsize=4096)
def run(arguments: tuple[Argument, ...]) -> bytes:
    """Return consecutive arguments as RESP, without the count at the beginning of a command. Results are cached."""
    packed = pack(arguments)
    return packed[packed.index(b"\n") + 1 :]


# Commands of one flush are joined up to this size. A longer one is written alone, because copying it would cost more
# than a write.
JOIN_BYTES = 256 * 1024
CONNECT_SECONDS = 2.0  # for socket, TLS and handshake together, and for the first answer
LONGEST_CONNECT_SECONDS = 4.0  # after attempts that took too long
CLIENT_NAME = "polystow"


class Ask(Protocol):
    """A function that sends one command and awaits its reply. Raises Rejected, NotSent, Unanswered."""

    async def __call__(self, *args: Argument) -> Any: ...


Prepare = Callable[[Ask], Awaitable[None]]  # prepares a new connection


class Wire(asyncio.Protocol):
    """One connection. Until `open_to` is called it is used with `ask`, and from then on by the queue of a lane."""

    def __init__(self, connection: AbstractConnection) -> None:
        self._loop = asyncio.get_running_loop()
        self._connection = connection  # a reference, because its StreamWriter closes the transport when it is collected
        self._reader = hiredis.Reader(replyError=rejected, notEnoughData=NOTHING)
        self._next_reply: Callable[[], Any] = self._reader.gets
        self._pending = Pending(max_commands=1000, max_bytes=1 << 30)
        self._changed: Callable[[], None] = self.flush
        self._paused = False
        self._leaving = False  # the server is not a primary any more: close after the missing replies
        self.heard = self._loop.time()  # time of the last reply, or of the oldest command in flight
        self.lost: asyncio.Future[str] = self._loop.create_future()
        self.commands = 0
        self.writes = 0
        self._backlog = Backlog()
        self._confirms = True
        self.transport = take_over(connection, self)

    def open_to(self, pending: Pending, changed: Callable[[], None]) -> None:
        """Serve a queue from now on. `changed` is called when it should be flushed and its timer set."""
        self._pending = pending
        self._changed = changed

    def listen(self, pushed: Callable[[Sequence[Any]], None]) -> None:
        """Give RESP3 push messages, which may come between replies, to `pushed`, in their order.

        No reply waits for a confirmation then, because it must be handled before the messages behind it.
        """
        self._confirms = False
        gets = self._reader.gets

        def next_reply() -> Any:
            while type(reply := gets()) is hiredis.PushNotification:
                pushed(reply)
            return reply

        self._next_reply = next_reply

    async def ask(self, *args: Argument) -> Any:
        """Send one command before `open_to` and await its reply. A temporary refusal is raised at once."""
        future: asyncio.Future[Any] = self._loop.create_future()
        self._pending.add(Command(future, pack(args), write=True, deadline=0.0))
        self.flush()
        return await future

    def flush(self) -> None:
        """Write the waiting commands, up to JOIN_BYTES per write; write nothing while the transport is full."""
        pending = self._pending
        while pending.waiting and not self._paused and not self._leaving and not self.lost.done():
            if not pending.flight:
                self.heard = self._loop.time()
            parts = pending.take(JOIN_BYTES)
            if not parts:
                return
            self._write(parts[0] if len(parts) == 1 else b"".join(parts), len(parts))

    def _write(self, packed: bytes, commands: int) -> None:
        self.commands += commands
        self.writes += 1
        self._backlog.flushed(self.commands, len(packed))
        self.transport.write(packed)

    def asking(self, command: Command) -> bool:
        """Write ASKING and the command, if anything can be written now."""
        if self._paused or self._leaving or self.lost.done():
            return False
        if not self._pending.flight:
            self.heard = self._loop.time()
        self._write(self._pending.asking(command), 2)
        return True

    def data_received(self, data: bytes) -> None:
        if self.lost.done():  # the queue may already be served by another connection
            return
        self.heard = now = self._loop.time()
        pending, backlog = self._pending, self._backlog
        doubtful = backlog.received(len(data)) and self._confirms
        try:
            self._reader.feed(data)
            demoted = pending.answer(self._next_reply, now, doubtful)
        except (Unexpected, hiredis.ProtocolError) as error:
            self.abort(f"the server sent bytes that are not the Redis protocol: {error}")
            return
        if confirming := pending.confirm() if doubtful else b"":
            self._write(confirming, 1)
        backlog.answered(self.commands - len(pending.flight))
        self._leaving |= demoted
        if self._leaving and not pending.flight:
            self.abort("the server became a read-only replica")
        elif pending.resting or confirming:
            self._changed()

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False
        self._changed()

    def connection_lost(self, exc: Exception | None) -> None:
        self._end(str(exc) if exc else "the server closed the connection")

    def abort(self, reason: str) -> None:
        """Close the connection at once. Its commands get their outcome before this returns."""
        self._end(reason)
        self.transport.abort()

    def _end(self, reason: str) -> None:
        if not self.lost.done():
            self.lost.set_result(reason)
            self._pending.disconnect(reason)

    async def close(self) -> None:
        """Close the connection and let redis-py release its resources."""
        self.abort("closed")
        await self._connection.disconnect(nowait=True)


def take_over(connection: AbstractConnection, protocol: asyncio.Protocol) -> asyncio.Transport:
    """Let `protocol` receive the bytes of a connected redis-py connection, in place of its StreamReader.

    `_writer`, a StreamWriter in redis-py 8.1, is the one private name of redis-py that this package uses. No bytes are
    left in the stream's buffer, because the handshake has read all its replies.
    """
    writer = connection._writer
    assert writer is not None
    transport = cast(asyncio.Transport, writer.transport)
    transport.set_protocol(protocol)
    return transport


async def established(
    connection: AbstractConnection, prepare: Prepare | None, within: float, connecting: float
) -> Wire:
    """Connect in at most `connecting` seconds, and run `prepare` for at most `within` seconds before other commands
    are sent.

    Raises the exceptions of redis-py if it cannot connect, TimeoutError, and those of `prepare`.
    """
    connection.socket_timeout = connection.socket_connect_timeout = connecting
    try:
        async with limit(connecting, "connecting"):
            await connection.connect()  # type: ignore[no-untyped-call]
        wire = Wire(connection)
    except BaseException:
        await connection.disconnect(nowait=True)
        raise
    try:
        async with limit(connecting, "the first answer"):
            await _set_name(wire)
        if prepare is not None:
            async with limit(within, "preparing the connection"):
                await prepare(wire.ask)
    except BaseException:
        await wire.close()
        raise
    return wire


def next_limit(connecting: float, error: BaseException) -> float:
    """Return the seconds for the next attempt to connect after one with `connecting` seconds failed with `error`.

    If it took too long, the next one has twice the time. Otherwise a busy machine that needs a little longer for a TLS
    handshake would begin it again and again.
    """
    slow = isinstance(error, TimeoutError | RedisTimeoutError)
    return min(2 * connecting, LONGEST_CONNECT_SECONDS) if slow else CONNECT_SECONDS


async def _set_name(wire: Wire) -> None:
    """Set the name of this client. It is also the first command, which a server refuses if it needs a password."""
    try:
        await wire.ask("CLIENT", "SETNAME", CLIENT_NAME)
    except Rejected as error:
        if error.word != "NOPERM":  # an ACL may forbid it
            raise


@asynccontextmanager
async def limit(seconds: float, what: str) -> AsyncIterator[None]:
    """Limit the time of a block like `asyncio.timeout`; the text of TimeoutError names the step that took too long."""
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError as error:
        raise TimeoutError(str(error) or f"{what} took longer than {seconds:g} s") from None
