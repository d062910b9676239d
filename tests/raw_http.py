"""Sends requests as bytes on a socket, and reads all answers."""

import asyncio
import re
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from tests.running import START_SECONDS, Running

DOCUMENTS = "/api/v1/storage/json"
WHOAMI = "/api/v1/whoami"


def request(
    method: str,
    target: str,
    body: bytes | None = None,
    *headers: str,
    version: str = "1.1",
    credential: str = "Authorization: Bearer ak-1",
) -> bytes:
    """Return the bytes of a request. `credential`: the header line of a caller in `tests/access.yaml`."""
    lines = [f"{method} {target} HTTP/{version}", "Host: x", credential, *headers]
    if body is not None:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode() + (body or b"")


@dataclass(frozen=True, slots=True)
class Response:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def comparable(self) -> tuple[int, dict[str, str], bytes]:
        """Return an answer without the parts that depend on the time, and without the order of its headers."""
        odd = self.headers.get("X-Request-Id", "mine") != "mine"
        other = {"Date", "Last-Modified", *(["X-Request-Id"] if odd else [])}
        headers = {name: text for name, text in self.headers.items() if name not in other}
        return self.status, headers, re.sub(rb"\d{4}-\d\d-\d\dT[0-9:.]+Z", b"TIME", self.body)


class Wire:
    """One connection of a client."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    async def send(self, *segments: bytes) -> None:
        """Send each piece separately, so that it arrives alone."""
        for number, segment in enumerate(segments):
            if number:
                await asyncio.sleep(0.004)
            self._writer.write(segment)

    async def response(self, method: str = "GET") -> Response:
        async with asyncio.timeout(START_SECONDS):
            head = (await self._reader.readuntil(b"\r\n\r\n")).decode()
            start, *lines = head.rstrip().split("\r\n")
            headers = dict(line.split(": ", 1) for line in lines)
            assert len(headers) == len(lines), head
            status = int(start.split(" ")[1])
            bodiless = method == "HEAD" or status in (100, 204, 304)
            if headers.get("Transfer-Encoding") == "chunked" and not bodiless:
                return Response(status, headers, await self._chunks())
            body = await self._reader.readexactly(0 if bodiless else int(headers["Content-Length"]))
        return Response(status, headers, body)

    async def _chunks(self) -> bytes:
        """Read a chunked body (RFC 9112, 7.1)."""
        body = bytearray()
        while size := int(await self._reader.readuntil(b"\r\n"), 16):
            body += await self._reader.readexactly(size)
            assert await self._reader.readexactly(2) == b"\r\n"
        assert await self._reader.readexactly(2) == b"\r\n"
        return bytes(body)

    async def ask(self, method: str, target: str, body: bytes | None = None, *headers: str) -> Response:
        await self.send(request(method, target, body, *headers))
        return await self.response(method)

    async def some(self) -> bytes:
        """Return the next bytes of the answers; b"" at the end of the connection."""
        return await self._reader.read(1 << 16)

    async def silent(self) -> bool:
        """Return True if no bytes of an answer have arrived."""
        try:
            async with asyncio.timeout(0):
                await self._reader.read(1)
        except TimeoutError:
            return True
        return False

    async def rest(self) -> bytes:
        """Return all bytes until the service closes the connection."""
        async with asyncio.timeout(START_SECONDS):
            return await self._reader.read()


@asynccontextmanager
async def connected(running: Running) -> AsyncIterator[Wire]:
    host, port = running.url.removeprefix("http://").split(":")
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)  # a client that does not read is noticed soon
    client.setblocking(False)
    try:
        await asyncio.get_running_loop().sock_connect(client, (host, int(port)))
    except OSError:
        client.close()
        raise
    reader, writer = await asyncio.open_connection(sock=client)
    try:
        yield Wire(reader, writer)
    finally:
        writer.close()


async def warm(wire: Wire, target: str) -> None:
    """Send requests until caller, project and category are cached, so that the fast path is used."""
    assert (await wire.ask("PUT", target, b"{}")).status == 200
    assert (await wire.ask("GET", target)).status == 200
