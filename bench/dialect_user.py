"""The base of the users of all dialects: the next document, credentials, filling of the collection."""

from random import choice, random, randrange
from typing import Any, ClassVar

from gevent.event import Event
from locust import FastHttpUser

from bench.documents import document
from bench.options import HOST, sizes


class DialectUser(FastHttpUser):
    """One client with one connection. The class of a dialect defines `fill` and the tasks."""

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
        """Fill the collection once in each process, before the first task of any user; the other users wait."""
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
        """Store the documents `key_of(0)` to `key_of(options.documents - 1)`; defined by the class of a dialect."""

    def key(self) -> str:
        """Return the key for the next request: the first document for the share `hot_share` of requests, else any."""
        hot = random() < self.options.hot_share
        return key_of(0 if hot else randrange(self.options.documents))

    def body(self, key: str) -> bytes:
        """Return a document for a key, which `document_of` recognises."""
        return document(choice(self._sizes), key)


def key_of(number: int) -> str:
    return f"document-{number:07d}"


def document_of(key: str, body: bytes) -> bool:
    """Return True if these bytes are a document that was made for the key."""
    return body.startswith(b'{"name":"%b",' % key.encode())
