"""A follower: the position of one client in a stream, and the events that it is given next."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from service.storage.feed.tail import Event, Piece, Position
from service.storage.feed.turns import LEAST_BYTES
from service.storage.feed.unread import Unread
from service.storage.feed.watcher import PORTION, Source, Watcher

PIECE_BYTES = 65_536  # bytes of events that are given to a client at a time
FIRST = 16  # limit of events in the first read for one follower; it doubles while the events are short
WAITING_BYTES = 1_000_000  # bytes of events that may wait for a client; with more it is cut off
UNREAD_BYTES = 64 * 1024 * 1024  # limit of the pieces that all clients of a worker have not read
LOOK_BYTES = 1_024  # checking a client that does not read counts as this many bytes in a slice: it takes 1 us


Render = Callable[[Event], bytes]


class Followers:
    """Makes followers, and counts them. `events` counts the events given to them, `cut` those that were too slow.

    `unread` has the pieces that they were given and have not read.
    """

    def __init__(self, watcher: Watcher, most_unread: int = UNREAD_BYTES) -> None:
        self.watcher = watcher
        self.unread = Unread(most_unread)
        self.now = self.events = self.cut = 0

    def follow(self, source: Source, position: Position) -> "Follower":
        return Follower(self, source, position)


class Follower:
    """See the module. `position` is that of the last event that `take` returned. `over`: it need not wait any
    more, because the client has left or the worker ends.

    `abort` closes the client's connection. `send` writes a piece, and returns False if not all of it could be sent at
    once. `served` is called instead of waking a follower that waits for events, when it is its turn. `sent` is a piece
    that was pushed, and that the client has not read.

    After a client has received all events once, it is cut off (by `abort`) if it does not read while more than
    `WAITING_BYTES` of newer events wait. Before that, it may read as slowly as it likes.
    """

    def __init__(self, followers: Followers, source: Source, position: Position) -> None:
        self.position = position
        self.forget_client()
        self.sent: Piece | None = None
        self._followers, self._watcher, self._source = followers, followers.watcher, source
        self._future: asyncio.Future[None] | None = None
        self._portion = FIRST
        self._left = False
        self._live = False
        self._waiting = False  # it waits for events, and has not been woken yet
        self._unread = False  # events were given to the client, and it has not read them yet
        self._slow = False  # the client is cut off if it does not read at its next turn
        self._in_pieces = False  # the client is given pieces, not all existing events

    def forget_client(self) -> None:
        """Drop all references to the client."""
        self.abort: Callable[[], None] = _nothing
        self.send: Callable[[bytes], bool] = _refuse
        self.served: Callable[[], None] | None = None

    @property
    def over(self) -> bool:
        return self._left or self._watcher.stopping

    @property
    def more(self) -> bool:
        """True if it is known that there are further events."""
        return self._watcher.follow(self._source).tail.last > self.position

    @property
    def generation(self) -> int | None:
        """The generation of the access directory; None if it is not confirmed."""
        return self._watcher.generation()

    @contextmanager
    def counted(self) -> Iterator[None]:
        """Count this follower for the length of the block."""
        self._followers.now += 1
        try:
            yield
        finally:
            self._followers.now -= 1

    async def take(self, limit: int, until: float) -> list[Event]:
        """Return the next events, at most `limit`. If there are none, wait to be woken, or until a time of the event
        loop's clock, and try again. There may still be none.

        Raises Refusal, also if one of the next events was trimmed.
        """
        return self._given(await self._next(limit, until))

    async def take_piece(self, until: float, render: Render) -> Piece | None:
        """Return the next events as one piece, which has no more than `PIECE_BYTES` or one event; None if there still
        are none at a moment of the event loop's clock, as in `take`, or if a piece was `sent` meanwhile.

        Events that do not fit are not kept for the client: they are read again when it has read the piece.
        """
        self._in_pieces = True
        found = await self._next(PORTION, until)
        return self._piece(found, render) if found else None

    def push(self, render: Render) -> bool:
        """Send the next piece without waking the stream, which waits for events. Return False, and wake it, if there is
        none in memory. Wake it, too, if the client does not read all of the piece at once: then the piece is `sent`."""
        tail = self._watcher.follow(self._source).tail
        piece = tail.piece
        if piece is None or piece.start != self.position or piece.end != tail.last:
            found = tail.after(self.position, PORTION)
            if not found:
                self.wake()
                return False
            piece = self._piece(found, render)
        else:
            self.position = piece.end
            self._followers.events += piece.count
        if not self.send(piece.data):
            self.sent = piece
            self.wake()
        elif self.position != tail.last:
            self._watcher.turns.add((self,))
        return True

    def _piece(self, found: list[Event], render: Render) -> Piece:
        """Return the first of these events as a piece, and continue after it."""
        start, found = self.position, self._given(_fitting(found))
        tail = self._watcher.follow(self._source).tail
        shared, end = tail.piece, self.position
        if shared is not None and shared.start == start and shared.end == end:
            return shared
        piece = Piece(start, end, b"".join(map(render, found)), len(found))
        if tail.base is not None and tail.base <= start:
            tail.piece = piece
        return piece

    def _given(self, found: list[Event]) -> list[Event]:
        if found:
            self.position = found[-1].position
            self._followers.events += len(found)
        return found

    async def _next(self, limit: int, until: float) -> list[Event]:
        tail = self._watcher.follow(self._source).tail
        found: list[Event] = []
        if tail.base is not None and tail.last == self.position:
            self._live = True
        else:
            await self._turn()
            found = await self._take(limit)
        if not found and not self.over and asyncio.get_running_loop().time() < until:
            await self._wait(until)
            if self.sent is None:
                found = await self._take(limit)
        return found

    async def _take(self, limit: int) -> list[Event]:
        tail = self._watcher.follow(self._source).tail
        for _ in range(2):  # during the first read, the tail may have begun with a later event
            if (found := tail.after(self.position, limit)) is not None:
                self._live |= len(found) < limit
                return found
            if (found := await self._read(limit)) or tail.base is None or self.position > tail.last:
                break
        return found or []

    async def _read(self, limit: int) -> list[Event]:
        reading = self._watcher.follow(self._source).read(self._source, self.position, min(limit, self._portion))
        reading.waiting.append(self)
        while not reading.events.done():
            await self._woken()
            if self._left:
                return []
        found = reading.events.result()[:limit]
        self._live |= not found
        size = sum(len(event.data) for event in found)
        if found:
            fitting = max(1, PIECE_BYTES * len(found) // (size or 1))
            self._portion = min(fitting, 2 * self._portion, PORTION)
        return found

    async def _turn(self) -> None:
        """Wait until it is this follower's turn to be given events."""
        if not self._watcher.turns.at_once():
            self._watcher.turns.add((self,))
            await self._woken()

    async def _woken(self) -> None:
        """Wait to be woken."""
        self._future = asyncio.get_running_loop().create_future()
        try:
            await self._future
        finally:
            self._future = None

    async def _wait(self, until: float) -> None:
        followed = self._watcher.follow(self._source)
        timer = asyncio.get_running_loop().call_at(until, self.wake)
        followed.followers.add(self)
        self._waiting = True
        try:
            await self._woken()
        finally:
            self._waiting = False
            timer.cancel()
            followed.followers.discard(self)

    @contextmanager
    def unread(self, piece: Piece) -> Iterator[None]:
        """Mark the client as one that has not read its events, for the length of the block."""
        followed = self._watcher.follow(self._source)
        followed.followers.add(self)
        self._unread, self._slow = True, False
        self._followers.unread.add(self, piece)
        try:
            yield
        finally:
            self._unread = False
            self._followers.unread.remove(self)
            followed.followers.discard(self)

    def wake(self) -> None:
        """Wake the follower: there are events, or it is over."""
        if self._future is not None and not self._future.done():
            self._future.set_result(None)

    def serve(self) -> int:
        """Wake the follower (see Waiting). If its client does not read, close the connection when the client must be
        cut off, when too much waits for it, or when the worker ends."""
        behind = self._watcher.follow(self._source).tail.behind(self.position)
        if not self._unread:
            if self.served is not None and self._waiting and self.sent is None and not self.over:
                self.served()
            else:
                self.wake()
            return LEAST_BYTES if self._in_pieces else max(LEAST_BYTES, behind)
        slow = self._slow or (self._live and behind > WAITING_BYTES)
        if self._left or not (slow or self._watcher.stopping):
            return LOOK_BYTES
        self._followers.cut += slow
        self.leave()
        self.abort()
        return LEAST_BYTES

    def cut_off(self) -> None:
        """Close the connection when it is this follower's turn: thousands at once would take seconds."""
        self._slow = True
        self._watcher.turns.add((self,))

    def leave(self) -> None:
        """Note that the client has left."""
        self._left = True
        self.wake()


def _fitting(events: list[Event]) -> list[Event]:
    """Return the first events that fit into `PIECE_BYTES`, but at least one."""
    size = 0
    for count, event in enumerate(events):
        size += len(event.data)
        if size > PIECE_BYTES and count:
            return events[:count]
    return events


def _nothing() -> None: ...


def _refuse(piece: bytes) -> bool:
    return False
