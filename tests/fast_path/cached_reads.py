"""Clients of an application in the process of the test, without a socket, that read until an answer is cached."""

from typing import Any

from service.http.app import App, start
from service.http.connection import FastPathConnection
from service.metrics import Meter
from service.settings import Settings
from service.storage.access.directory import Caller, digest, token_entry
from tests.fast_path.rig import Transport, outside_of_tasks
from tests.raw_http import DOCUMENTS, request
from tests.running import soon

DOCUMENT = DOCUMENTS + "/c/k"


class Client:
    """A connection to an application, without a socket."""

    def __init__(self, app: App) -> None:
        self.transport = Transport()
        connection = app.server()
        assert isinstance(connection, FastPathConnection)
        self.connection = connection
        self.transport.pause = connection.pause_writing
        connection.connection_made(self.transport)
        self.app = app

    def send(self, data: bytes) -> None:
        with outside_of_tasks():
            self.connection.data_received(data)

    async def ask(self, method: str, target: str, body: bytes | None = None, *headers: str) -> tuple[int, bytes]:
        """Send a request; return status and body of the answer."""
        return await self.answer(request(method, target, body, *headers))

    async def answer(self, data: bytes) -> tuple[int, bytes]:
        count = len(self.transport.written)
        self.send(data)
        return await self.nth(count)

    async def nth(self, number: int) -> tuple[int, bytes]:
        async def written() -> bool:
            return len(self.transport.written) > number and self.connection._exchange is None

        await soon(written)
        head, _, body = b"".join(self.transport.written[number:]).partition(b"\r\n\r\n")
        return int(head.split(b" ")[1]), body


async def started(url: str, **settings: Any) -> App:
    """Start an application on a Redis that has one caller."""
    app = await start(Settings(**settings), url, Meter())
    directory = app.state.service.directory
    await directory.declare("ainoflow", [token_entry(digest("ak-1"), Caller("me", {"project": "p"}))])

    async def confirmed() -> bool:
        return directory.generation is not None

    await soon(confirmed)
    return app


async def kept(client: Client, target: str = DOCUMENT) -> None:
    """Read until the answer is cached."""

    async def is_kept() -> bool:
        await client.ask("GET", target)
        return request("GET", target) in client.app.cache.answers

    await soon(is_kept)


def hits(app: App) -> int:
    return app.redis.tracking.confirmations - app.cache.spoiled
