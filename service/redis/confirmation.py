"""The confirmation of writes that Redis may have acknowledged before it wrote them to its append-only file.

Redis executes the commands that have arrived in one turn of its event loop, writes its file at the end of the turn, and
sends the replies after that. There is one exception: if replies did not fit into the socket, the rest of them is sent
in the middle of the next turn, before the file is written, together with replies to commands of that turn. One long
reply fills a socket, and so do some hundred short ones that were not read. If Redis is killed in
this turn, a write that was acknowledged is lost. Only with `appendfsync always` does Redis avoid this (AE_BARRIER in
its sources).

So a write whose reply may have been sent in such a turn is followed by a PING. Redis executes it in a later turn, so
its reply proves that the file was written. Only then the caller gets the reply of the write. `Backlog` decides which
writes need this.
"""

from collections import deque
from typing import Any, NamedTuple

from service.redis.errors import Failed, Rejected, Unanswered
from service.redis.outcome import Outcome

# Redis sends at least 64 KiB to a connection in a turn, if its socket takes them. A socket of Linux that nobody reads
# has room for more than 64 KiB. A piece that Redis sends takes 768 bytes of this room and at most twice its own bytes,
# so at most twice what is counted here. (The Unix sockets of macOS have room for 8 KiB, which is not enough.)
SAFE_BYTES = 32 * 1024
PIECE_BYTES = 512
READ_BYTES = 16 * 1024  # Redis reads at most so much from a connection in a turn, and answers it with one piece
CONFIRM = b"*1\r\n$4\r\nPING\r\n"


class Held(NamedTuple):
    """A write whose outcome is set when it has been confirmed; `deadline` is in seconds."""

    outcome: Outcome
    reply: Any
    deadline: float


class Backlog:
    """An upper limit of the bytes of replies that Redis had not sent to a connection when it executed a command.

    Replies that wait in Redis at some moment belong to commands that were sent before, and are received after it. So
    a command is safe if little arrived between two moments: its reply, and the flush of the oldest command that had
    no reply when the command itself was flushed. What arrives is counted in bytes, with PIECE_BYTES for each piece, and
    numbers of commands from the first of the connection.
    """

    __slots__ = ("_due", "_flushes", "_received")

    def __init__(self) -> None:
        self._received = 0  # replies, and the pieces of flushes that are answered
        self._due = 0  # pieces of flushes with unanswered commands
        # For each flush with unanswered commands, oldest first: the number of its last command, its pieces, what was
        # received before it, and what was received before the oldest flush that had unanswered commands then.
        self._flushes: deque[tuple[int, int, int, int]] = deque()

    def flushed(self, last: int, size: int) -> None:
        """Note that the commands up to number `last` have been written, in `size` bytes."""
        received, flushes = self._received, self._flushes
        pieces = PIECE_BYTES * (1 + size // READ_BYTES)
        self._due += pieces
        flushes.append((last, pieces, received, flushes[0][2] if flushes else received))

    def received(self, size: int) -> bool:
        """Count `size` bytes of replies. Return True if a write among them must be confirmed."""
        self._received += size
        flushes = self._flushes
        return bool(flushes) and self._received + self._due - flushes[0][3] > SAFE_BYTES

    def answered(self, number: int) -> None:
        """Note that the commands up to `number` have been answered."""
        flushes = self._flushes
        while flushes and flushes[0][0] <= number:
            pieces = flushes.popleft()[1]
            self._due -= pieces
            self._received += pieces


class Confirmation:
    """The outcome of CONFIRM, for the writes that it confirms. It must be sent on the connection of the writes."""

    def __init__(self, held: list[Held]) -> None:
        self._held = held

    def done(self) -> bool:
        return False

    def set_result(self, result: Any, /) -> None:
        """Give the writes their replies."""
        for outcome, reply, _ in self._held:
            if not outcome.done():
                outcome.set_result(reply)

    def set_exception(self, exception: Failed, /) -> None:
        """Fail the writes with Unanswered. An error reply of Redis confirms them: it was sent in a later turn."""
        if isinstance(exception, Rejected):
            self.set_result(None)
            return
        for outcome, _, _ in self._held:
            if not outcome.done():
                outcome.set_exception(Unanswered(f"executed, but it is not known if it was kept: {exception}"))
