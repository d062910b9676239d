"""One connection without a socket: the real application and its Redis, but replies arrive when the test lets them."""

import asyncio
from collections.abc import Callable
from typing import Any, NamedTuple

from service.app import App
from service.exchange import Exchange
from service.hot import HotConnection
from service.redis.errors import Failed
from tests.running import soon


class Transport(asyncio.Transport):
    """What the service wrote; `slow`: it takes no more after the next write."""

    def __init__(self) -> None:
        super().__init__()
        self.written: list[bytes] = []
        self.closed = self.slow = False
        self.pause: Callable[[], None] = lambda: None

    def write(self, data: Any) -> None:
        assert not self.closed
        self.written.append(bytes(data))
        if self.slow:
            self.pause()

    def close(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed

    def write_eof(self) -> None: ...

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...

    def get_write_buffer_size(self) -> int:
        return 0


class Held(NamedTuple):
    """A command on its way."""

    exchange: Exchange
    packed: bytes
    write: bool


class Rig:
    """`held` are the hot commands that wait for their reply, `ordinary` counts requests that aiohttp was left."""

    def __init__(self, app: App) -> None:
        self.app = app
        self.held: list[Held] = []
        self.ordinary = 0
        self.transport = Transport()
        self._really_send = app.redis.send
        app.redis.send = self._send  # type: ignore[assignment]
        serve = app.server.request_handler

        async def counted(request: Any) -> Any:
            self.ordinary += 1
            return await serve(request)

        app.server.request_handler = counted
        connection = app.server()
        assert isinstance(connection, HotConnection)
        self.connection: HotConnection = connection
        self.transport.pause = connection.pause_writing
        connection.connection_made(self.transport)

    def _send(self, outcome: Exchange, packed: bytes, *, key: str, write: bool) -> None:
        self.held.append(Held(outcome, packed, write))

    def receive(self, data: bytes) -> None:
        self.connection.data_received(data)

    async def reply(self) -> None:
        """Let the oldest command be carried out, and its reply arrive."""
        exchange, packed, write = self.held.pop(0)
        answered = asyncio.get_running_loop().create_future()
        self._really_send(answered, packed, key="", write=write)
        try:
            exchange.set_result(await answered)
        except Failed as error:
            exchange.set_exception(error)
        await self.rest()

    async def rest(self) -> None:
        """Let everything that can happen happen, but for what waits for Redis."""
        for _ in range(20):
            await asyncio.sleep(0)

    async def answered(self, count: int) -> None:
        """Wait until there were so many writes."""

        async def written() -> bool:
            return len(self.transport.written) >= count

        await soon(written)

    @property
    def statuses(self) -> list[int]:
        return [int(data.split(b" ")[1]) for data in self.transport.written if data.startswith(b"HTTP/")]


def at_rest(rig: Rig) -> bool:
    connection = rig.connection
    return rig.app.in_flight == 0 and connection._exchange is None and not connection._request_in_progress
