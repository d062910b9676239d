"""Answers that follow a stream of events: long polls, and server-sent events (WHATWG HTML, section 9.2)."""

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from time import time

from service.api.dialect import Request, Stream
from service.storage.errors import Refusal
from service.storage.feed.follower import Follower
from service.storage.feed.tail import Event, Piece, Position

EVENT_STREAM = "text/event-stream"
_excludes = re.compile(r"q\s*=\s*0(\.0*)?").fullmatch
HEARTBEAT_SECONDS = 15.0
LINE_ENDS = bytes.maketrans(b"\r\n", b"  ")

Cursor = Callable[[Position], str]
Confirm = Callable[[], Awaitable[None]]  # raises Refusal if the caller may not follow any more


def asks_for_events(accept: str) -> bool:
    """Return True if a header `Accept` names server-sent events, and does not exclude them (`q=0`)."""
    for each in accept.lower().split(","):
        kind, *parameters = (part.strip() for part in each.split(";"))
        if kind == EVENT_STREAM and not any(_excludes(parameter) for parameter in parameters):
            return True
    return False


async def poll(request: Request, follower: Follower, limit: int, seconds: float, confirm: Confirm) -> Sequence[Event]:
    """Return the next events as soon as there are some; none if the time is over, the client has left, or the worker
    ends. Raises Refusal."""
    request.follow(follower)
    clock = asyncio.get_running_loop().time
    end = min(clock() + seconds, _expiry(request))
    with follower.counted():
        while not (found := await follower.take(limit, end)) and not follower.over and clock() < end:
            await confirm()
        if found:
            await confirm()
    return found


def stream(request: Request, follower: Follower, name: str, cursor: Cursor, confirm: Confirm) -> Stream:
    """Answer with events of this name, as they come, and with a heartbeat after a time without events.

    The stream ends if the caller may not follow any more, if the next event was trimmed, or if the worker ends. The
    client then resumes with the last id.
    """
    request.follow(follower)
    events = _Events(request, follower, name, cursor, confirm)
    return Stream(200, events.pieces(), EVENT_STREAM, follower=follower)


class _Events:
    def __init__(self, request: Request, follower: Follower, name: str, cursor: Cursor, confirm: Confirm) -> None:
        self._follower, self._cursor, self._confirm = follower, cursor, confirm
        self._start = b"event: %b\nid: " % name.encode()
        self._clock = asyncio.get_running_loop().time
        self._expiry = _expiry(request)
        self._piece: Piece | None = None  # the next piece to send
        self._beat = 0.0  # the time of the next heartbeat
        self._generation: int | None = None  # of the access directory in which the caller was last confirmed

    async def pieces(self) -> AsyncIterator[bytes]:
        """Yield an empty piece when the first events were read, then all events. Raises Refusal before that.

        A yielded piece is not kept: pieces would be most of the memory of thousands of waiting streams.
        """
        follower = self._follower
        follower.served = self._push
        with follower.counted():
            self._piece = await follower.take_piece(0, self._render)
            yield b""
            self._set_beat()
            while self._piece is not None or await self._next():
                if (sent := follower.sent) is not None:  # there is nothing to write, but the client must read
                    follower.sent = None
                    with follower.unread(sent):
                        yield b""
                    del sent
                    continue
                if (piece := self._piece) is None:
                    continue
                if not await self._may_follow():
                    return
                self._piece = None
                with follower.unread(piece):
                    yield piece.data
                del piece
                self._set_beat()

    def _push(self) -> None:
        """Send the next events without waking this stream, if there is nothing else to do."""
        if self._generation is None or self._generation != self._follower.generation or self._clock() >= self._expiry:
            self._follower.wake()
        elif self._follower.push(self._render):
            self._set_beat()

    def _set_beat(self) -> None:
        self._beat = self._clock() + HEARTBEAT_SECONDS

    async def _next(self) -> bool:
        """Wait for the next events, or for the time of a heartbeat or another check. Return False at the end."""
        follower = self._follower
        if follower.over or not await self._may_follow():
            return False
        try:
            self._piece = await follower.take_piece(min(self._beat, self._expiry), self._render)
        except Refusal:
            return False
        if self._piece is not None:
            return True
        if follower.over or not await self._may_follow():
            return False
        if self._clock() >= self._beat:
            at = follower.position
            self._piece = Piece(at, at, b"event: heartbeat\nid: %b\ndata: {}\n\n" % self._cursor(at).encode())
        return True

    async def _may_follow(self) -> bool:
        """Return False if the caller may not follow any more. The caller is looked up again if access has changed, also
        while there are always more events for a client that reads slowly."""
        if self._clock() >= self._expiry:
            return False
        generation = self._follower.generation
        if generation is None or generation != self._generation:
            try:
                await self._confirm()
            except Refusal:
                return False
            self._generation = generation
        return True

    def _render(self, event: Event) -> bytes:
        data = event.data.translate(LINE_ENDS)  # in JSON they are white space between tokens, and nothing else
        return b"%b%b\ndata: %b\n\n" % (self._start, self._cursor(event.position).encode(), data)


def _expiry(request: Request) -> float:
    """Return when the caller's credential expires, on the event loop's clock."""
    expires = request.caller.expires
    return float("inf") if expires is None else asyncio.get_running_loop().time() + expires - time()
