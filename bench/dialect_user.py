"""What the users of all dialects share: which document comes next, who they are, and a collection that is full."""

from random import choice, random, randrange
from typing import Any, ClassVar

from gevent.event import Event
from locust import FastHttpUser

from bench.documents import document
from bench.options import HOST, sizes


class DialectUser(FastHttpUser):
    """One client, one connection. A dialect's class says how to `fill` and what its tasks are."""

    abstract = True
    host = HOST
    connection_timeout = 10.0
    network_timeout = 10.0

    _filled: ClassVar[dict[type, Event]] = {}

    @property
    def options(self) -> Any:
        return self.environment.parsed_options

    def wait_time(self) -> float:
        think: float = self.options.think
        return think

    def on_start(self) -> None:
        """Fill, once for each process, before any user's first task; the others wait."""
        self._sizes = sizes(self.options)
        kind = type(self)
        if kind in self._filled:
            self._filled[kind].wait()
            return
        self._filled[kind] = Event()
        try:
            self.fill()
        finally:
            self._filled[kind].set()

    def fill(self) -> None:
        """Store the documents `key_of(0)` to `key_of(options.documents - 1)`. A dialect's class says how."""

    def key(self) -> str:
        """The document for the next request: with the hot share the first one, else any."""
        hot = random() < self.options.hot_share
        return key_of(0 if hot else randrange(self.options.documents))

    def body(self, key: str) -> bytes:
        """A document for that key; `document_of` knows it again."""
        return document(choice(self._sizes), key)


def key_of(number: int) -> str:
    return f"document-{number:07d}"


def document_of(key: str, body: bytes) -> bool:
    """Whether these bytes are a document that was made for the key."""
    return body.startswith(b'{"name":"%b",' % key.encode())
