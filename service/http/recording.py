"""An exchange whose answer is to be kept: its handler reads on the tracking connection, as long as it only reads.

Whatever stands against that (a write, a reply of which storage does not say until when it holds, a lock or a timer, two
primaries, a connection that is late or lost, a refusal) ends the recording, and the request goes on as any other.
"""

import asyncio
from functools import partial
from typing import Any

from msgspec import Struct

from service.api.dialect import BODILESS, Answer, Stream
from service.http.driver import Exchange
from service.http.read_cache import Kept
from service.http.rendering import LAST_LINES
from service.redis.client import Send
from service.redis.errors import Failed, Rejected
from service.redis.tracking import probe
from service.storage.scripts.reply import NO_TIME, Replies, Reply


class Recording(Exchange):
    """See the module. `cache`, the whole request `data`, and the `generation` of the directory in which the caller is
    known are set before it begins. `kept` is what is going to be kept, from the first command on; `vain`: it is not."""

    cache: Any = None  # a ReadCache
    data: bytes = b""
    generation: int | None = None
    kept: Kept | None = None
    vain: bool = False

    def ask(self, awaited: Reply | Replies) -> None:
        for command in (awaited,) if isinstance(awaited, Reply) else awaited.commands:
            command.send = partial(self._send, command.send)
        awaited.begin(self)

    def _send(self, send: Send, command: Any) -> None:
        """Send a command to where its keys are tracked, or as it would have been sent."""
        tracker = None if self.vain or command.until is None else self.cache.tracker(command.key)
        if tracker is None or (self.kept is not None and self.kept.tracker is not tracker):
            self._give_up()
            send(command)
            return
        if self.kept is None:
            self.kept = Kept(tracker, [], (), 0, True, self.cache, self.data, self.generation)
        tracker.read(command, Tracked(self, command, send))

    def read(self, command: Reply, reply: Any) -> None:
        """Depend on what was read; in the midst of the reading of replies."""
        kept = self.kept
        if kept is None or self.vain:
            return
        try:
            until = command.until(reply) if command.until is not None else NO_TIME
        except Exception:  # a record that cannot be read: that is the handler's business
            until = NO_TIME
        if until == NO_TIME or not kept.good:
            self._give_up()
            return
        kept.tracker.link(kept, command.keys or (command.key,))
        if self.cache.cluster and (asking := probe(command.key)) not in kept.probes:
            kept.probes += (asking,)
        if until and not 0 < kept.until < until:
            kept.until = until

    def _give_up(self) -> None:
        if not self.vain:
            self.vain = True
            self.cache.in_vain(self.data)
            if self.kept is not None:
                self.kept.tracker.unlink(self.kept)

    def fail(self, error: Failed) -> None:
        """The tracking connection was of no use, or Redis said no."""
        if self.kept is not None and not isinstance(error, Rejected):
            self.kept.tracker.failed()
        self._give_up()

    def _go_on(self, future: Any) -> None:
        self._give_up()
        super()._go_on(future)

    def ended(self, answer: Answer | Stream) -> None:
        if isinstance(answer, Stream) and self.streaming:  # it is long
            self._give_up()
        super().ended(answer)

    def failed(self, error: BaseException) -> None:
        self._give_up()
        super().failed(error)

    def _response(self, answer: Answer) -> bytes:
        response = super()._response(answer)
        kept = self.kept
        if self.vain:
            return response
        if kept is None or not kept.good or self.state.draining or answer.status >= 400:
            self._give_up()
            return response
        kept.response = response
        kept.at = len(response) - LAST_LINES - (0 if answer.status in BODILESS else len(answer.body))
        kept.count = self.state.middleware.repeated(answer, self.dialect, self.template, self.request.method)
        if not self.cache.keep(kept):
            self._give_up()
        return response


class Tracked(Struct, eq=False):
    """The outcome of a command that was sent to be tracked; where it fails, the command is sent as others are."""

    recording: Recording
    command: Reply
    send: Send

    def done(self) -> bool:
        return self.command.outcome.done()

    def set_result(self, reply: Any) -> None:
        self.recording.read(self.command, reply)
        self.command.outcome.set_result(reply)

    def set_exception(self, error: Failed) -> None:
        self.recording.fail(error)
        asyncio.get_running_loop().call_soon(self.send, self.command)
