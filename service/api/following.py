"""Answers that follow a stream of events: long polls, and server-sent events (WHATWG HTML, section 9.2)."""

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from time import time

from service.api.dialect import Request, Stream
from service.storage.errors import Refusal
from service.storage.feed.follower import PIECE_BYTES, Follower
from service.storage.feed.tail import Event, Position

EVENT_STREAM = "text/event-stream"
_excludes = re.compile(r"q\s*=\s*0(\.0*)?").fullmatch
HEARTBEAT_SECONDS = 15.0
LINE_ENDS = bytes.maketrans(b"\r\n", b"  ")
PORTION = 100  # events that are looked for at a time

Cursor = Callable[[Position], str]
Confirm = Callable[[], Awaitable[None]]  # raises Refusal if the caller may not follow any longer


def asks_for_events(accept: str) -> bool:
    """Return True if a header `Accept` names server-sent events, and does not exclude them (`q=0`)."""
    for each in accept.lower().split(","):
        kind, *parameters = (part.strip() for part in each.split(";"))
        if kind == EVENT_STREAM and not any(_excludes(parameter) for parameter in parameters):
            return True
    return False


async def poll(request: Request, follower: Follower, limit: int, seconds: float, confirm: Confirm) -> Sequence[Event]:
    """Return the next events as soon as there are some. There are none if the time is over, the client has left, or the
    worker ends. Raises Refusal."""
    request.follower = follower
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

    The stream ends if the caller may not follow any longer, if an event that comes next was trimmed, or if the worker
    ends. The client then resumes with the last id.
    """
    request.follower = follower
    events = _Events(request, follower, name, cursor, confirm)
    return Stream(200, events.pieces(), EVENT_STREAM, follower=follower)


class _Events:
    def __init__(self, request: Request, follower: Follower, name: str, cursor: Cursor, confirm: Confirm) -> None:
        self._follower, self._cursor, self._confirm = follower, cursor, confirm
        self._start = b"event: %b\nid: " % name.encode()
        self._clock = asyncio.get_running_loop().time
        self._expiry = _expiry(request)
        self._generation: int | None = None  # of the access directory in which the caller was last confirmed

    async def pieces(self) -> AsyncIterator[bytes]:
        """Yield an empty piece when the first events were read, then all events. Raises Refusal before that."""
        follower = self._follower
        with follower.counted():
            found: Sequence[Event] | None = await follower.take(PORTION, 0)
            yield b""
            beat = self._clock() + HEARTBEAT_SECONDS
            while found is not None:
                for piece in _in_pieces(found):
                    if not await self._may_follow():
                        return
                    follower.position = piece[-1].position
                    with follower.unread():
                        yield b"".join(map(self._render, piece))
                if not found and self._clock() >= beat:
                    yield b"event: heartbeat\nid: %b\ndata: {}\n\n" % self._cursor(follower.position).encode()
                if found or self._clock() >= beat:
                    beat = self._clock() + HEARTBEAT_SECONDS
                found = await self._next(beat)

    async def _next(self, beat: float) -> Sequence[Event] | None:
        """Return the next events, none if it is time for a heartbeat or a second look, None at the end."""
        if self._follower.over or not await self._may_follow():
            return None
        try:
            found = await self._follower.take(PORTION, min(beat, self._expiry))
        except Refusal:
            return None
        if not found and (self._follower.over or not await self._may_follow()):
            return None
        return found

    async def _may_follow(self) -> bool:
        """Return False if the caller may not follow any longer. It is looked up again if access has changed, also while
        there always are events for a client that reads slowly."""
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
        if not event.sent:
            data = event.data.translate(LINE_ENDS)  # in JSON they are white space between tokens, and nothing else
            event.sent = b"%b%b\ndata: %b\n\n" % (self._start, self._cursor(event.position).encode(), data)
        return event.sent


def _in_pieces(events: Sequence[Event]) -> Iterator[list[Event]]:
    """Yield the events in order, so many at a time that they are no more than `PIECE_BYTES`, or one."""
    piece: list[Event] = []
    size = 0
    for event in events:
        if piece and size + len(event.data) > PIECE_BYTES:
            yield piece
            piece, size = [], 0
        piece.append(event)
        size += len(event.data)
    if piece:
        yield piece


def _expiry(request: Request) -> float:
    """Return when the caller's credential expires, on the event loop's clock."""
    expires = request.caller.expires
    return float("inf") if expires is None else asyncio.get_running_loop().time() + expires - time()
