"""Records an answer for the read cache: its handler's reads are sent on the connection that tracks their keys.

The recording is abandoned, and the request goes on like any other, if the handler does more than read: a write, a reply
without a known end of its validity, a lock or timer, reads from two primaries, reads of more keys than one answer may
depend on, a late or lost connection, a refusal.
"""

import asyncio
from functools import partial
from typing import Any

from msgspec import Struct

from service.api.dialect import BODILESS, Answer, Stream
from service.http.driver import Exchange
from service.http.read_cache import CachedAnswer
from service.http.rendering import LAST_LINES
from service.redis.client import Send
from service.redis.errors import Failed, Rejected
from service.redis.tracking import probe
from service.storage.scripts.reply import NO_TIME, Replies, Reply


class Recording(Exchange):
    """An exchange whose answer is recorded.

    `cache`, the bytes of the whole request `data`, and the directory `generation` in which the caller was found are set
    before it begins. `cached` is the answer to be cached, from the first command on. `abandoned`: it will not be
    cached.
    """

    cache: Any = None  # a ReadCache
    data: bytes = b""
    generation: int | None = None
    cached: CachedAnswer | None = None
    abandoned: bool = False

    def ask(self, awaited: Reply | Replies) -> None:
        for command in (awaited,) if isinstance(awaited, Reply) else awaited.commands:
            command.send = partial(self._send, command.send)
        awaited.begin(self)

    def _send(self, send: Send, command: Any) -> None:
        """Send a command on the tracking connection of its key's node, or with `send` if it cannot be tracked."""
        tracker = None if self.abandoned or command.until is None else self.cache.tracker(command.key)
        if tracker is None or (self.cached is not None and self.cached.tracker is not tracker):
            self._abandon()
            send(command)
            return
        if self.cached is None:
            self.cached = CachedAnswer(tracker, [], (), 0, True, self.cache, self.data, self.generation)
        tracker.read(command, Tracked(self, command, send))

    def read(self, command: Reply, reply: Any) -> None:
        """Make the answer depend on the keys of a command; called while replies are read."""
        cached = self.cached
        if cached is None or self.abandoned:
            return
        try:
            until = command.until(reply) if command.until is not None else NO_TIME
        except Exception:  # the record cannot be decoded; the handler will report it
            until = NO_TIME
        if until == NO_TIME or not cached.good:
            self._abandon()
            return
        cached.tracker.link(cached, command.keys or (command.key,))
        if len(cached.keys) > self.cache.most_keys:
            self._abandon()
            return
        if self.cache.cluster and (asking := probe(command.key)) not in cached.probes:
            cached.probes += (asking,)
        if until and not 0 < cached.until < until:
            cached.until = until

    def _abandon(self) -> None:
        if not self.abandoned:
            self.abandoned = True
            self.cache.recording_failed(self.data)
            if self.cached is not None:
                self.cached.tracker.unlink(self.cached)

    def fail(self, error: Failed) -> None:
        """Abandon the recording: the tracking connection has failed, or Redis has refused the command."""
        if self.cached is not None and not isinstance(error, Rejected):
            self.cached.tracker.failed()
        self._abandon()

    def _go_on(self, future: Any) -> None:
        self._abandon()
        super()._go_on(future)

    def ended(self, answer: Answer | Stream) -> None:
        if isinstance(answer, Stream) and self.streaming:  # a long answer, which is not cached
            self._abandon()
        super().ended(answer)

    def failed(self, error: BaseException) -> None:
        self._abandon()
        super().failed(error)

    def _response(self, answer: Answer) -> bytes:
        response = super()._response(answer)
        cached = self.cached
        if self.abandoned:
            return response
        if cached is None or not cached.good or self.state.draining or answer.status >= 400:
            self._abandon()
            return response
        cached.response = response
        cached.at = len(response) - LAST_LINES - (0 if answer.status in BODILESS else len(answer.body))
        cached.count = self.state.middleware.cached_counter(answer, self.dialect, self.template, self.request.method)
        if not self.cache.add(cached):
            self._abandon()
        return response


class Tracked(Struct, eq=False):
    """The outcome of a command on the tracking connection. If it fails there, the command is sent the ordinary way."""

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
