"""A TCP proxy between the service and Redis, which simulates faults of a network."""

import asyncio
import contextlib
from collections.abc import Callable
from pathlib import Path
from random import Random

PIECE = 1 << 16

Way = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Proxy:
    """A proxy on a port of its own. `url` is the URL of Redis through the proxy.

    delay    seconds by which each piece of data is delayed, in both directions
    lag      further seconds of delay on a connection that has sent CLIENT TRACKING
    refuses  new connections are closed at once
    mark     after a command that contains these bytes, no reply of Redis is forwarded
    """

    def __init__(self, target: Path) -> None:
        self.delay = self.lag = 0.0
        self.refuses = False
        self.mark = b""
        self.silent = False
        self.connections = 0
        self._target = target
        self._server: asyncio.Server | None = None
        self._links: set[Link] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)

    @property
    def url(self) -> str:
        assert self._server is not None
        return f"redis://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/0"

    async def close(self) -> None:
        assert self._server is not None
        self._server.close()
        self.reset()
        await asyncio.gather(*self._tasks)

    def reset(self) -> None:
        """Break all connections."""
        for link in list(self._links):
            link.abort()

    def heal(self) -> None:
        """Break all connections, and forward replies again on new ones."""
        self.mark, self.silent = b"", False
        self.reset()

    def cut_reply(self, random: Random) -> None:
        """On each open connection, forward only a part of the next piece of replies, then break the connection."""
        for link in self._links:
            link.cut_reply = lambda size: random.randrange(size)

    def cut_request(self, random: Random) -> None:
        """On each open connection, forward only a part of the next piece of commands, then break the connection."""
        for link in self._links:
            link.cut_request = lambda size: random.randrange(size)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        if self.refuses:
            writer.transport.abort()
            return
        try:
            inner = await asyncio.open_unix_connection(str(self._target))
        except OSError:
            writer.transport.abort()
            return
        link = Link(self, (reader, writer), inner)
        self._links.add(link)
        task = asyncio.create_task(link.run())
        self._tasks.add(task)
        try:
            await task
        finally:
            self._links.discard(link)
            self._tasks.discard(task)


class Link:
    """One connection through the proxy. Each direction has a task; when one ends, the other is cancelled."""

    def __init__(self, proxy: Proxy, outer: Way, inner: Way) -> None:
        self._proxy, self._outer, self._inner = proxy, outer, inner
        self.cut_reply: Callable[[int], int] | None = None
        self.cut_request: Callable[[int], int] | None = None
        self.tracking = False

    def abort(self) -> None:
        self._outer[1].transport.abort()
        self._inner[1].transport.abort()

    async def run(self) -> None:
        pumps = [
            asyncio.create_task(self._pump(self._outer[0], self._inner[1], "cut_request")),
            asyncio.create_task(self._pump(self._inner[0], self._outer[1], "cut_reply")),
        ]
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self.abort()
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, cut: str) -> None:
        with contextlib.suppress(OSError):
            while data := await source.read(PIECE):
                self.tracking |= b"\r\nTRACKING\r\n" in data
                if delay := self._proxy.delay + (self._proxy.lag if self.tracking else 0):
                    await asyncio.sleep(delay)
                if self._proxy.mark and self._proxy.mark in data:
                    self._proxy.silent = True
                if self._proxy.silent and cut == "cut_reply":
                    continue
                if (cutting := getattr(self, cut)) is not None:
                    sink.write(data[: cutting(len(data))])
                    await asyncio.sleep(0)  # lets the data be written before the connection is closed
                    return
                sink.write(data)
                await sink.drain()
