"""An account of the pieces that the followers of a worker have not read, with one limit for all of them."""

from collections import OrderedDict
from typing import Protocol

from service.storage.feed.tail import Piece


class Reader(Protocol):
    """A follower whose client has a piece to read."""

    def cut_off(self) -> None: ...


class Unread:
    """The unread pieces of all followers, in the order in which they were given. `bytes` is the sum of their sizes.

    A piece that several clients have not read counts once, because it is in memory once. Over the limit, the clients
    that have waited longest are cut off. They lose nothing: they continue after the last event that they have received.
    """

    def __init__(self, most: int) -> None:
        self.bytes = 0
        self._most = most
        self._pieces: OrderedDict[Reader, Piece] = OrderedDict()

    def add(self, reader: Reader, piece: Piece) -> None:
        """Add a piece that was given to a client. The client has read all its earlier pieces."""
        self._pieces[reader] = piece
        if not piece.waiting:
            self.bytes += len(piece.data)
        piece.waiting += 1
        while self.bytes > self._most and len(self._pieces) > 1:
            slowest = next(iter(self._pieces))
            self.remove(slowest)
            slowest.cut_off()

    def remove(self, reader: Reader) -> None:
        """Remove the piece of a client that has read it, or has left."""
        if (piece := self._pieces.pop(reader, None)) is not None:
            piece.waiting -= 1
            if not piece.waiting:
                self.bytes -= len(piece.data)
