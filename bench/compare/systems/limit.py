"""The limit: a uvloop protocol that answers every read with the same bytes, and parses nothing.

No Python service on one core can be faster. `python -m bench.compare.systems.limit PORT` is its server.
"""

import asyncio
import sys
from contextlib import ExitStack
from importlib.metadata import version
from typing import cast

import uvloop

from bench.compare.system import System
from bench.compare.workloads import SMALL, Kind
from bench.compare.wrk import Request
from bench.documents import document
from bench.processes import Child, free_port, listening

BODY = document(SMALL)
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (len(BODY), BODY)


class Limit(System):
    name = "limit"
    about = "a uvloop protocol that writes a constant for every read: the most that Python can do"

    def start(self, stack: ExitStack) -> None:
        port = free_port()
        command = [sys.executable, "-m", "bench.compare.systems.limit", str(port)]
        server = stack.enter_context(Child(command, log=self.directory / "log", cores=self.placement.server))
        server.until(lambda: listening(port))
        self.url = f"http://127.0.0.1:{port}"
        self.processes = {"server": [server.pid]}

    def request(self, kind: Kind, place: str, size: int) -> Request | None:
        return Request("GET", "/KEY") if kind == "get" and size == SMALL else None

    def version(self) -> str:
        return version("uvloop")


class Constant(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._write = cast(asyncio.Transport, transport).write

    def data_received(self, data: bytes) -> None:
        self._write(ANSWER)


async def serve(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(Constant, "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1])))
